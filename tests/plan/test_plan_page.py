"""docs/reference/plan.md: its commands give what it shows; a line "..." stands for any lines."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from planner import SECONDS, Planner

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "plan.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [text.removeprefix("$ ").split("\n", 1) for language, text in BLOCKS if language == "console"]


def block(language: str) -> str:
    (text,) = (text for found, text in BLOCKS if found == language)
    return text


@pytest.mark.parametrize(("command", "shown"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_the_commands_of_the_page_print_what_it_shows(plan: Planner, command: str, shown: str) -> None:
    plan.configure(block("toml"))
    plan.write("workflow.py", block("python"))
    start = shlex.join([sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()"])
    name, _, rest = command.partition(" ")
    assert name == "covalent-parallel"
    done = subprocess.run(
        f"exec 2>&1; {start} {rest}",
        shell=True,
        cwd=plan.folder,
        env=plan.environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    pattern = "".join(r"(?:.*\n)*?" if line == "...\n" else re.escape(line) for line in shown.splitlines(keepends=True))
    assert re.fullmatch(pattern, done.stdout), done.stdout
    assert done.returncode == (2 if "Error:" in shown else 0)


def test_the_page_shows_every_option_of_the_command(plan: Planner) -> None:
    for option in re.findall(r"^  (--[a-z]+)", plan("--help").stdout, re.MULTILINE):
        assert option in PAGE or option == "--help"
