"""docs/reference/logs.md: it has every option of the command, and the fields of its JSON."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import click
import pytest

from covalent_parallel_plugin.cli.logs.command import logs
from covalent_parallel_plugin.cli.logs.line_printer import LinePrinter, last_of_each, prefix_of
from covalent_parallel_plugin.results.dispatch_logs import Look
from covalent_parallel_plugin.results.electron_log import LogLine, MissingOutput

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "logs.md").read_text()


class Terminal(io.StringIO):
    """A text that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def line(text: str = "text", **fields: object) -> LogLine:
    return LogLine(7, "train", "stdout", text)._replace(**fields)


def test_the_page_has_every_option() -> None:
    options = {name for option in logs.params if isinstance(option, click.Option) for name in option.opts}
    assert options == {f"--{name}" for name in re.findall(r"`--([a-z-]+)[ `]", PAGE)} | {"-f"}


def test_the_page_has_every_field_of_a_line_in_json() -> None:
    stdout = io.StringIO()
    LinePrinter("d", stdout, io.StringIO(), is_json=True).show(Look([line("\x1b[31m", seconds=0.125)]), False)
    found = json.loads(stdout.getvalue())
    table = PAGE.split("in objects of these fields:")[1].split("\n\n")[1]
    assert list(found) == re.findall(
        r"`([a-z]+)`(?=[,` |])", "\n".join(row.split("|")[1] for row in table.splitlines())
    )
    assert (found["line"], found["time"]) == ("\x1b[31m", "1970-01-01T00:00:00.125Z")


@pytest.mark.parametrize(
    ("found", "prefix"),
    [
        (line(), "train[7]"),
        (line(task=0), "train[7]"),
        (line(task=3, is_map=True), "train[7] task 3"),
        (line(task=3, item=317, is_map=True), "train[7] item 317"),
        (line(title="tasks 0-3", is_map=True), "train[7] tasks 0-3"),
        (MissingOutput(7, "train", "stdout", 9, 3, True), "train[7] task 3"),
    ],
)
def test_a_line_says_whose_it_is(found: LogLine, prefix: str) -> None:
    assert prefix_of(found) == prefix


@pytest.mark.parametrize(
    "text",
    ["\x1b[2J\x1b]0;title\x07", "\x9b31m", "\x1bc", "\b\b\b", "\x00\x7f", "\u202e", "\x1b]8;;http://x\x1b\\link"],
)
@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_nothing_that_steers_a_terminal_is_written(text: str, kind: type[io.StringIO]) -> None:
    stdout, stderr = kind(), kind()
    look = Look([line(f"a{text}b", electron=f"e{text}"), MissingOutput(7, f"e{text}", "stdout", 1, 0, False)])
    look.notices.append(f"told{text}")
    LinePrinter("d", stdout, stderr).show(look, False)
    written = stdout.getvalue() + stderr.getvalue()
    assert [char for char in written if not char.isprintable() and char != "\n"] == []


def test_a_terminal_shows_the_last_state_of_a_progress_bar_and_a_file_all_of_them() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stdout in (terminal, file):
        LinePrinter("d", stdout, io.StringIO(), has_prefix=False).show(Look([line(" 10%\r 20%\r")]), False)
    assert (terminal.getvalue(), file.getvalue()) == (" 20%\n", " 10%\r 20%\r\n")


def test_the_next_attempt_is_told() -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    printer = LinePrinter("d", stdout, stderr, has_prefix=False, has_times=True)
    printer.show(Look([line("a", task=0, attempt=0, seconds=1.0)]), False)
    printer.show(Look([line("b", task=0, attempt=1), line("c", task=0, attempt=1)]), False)
    assert stderr.getvalue() == "covalent-parallel: train[7]: attempt 1\n"
    assert stdout.getvalue().splitlines() == [
        "1970-01-01T00:00:01.000Z a", f"{'-':<24} b", f"{'-':<24} c"
    ]  # fmt: skip


def test_the_next_job_is_told_once_and_its_attempts_begin_anew() -> None:
    stderr = io.StringIO()
    printer = LinePrinter("d", io.StringIO(), stderr)
    for job, attempt, task in ((0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 0)):
        printer.show(Look([line("a", task=task, attempt=attempt, job=job)]), False)
    assert [told.partition("]: ")[2] for told in stderr.getvalue().splitlines()] == ["attempt 1", "job 2", "attempt 1"]


def test_the_last_lines_are_those_of_all_that_was_there_at_first() -> None:
    stdout = io.StringIO()
    printer = LinePrinter("d", stdout, io.StringIO(), has_prefix=False, tail=2)
    for number in range(3):
        printer.show(Look([line(f"{number}a"), line(f"{number}b")], is_behind=number < 2), False)
    assert stdout.getvalue() == "2a\n2b\n"
    printer.show(Look([line(text) for text in "xyz"], is_behind=True), False)
    assert stdout.getvalue() == "2a\n2b\nx\ny\nz\n"


def test_the_last_lines_are_those_of_each_source() -> None:
    lines = [line(str(number), item=number % 2, is_map=True) for number in range(6)]
    assert [each.text for each in last_of_each(lines, 2) if isinstance(each, LogLine)] == ["2", "3", "4", "5"]
    assert last_of_each(lines, 0) == []
    assert last_of_each(lines, None) == lines
