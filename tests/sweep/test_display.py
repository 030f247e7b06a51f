"""What a run shows: lines, lines of output, the table of a terminal, and texts of programs made harmless."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from reported_tasks import DONE, FAILED, Clock, task
from rich.console import Console

from covalent_parallel_plugin.sweep.display.interruption import Interruption
from covalent_parallel_plugin.sweep.display.live_table import LiveTable, rendered
from covalent_parallel_plugin.sweep.display.plain_lines import FollowedOutput, PlainLines
from covalent_parallel_plugin.sweep.display.printable import last_line, printable, shown_command
from covalent_parallel_plugin.sweep.display.run_progress import RunProgress, duration
from covalent_parallel_plugin.sweep.records.batch_look import BatchStatus


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(tmp_path: Path, clock: Clock) -> RunProgress:
    return RunProgress("art", 300, 5, tmp_path.joinpath, clock)


@pytest.fixture
def interruption() -> Interruption:
    return Interruption(can_ask=False)


def test_tasks_that_are_cancelled_together_change_no_rate(progress: RunProgress, clock: Clock) -> None:
    for name in "abcd":
        progress.start(task(name))
    for name in "ab":
        clock.seconds += 30
        progress.end(task(name), DONE)
    before = progress.per_minute
    for name in "cd":
        progress.end(task(name), replace(DONE, status="cancelled"))
    assert before == progress.per_minute == 2.0


def test_a_line_per_percent_failure_and_minute(
    progress: RunProgress, interruption: Interruption, clock: Clock, tmp_path: Path
) -> None:
    lines: list[str] = []
    shown = PlainLines(progress, interruption, lines.append)
    for number in range(6):
        shown.started(task(f"t{number}"))
    for number in range(5):
        clock.seconds += 1
        shown.ended(task(f"t{number}"), DONE)
        shown.tick()
    assert lines == ["art: 1%: 8 done, 3 running, 0 failed, 294 waiting, elapsed 3s, left 4m57s"]
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5" / "stderr.txt").write_text("Traceback\nValueError: five\n\n")
    shown.ended(task("t5"), FAILED)
    assert lines[1:] == [
        "t5: failed, exit 2: ValueError: five",
        "art: 2%: 10 done, 0 running, 1 failed, 294 waiting, elapsed 5s, left 4m05s",
    ]
    clock.seconds += 59
    shown.tick()
    clock.seconds += 1
    shown.tick()
    shown.tick()
    assert lines[3:] == ["art: 2%: 10 done, 0 running, 1 failed, 294 waiting, elapsed 1m05s, left 53m05s"]


def test_every_line_of_output_stands_after_its_tasks_name(progress: RunProgress, interruption: Interruption) -> None:
    lines: list[str] = []
    shown = FollowedOutput(progress, interruption, lines.append)
    shown.printed(task("a"), "stdout", b"one\ntw")
    shown.printed(task("b"), "stdout", b"other\n")
    shown.printed(task("a"), "stderr", b"error\n")
    shown.printed(task("a"), "stdout", b"o\n\nrest \xff")
    assert lines == ["a: one", "b: other", "a: error", "a: two", "a: "]
    shown.ended(task("a"), DONE)
    assert lines[5] == "a: rest \ufffd"
    shown.printed(task("b"), "stdout", b"x" * 70_000)
    assert len(lines[-1]) == 70_003


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (" 10%\r 50%\r100%\r", "100%"),
        ("crlf\r", "crlf"),
        ("a\tb", "a   b"),
        ("\x00\x07\x08nul\u202e\x9b", "nul"),
        ("\x1b", ""),
        ("☃ ünï", "☃ ünï"),
    ],
)
def test_texts_of_programs_have_no_control_characters(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_a_command_is_shown_as_a_shell_takes_it() -> None:
    words = ["echo", "a b", "it's", "x\ny\x1b'\\", "", "$(ls)"]
    assert shown_command(words) == "echo 'a b' 'it'\"'\"'s' $'x\\x0ay\\x1b\\x27\\x5c' '' '$(ls)'"


def test_the_last_line_is_of_standard_error_if_it_has_any(tmp_path: Path) -> None:
    assert last_line(tmp_path) == ""
    (tmp_path / "stdout.txt").write_bytes(b"x" * 100_000 + b"\nout\n\n")
    (tmp_path / "stderr.txt").write_bytes(b"\n \n")
    assert last_line(tmp_path) == "out"
    (tmp_path / "stderr.txt").write_bytes(b"why\x1b[0m\n")
    assert last_line(tmp_path) == "why"


def test_the_table_fits_a_terminal(progress: RunProgress, tmp_path: Path) -> None:
    for number in range(12):
        progress.start(task(f"a-rather-long-name-of-a-task={number}"))
    for number in range(7):
        name = f"a-rather-long-name-of-a-task={number}"
        (tmp_path / name).mkdir()
        (tmp_path / name / "stdout.txt").write_text("[bold]no markup[/bold] " + "long " * 40)
        progress.end(task(name), FAILED)
    text = io.StringIO()
    Console(file=text, width=80).print(rendered(progress, "note"))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) == 9
    assert "7 of 300" in lines[0]
    assert lines[1].startswith("5 done  5 running  7 failed  288 waiting  elapsed 0s")
    assert "and 1 more" in lines[2] or "…" in lines[2]
    assert "failed, exit 2" in lines[3] and "[bold]" in lines[3]
    assert lines[-1].strip() == "note"


@pytest.mark.parametrize("width", [60, 80])
def test_rate_time_left_and_machine_hours_fit_a_terminal(progress: RunProgress, clock: Clock, width: int) -> None:
    progress.done_before, progress.used_hours = 12_345, lambda: 1234.5678
    for number in range(8):
        progress.start(task(f"t{number}"))
    clock.seconds += 10
    for number in range(4):
        progress.end(task(f"t{number}"), DONE)
    text = io.StringIO()
    Console(file=text, width=width).print(rendered(progress, ""))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    shown = " ".join(" ".join(lines).split())
    assert "12349 done 4 running 0 failed 292 waiting elapsed 10s left 12m20s 24 a minute 1,235 machine-hours" in shown
    assert progress.line().endswith(", elapsed 10s, left 12m20s, 24 a minute, 1,235 machine-hours")


def test_what_has_ended_on_batch_counts_before_it_was_read(
    progress: RunProgress, interruption: Interruption, clock: Clock
) -> None:
    lines: list[str] = []
    shown = PlainLines(progress, interruption, lines.append)
    looks = [BatchStatus(8, 0, 0, 100.0, None, 0.0, 0.5)]
    progress.elsewhere = lambda: looks[-1]
    shown.tick()
    clock.seconds += 60
    looks.append(BatchStatus(8, 16, 16, 100.0, 160.0, 8.0, 0.75))
    shown.tick()
    assert lines == [
        "art: 5%: 5 done, 8 running, 0 failed, 16 ended, 276 waiting, elapsed 1m00s, left 17m45s, 16 a minute,"
        " 0.75 machine-hours"
    ]


def test_the_live_table_draws_when_it_ticks(progress: RunProgress, interruption: Interruption) -> None:
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True)
    with LiveTable(progress, interruption, console) as shown:
        shown.started(task("a"))
        before = text.getvalue()
        shown.printed(task("a"), "stdout", b"x")
        assert text.getvalue() == before
        shown.tick()
        assert "running: a 0s" in text.getvalue()[len(before) :]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59.9, "59s"), (61, "1m01s"), (3723, "1h02m03s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
