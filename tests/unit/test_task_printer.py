"""What is printed of a task of a sweep: bytes into a pipe, else lines, and nothing that steers a terminal."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.cli.sweep.task_here import TaskHere
from covalent_parallel_plugin.cli.sweep.task_printer import TaskPrinter
from covalent_parallel_plugin.protocol.live_part import LiveStream
from covalent_parallel_plugin.sweep.printed_piece import STREAMS, AttemptEnd, PrintedPiece
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder

ESCAPES = b"\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m\rblue\n"


class Text(io.TextIOWrapper):
    """A pipe, or a terminal, that is read here."""

    def __init__(self, is_terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="\n")
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal

    @property
    def data(self) -> bytes:
        self.flush()
        buffer: Any = self.buffer
        found: bytes = buffer.getvalue()
        return found


def made(is_terminal: bool = False, **options: Any) -> TaskPrinter:
    return TaskPrinter("art", "x=1", options.pop("streams", ["stdout"]), Text(is_terminal), Text(True), **options)


def printed(printer: TaskPrinter) -> tuple[bytes, bytes]:
    printer.finish()
    streams: list[Any] = [printer.stdout, printer.stderr]
    return streams[0].data, streams[1].data


def piece(
    data: bytes, start: int = 0, attempt: int = 0, seconds: float | None = None, stream: Any = "stdout"
) -> PrintedPiece:
    times = () if seconds is None else ((start, seconds),)
    return PrintedPiece(attempt, stream, LiveStream(start, data, times))


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=5), st.lists(st.integers(0, 5), max_size=3))
def test_a_pipe_gets_each_byte_once_however_it_is_cut(data: bytes, cuts: list[int], again: list[int]) -> None:
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    printer = made()
    for number, (start, end) in enumerate(pairwise(bounds)):
        # Some parts begin before what was there already
        before = max(start - 3, 0) if number in again else start
        printer.take(piece(data[before:end], before))
        printer.flush()
    assert printed(printer) == (data, b"")


def test_a_terminal_gets_no_escape_sequences_and_a_pipe_those_that_were_printed() -> None:
    for is_terminal, expected in ((False, ESCAPES), (True, b"blue\n")):
        printer = made(is_terminal)
        printer.take(piece(ESCAPES))
        assert printed(printer) == (expected, b"")
    printer = made(streams=STREAMS)
    printer.take(piece(ESCAPES, stream="stderr"))
    assert printed(printer) == (b"", b"blue\n")


@pytest.mark.parametrize("is_json", [False, True])
def test_lines_are_whole_and_have_the_time_of_their_first_byte(is_json: bool) -> None:
    printer = made(is_json=is_json, has_times=not is_json)
    printer.take(piece(b"one\ntw", 0, seconds=1.5))
    printer.flush()
    assert printer.stdout.data.count(b"\n") == 1  # type: ignore[attr-defined]
    printer.take(piece(b"o\nlast", 6, seconds=3.0))
    shown, _ = printed(printer)
    times = ["1970-01-01T00:00:01.500Z", "1970-01-01T00:00:01.500Z", "1970-01-01T00:00:03.000Z"]
    if is_json:
        found = [json.loads(line) for line in shown.splitlines()]
        own = {"sweep": "art", "task": "x=1", "attempt": 0, "stream": "stdout"}
        assert found == [
            {**own, "time": when, "line": text} for when, text in zip(times, ["one", "two", "last"], strict=True)
        ]
    else:
        assert shown.decode() == f"{times[0]} one\n{times[1]} two\n{times[2]} last\n"


def test_json_holds_whatever_a_program_prints_on_one_line() -> None:
    printer = made(is_json=True)
    printer.take(piece(ESCAPES + b"\xff\x00\xe2\x80\xa8\n"))
    shown, _ = printed(printer)
    assert [json.loads(line)["line"] for line in shown.splitlines()] == [
        ESCAPES.decode().rstrip("\n"), "\ufffd\x00\u2028",
    ]  # fmt: skip
    assert b"\x1b" not in shown


def test_both_streams_are_in_the_order_of_their_times() -> None:
    printer = made(streams=STREAMS, is_json=True)
    printer.take(PrintedPiece(0, "stdout", LiveStream(0, b"1\n3\n", ((0, 1.0), (2, 3.0)))))
    printer.take(PrintedPiece(0, "stderr", LiveStream(0, b"2\n4\n", ((0, 2.0), (2, 4.0)))))
    shown, _ = printed(printer)
    assert [json.loads(line)["line"] for line in shown.splitlines()] == ["1", "2", "3", "4"]


def test_the_last_lines_are_those_of_each_stream_and_then_all_that_comes() -> None:
    printer = made(streams=STREAMS, tail=2)
    printer.take(piece(b"a\nb\nc\n"))
    printer.take(piece(b"e\n", stream="stderr"))
    printer.end_attempt(AttemptEnd(0, "failed", "exit status 9", False))
    printer.take(piece(b"d\n", attempt=1))
    printer.flush()
    printer.take(piece(b"f\ng\nh\n", 2, attempt=1))
    shown, told = printed(printer)
    assert shown == b"c\nd\nf\ng\nh\n"
    assert told == b"covalent-parallel: x=1: attempt 0: failed: exit status 9\ne\n"


def test_what_is_missing_is_said_and_the_rest_of_an_attempt_comes_before_its_end() -> None:
    for options in ({}, {"has_times": True}):
        printer = made(**options)
        printer.take(piece(b"one\ntw"))
        printer.take(piece(b"end", 1_000_006))
        printer.end_attempt(AttemptEnd(0, "lost", "gone", False))
        before = printer.stdout.data  # type: ignore[attr-defined]
        printer.take(piece(b"again\n", attempt=1))
        _, told = printed(printer)
        assert b"one" in before and b"tw" in before and before.rstrip().endswith(b"end")
        missing, ended = told.decode().splitlines()
        assert missing.startswith("covalent-parallel: x=1: 1,000,000 bytes of stdout are missing here")
        assert ended == "covalent-parallel: x=1: attempt 0: lost: gone"


def test_a_round_that_begins_anew_is_printed_from_its_start() -> None:
    printer = made()
    printer.take(piece(b"first\n"))
    printer.start_over()
    printer.take(piece(b"second\n"))
    assert printed(printer) == (b"first\nsecond\n", b"")


def test_own_messages_cannot_steer_a_terminal() -> None:
    printer = made()
    printer.end_attempt(AttemptEnd(0, "lost", ESCAPES.decode(), False))
    assert b"\x1b" not in printed(printer)[1]


def test_a_new_file_of_a_task_here_is_another_attempt(tmp_path: Path) -> None:
    (tmp_path / "x=1").mkdir()
    path, printer = tmp_path / "x=1" / "stdout.txt", made(is_json=True)
    here = TaskHere(OutFolder(tmp_path), "x=1", printer)
    here.show(follow=False)
    for text in ("first try\n", "again\n", "again\nand on\n"):
        path.write_text(text)
        here.show(follow=False)
    found = [json.loads(line) for line in printed(printer)[0].splitlines()]
    assert [(line["attempt"], line["line"]) for line in found] == [(0, "first try"), (1, "again"), (1, "and on")]
