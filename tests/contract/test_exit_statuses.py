"""One exit status for one kind of ending, whichever command it is; and what all commands have in common besides."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
import warm_python
from click.testing import CliRunner

from covalent_parallel_plugin.cli import exit_statuses, main

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

MAIN = "from covalent_parallel_plugin.cli import main; main(prog_name='covalent-parallel')"
PAGE = (Path(__file__).parent.parent.parent / "docs" / "reference" / "exit-statuses.md").read_text()
SECTION = '[executors.gcpbatch]\nproject_id = "local"\nregion = "us-east1"\nbucket_name = "covalent"\n'
# Nothing listens at this port
SERVER = '[dispatcher]\naddress = "127.0.0.1"\nport = 1\n'
SECONDS = 120


def commands() -> Iterator[tuple[str, ...]]:
    """Every command and subcommand, by its words."""
    return _below(main, click.Context(main), ())


def _below(group: click.Group, context: click.Context, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _below(command, click.Context(command), (*words, name))
        else:
            yield (*words, name)


COMMANDS = list(commands())
GROUPS = [words for words in COMMANDS if any(other[: len(words)] == words and other != words for other in COMMANDS)]


class Site:
    """A folder with a configuration file, and the services that it names."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self.configuration = folder / "covalent" / "covalent.conf"
        self.configuration.parent.mkdir()
        self.configuration.write_text(SERVER + SECTION)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")},
            **variables,
            "HOME": str(folder),
            "COVALENT_CONFIG_DIR": str(self.configuration.parent),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_DATA_HOME": str(folder / "data"),
            "TERM": "xterm-256color",
        }
        (folder / "broken.py").write_text("import covalent as ct\n1 / 0\n")
        (folder / "mistaken.yaml").write_text("comand: echo\n")
        (folder / "red.sh").write_text(r"printf '\033[31mred\033[0m\n'; exit 3")
        (folder / "failing.yaml").write_text("command: sh red.sh\nfiles: [red.sh]\n")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return warm_python.run(MAIN, *words, environment=self.environment, folder=self.folder)


@pytest.fixture
def site(emulator: Emulator, tmp_path: Path) -> Site:
    return Site(tmp_path, dict(emulator.environment))


def ends_with(site: Site, line: str, status: int) -> subprocess.CompletedProcess[str]:
    ended = site.run(*line.split())
    assert (line, ended.returncode) == (line, status), ended.stdout + ended.stderr
    # The user's file may have raised
    assert "Traceback" not in ended.stderr or ("broken.py" in line and "/click/" not in ended.stderr)
    assert "\x1b" not in ended.stdout + ended.stderr
    return ended


def shown(*words: str, status: int = exit_statuses.DONE, width: int = 80) -> str:
    """What a command prints, run in this process: where the command line is read, and nothing more."""
    ended = CliRunner().invoke(main, words, terminal_width=width)
    assert (words, ended.exit_code) == (words, status), ended.output
    assert "\x1b" not in ended.output
    return ended.output


def test_an_option_that_is_not_there_ends_every_command_with_2() -> None:
    assert len(COMMANDS) > 20
    for words in COMMANDS:
        said = shown(*words, "--hepl", status=exit_statuses.MISTAKE)
        assert "--help" in said.split("No such option", 1)[1]


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    assert "No such command 'emulater'. Did you mean emulator?" in shown("emulater", status=exit_statuses.MISTAKE)
    for words in GROUPS:
        name = next(other[len(words)] for other in COMMANDS if other[: len(words)] == words and other != words)
        said = shown(*words, f"{name[:-1]}x", status=exit_statuses.MISTAKE)
        assert f"No such command '{name[:-1]}x'. Did you mean {name}?" in said
        said = shown(*words, "zzzzzzzz", status=exit_statuses.MISTAKE)
        assert "Did you mean" not in said and f"There are: {name}, " in said


@pytest.mark.parametrize("width", [80, 40])
def test_no_line_of_help_is_cut(width: int) -> None:
    for words in GROUPS:
        listed = shown(*words, "--help", width=width).split("Commands:\n")[1]
        names = re.findall(r"^  (\S+)", listed, re.MULTILINE)
        assert set(names) == {other[len(words)] for other in COMMANDS if other[: len(words)] == words != other}
        texts = re.split(r"^  \S+", listed, flags=re.MULTILINE)[1:]
        assert "..." not in listed and all(text.rstrip().endswith(".") for text in texts)
        assert max(map(len, listed.splitlines())) <= width


