"""What pages quote: messages, commands and options that the package has, and the words that the glossary explains."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from commands_of_pages import command_lines, unknown_words
from page_blocks import all_pages, without_blocks

from covalent_parallel_plugin.batch.error_hints import find_hint
from covalent_parallel_plugin.cli import main as program
from covalent_parallel_plugin.cli.doctor.checks import all_checks

ROOT = Path(__file__).parents[2]
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = [line for line in TROUBLESHOOTING.splitlines() if line.startswith("| ") and "remedy" not in line]
# Of Python itself, which no text of the package has
OF_PYTHON = {"ModuleNotFoundError", "TypeError"}
_CODE = re.compile(r"(`{1,2}) ?(.+?) ?\1(?!`)")


@cache
def texts_of_the_package() -> str:
    """All texts in the package's source: `…` where a value is put in."""
    found = []
    for path in (ROOT / "covalent_parallel_plugin").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def is_known(message: str) -> bool:
    """Whether the package says this, or knows it as Google's words."""
    if message in OF_PYTHON or find_hint(message) is not None:
        return True
    if message in {check.name for check in all_checks()}:
        return True
    return all(part.strip() in texts_of_the_package() for part in message.split("…"))


def quoted(row: str) -> list[str]:
    """The messages in a row's first cell."""
    return [found[1] for found in _CODE.findall(row.split(" | ")[0])]


def test_every_row_has_a_cause_and_a_remedy() -> None:
    assert len(ROWS) >= 30
    assert [row for row in ROWS if len([cell for cell in row.strip("| ").split(" | ") if cell.strip()]) != 3] == []


@pytest.mark.parametrize("message", sorted({message for row in ROWS for message in quoted(row)}))
def test_a_message_that_troubleshooting_quotes_is_one_that_the_package_has(message: str) -> None:
    assert is_known(message)


def test_a_message_that_nobody_has_is_noticed() -> None:
    assert not is_known("the … ate the container")
    assert quoted("| ``see that `x` runs``, `y …` or so | cause | `z` |") == ["see that `x` runs", "y …"]


@pytest.mark.parametrize("page", all_pages(ROOT), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_and_options_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lines = [line for line in command_lines(text) if line.split()[0] in program.list_commands(None)]  # type: ignore[arg-type]
    assert [unknown for line in lines for unknown in unknown_words(line)] == []


def test_the_glossary_explains_the_words_of_the_field_in_a_sentence_each() -> None:
    entries = dict(re.findall(r"^### (.+)\n((?:(?!#).*\n)+)", GLOSSARY, re.MULTILINE))
    assert {
        *("electron", "lattice", "dispatch", "node", "executor", "job", "task", "task group", "attempt", "Spot"),
        *("provisioning model", "preemption", "quota", "region, zone", "service account", "bucket, object", "runner"),
        *("map", "item", "sweep", "emulator", "fault", "stock image", "outcome", "trace", "machine type", "vCPU"),
    } <= entries.keys()
    assert [word for word, text in entries.items() if not text.strip().endswith(".")] == []
    assert without_blocks(GLOSSARY) == GLOSSARY
