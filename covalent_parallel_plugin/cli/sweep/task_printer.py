"""Print what a task of a sweep has printed: bytes as they were into a pipe or a file, else lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

from covalent_parallel_plugin.cli.printed_lines import NO_TIME, missing_text, shown_text, tell, time_text, write_line
from covalent_parallel_plugin.programs.kept_output import StreamName
from covalent_parallel_plugin.results.live_lines import LineAssembler, PrintedLine, SkippedBytes
from covalent_parallel_plugin.sweep.printed_piece import AttemptEnd, PrintedPiece

Source = tuple[int, StreamName]
Found = tuple[Source, PrintedLine | SkippedBytes]


@dataclass
class TaskPrinter:
    """Prints the output of one task of a sweep.

    Attributes:
        streams: those that are asked for; of both, each one goes to its own.
        tail: how many lines of each stream are printed of what is there at first; None for all.
    """

    sweep: str
    task: str
    streams: Sequence[StreamName]
    stdout: TextIO
    stderr: TextIO
    is_json: bool = False
    has_times: bool = False
    tail: int | None = None
    _lines: dict[Source, LineAssembler] = field(default_factory=dict)
    _positions: dict[Source, int] = field(default_factory=dict)
    _waiting: list[Found] = field(default_factory=list)

    def __post_init__(self) -> None:
        is_plain = not self.is_json and not self.has_times and self.tail is None
        self._is_raw = is_plain and len(self.streams) == 1 and not self.stdout.isatty()

    def take(self, piece: PrintedPiece) -> None:
        """Take some output; what it makes of it is printed by `flush`."""
        source = (piece.attempt, piece.stream)
        if piece.stream not in self.streams:
            return
        if self._is_raw:
            self._write_bytes(source, piece)
        else:
            lines = self._lines.setdefault(source, LineAssembler())
            self._waiting += [(source, line) for line in lines.add(piece.output)]

    def _write_bytes(self, source: Source, piece: PrintedPiece) -> None:
        position, output = self._positions.get(source, 0), piece.output
        if output.start > position:
            self._tell_missing(source, output.start - position)
        self.stdout.flush()
        self.stdout.buffer.write(output.data[max(position - output.start, 0) :])
        self.stdout.buffer.flush()
        self._positions[source] = max(position, output.end)

    def flush(self) -> None:
        """Print the lines that are whole; of the first ones only as many as are wanted."""
        waiting, self._waiting = self._in_time(self._waiting), []
        if self.tail is not None:
            waiting, self.tail = self._last(waiting, self.tail), None
        for source, found in waiting:
            if isinstance(found, SkippedBytes):
                self._tell_missing(source, found.size)
            else:
                self._print(source, found)
        self.stdout.flush()
        self.stderr.flush()

    def _last(self, lines: Sequence[Found], count: int) -> list[Found]:
        """Return the last lines of each stream."""
        left, kept = dict.fromkeys(self.streams, count), list[Found]()
        for source, line in reversed(lines):
            if left[source[1]] > 0 and isinstance(line, PrintedLine):
                left[source[1]] -= 1
                kept.append((source, line))
        return kept[::-1]

    def finish(self) -> None:
        """Print what is there, also of lines that are not whole."""
        for source, lines in self._lines.items():
            self._waiting += [(source, line) for line in lines.finish()]
        self.flush()

    def start_over(self) -> None:
        """Print what is there; what comes next is of other attempts with the same numbers."""
        self.finish()
        self._lines.clear()
        self._positions.clear()

    def end_attempt(self, end: AttemptEnd) -> None:
        """Print the rest of an attempt, and how it ended where that is not how the task did."""
        for source, lines in self._lines.items():
            if source[0] == end.attempt:
                self._waiting += [(source, line) for line in lines.finish()]
        if not end.is_last:
            # Of more attempts the last lines are wanted of all of them
            if self.tail is None:
                self.flush()
            self.tell(f"attempt {end.attempt}: {end.status}" + (f": {end.reason}" if end.reason else ""))

    def tell(self, text: str) -> None:
        """Print a line of the command's own."""
        tell(self.stderr, f"{self.task}: {text}")
        self.stderr.flush()

    def _tell_missing(self, source: Source, size: int) -> None:
        self.tell(missing_text(size, source[1]))

    def _print(self, source: Source, line: PrintedLine) -> None:
        attempt, stream = source
        if self.is_json:
            fields = {"sweep": self.sweep, "task": self.task, "attempt": attempt, "stream": stream}
            write_line(self.stdout, json.dumps({**fields, "time": time_text(line.seconds), "line": line.text}))
            return
        file = self.stderr if len(self.streams) > 1 and stream == "stderr" else self.stdout
        when = f"{time_text(line.seconds) or NO_TIME} " if self.has_times else ""
        write_line(file, when + shown_text(line.text, file))

    def _in_time(self, lines: Sequence[Found]) -> list[Found]:
        """Put the lines of both streams of an attempt in the order of their times, as far as these are known."""
        last: dict[Source, float] = {}
        timed = []
        for source, line in lines:
            if isinstance(line, PrintedLine) and line.seconds is not None:
                last[source] = line.seconds
            timed.append((source[0], last.get(source, 0.0), source, line))
        if len(self.streams) > 1:
            timed.sort(key=lambda each: each[:2])
        return [(source, line) for _, _, source, line in timed]