OPTIONS = "--project-id My_Project --bucket-name gs://x"


@pytest.mark.parametrize(
    "line",
    [
        f"clean {OPTIONS}",
        f"fetch d1 --out here {OPTIONS}",
        "plan --set vcpus=-1 --set memory=x",
        "doctor --set vcpus",
        "deploy plan --project My_Project",
        "deploy up",
        "deploy plan --project my-project --terraform /none",
        "image check no:such:image",
        "image build --engine docker --tag A",
        "sweep plan mistaken.yaml",
        "sweep run mistaken.yaml --local",
        "sweep plan failing.yaml --only nothing",
        "sweep run no-such.yaml",
        "plan broken.py",
        "plan no-such.py",
        "emulator --fault nonsense",
        "emulator --known no-such.toml",
        "clean --dispatch ../x",
        "fetch ../x --out here",
        "logs ../x",
        "watch ../x --once",
        "clean --yes",
        "prices set mistaken.yaml",
    ],
)
def test_a_mistake_in_what_was_given_ends_with_2(site: Site, line: str) -> None:
    assert ends_with(site, line, exit_statuses.MISTAKE).stderr


@pytest.mark.parametrize(
    "line", ["clean", "fetch d1 --out here", "logs d1", "watch d1 --once", "plan", "deploy up --yes"]
)
def test_a_configuration_that_cannot_be_read_ends_with_2(site: Site, line: str) -> None:
    site.configuration.write_text("a =")
    assert str(site.configuration) in ends_with(site, line, exit_statuses.MISTAKE).stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("clean --bucket-name no-such-bucket", "'no-such-bucket' does not exist"),
        ("fetch d1 --out here", "no secret of a server"),
        ("logs d1", "cannot be asked"),
        ("watch d1 --once", "d1"),
        ("sweep status nothing", "nothing"),
        ("sweep logs nothing a", "nothing"),
        ("sweep show nothing a", "nothing"),
        ("image check localhost:1/none:t", "none"),
        ("sweep run failing.yaml --local", ""),
        ("doctor", ""),
    ],
)
def test_what_is_not_there_does_not_answer_or_is_bad_ends_with_1(site: Site, line: str, said: str) -> None:
    ended = ends_with(site, line, exit_statuses.FAILED)
    assert said in ended.stderr


def test_the_page_has_every_status() -> None:
    known = {value for name, value in vars(exit_statuses).items() if name.isupper() and isinstance(value, int)}
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)} == known


@pytest.mark.parametrize("line", ["--help", "plan", "clean --json", "doctor"])
def test_output_that_cannot_be_written_is_one_line_or_silence(site: Site, line: str) -> None:
    """On a full disk, and in a pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    for output, expected in ((os.open("/dev/full", os.O_WRONLY), "No space left on device"), (writing, "")):
        ended = subprocess.run(
            [sys.executable, "-c", MAIN, *line.split()],
            cwd=site.folder,
            env={**site.environment, "PYTHONUNBUFFERED": ""},
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        os.close(output)
        own = [text for text in ended.stderr.splitlines() if "submitted" not in text]
        assert ended.returncode == exit_statuses.FAILED, ended.stderr
        assert len(own) == (1 if expected else 0), ended.stderr
        assert expected in ended.stderr


def test_what_programs_print_is_without_escapes_in_a_file(site: Site) -> None:
    followed = ends_with(site, "sweep run failing.yaml --local --follow", exit_statuses.FAILED)
    assert "red" in followed.stdout


def test_a_terminal_is_shown_no_colours_where_no_color_is_set(site: Site) -> None:
    codes = {}
    for value in ("", "1"):
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-c", MAIN, "doctor"],
            cwd=site.folder,
            env={**site.environment, **({"NO_COLOR": value} if value else {})},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
        ) as process:
            os.close(theirs)
            text = b""
            while chunk := _read(ours):
                text += chunk
            assert process.wait(SECONDS) == exit_statuses.FAILED
        os.close(ours)
        codes[value] = [int(each) for found in re.findall(rb"\x1b\[([0-9;]+)m", text) for each in found.split(b";")]
    assert any(30 <= number < 40 for number in codes[""])
    assert not any(30 <= number < 108 for number in codes["1"])


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux's way to say that the other end is closed
        return b""
