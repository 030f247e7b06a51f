"""A run in lines: one for each percent, failure and minute, or each line that its tasks print."""

from __future__ import annotations

from collections.abc import Callable

from ...programs.kept_output import StreamName
from ...programs.verdict import TaskEnd
from ..tasks import SweepTask
from .interruption import Interruption
from .printable import printable
from .run_progress import RunProgress

LINE_EVERY_SECONDS = 60.0
# What has no line's end is shown all the same from here on
LONGEST_LINE_BYTES = 65536


class PlainLines:
    """Prints a line per percent, per failure and per minute; with `is_verbose` also each task's folder as it begins."""

    def __init__(
        self,
        progress: RunProgress,
        interruption: Interruption,
        print_line: Callable[[str], None],
        is_verbose: bool = False,
    ) -> None:
        self._is_verbose = is_verbose
        self._progress = progress
        self._interruption = interruption
        self._print_line = print_line
        self._percent = progress.percent
        self._printed_seconds = 0.0
        self._note = ""

    def started(self, task: SweepTask) -> None:
        """Count it."""
        self._progress.start(task)
        if self._is_verbose:
            self._print(f"{task.name}: begins in {self._progress.folder(task.name)}")

    def printed(self, task: SweepTask, stream: StreamName, data: bytes) -> None:
        """Leave it to the task's files."""

    def ended(self, task: SweepTask, end: TaskEnd) -> None:
        """Report a failure, and a new percent."""
        if failure := self._progress.end(task, end):
            self._print(str(failure))
        self._print_percent()

    def tick(self) -> None:
        """Report each minute, a percent more on Batch, and what an interruption asks."""
        self._interruption.poll()
        if self._interruption.note != self._note:
            self._note = self._interruption.note
            if self._note:
                self._print(self._note)
        self._print_percent()
        if self._progress.elapsed_seconds - self._printed_seconds >= LINE_EVERY_SECONDS:
            self._print_progress()

    def _print(self, line: str) -> None:
        with self._interruption.showing():
            self._print_line(line)

    def _print_percent(self) -> None:
        if self._progress.percent != self._percent:
            self._percent = self._progress.percent
            self._print_progress()

    def _print_progress(self) -> None:
        self._printed_seconds = self._progress.elapsed_seconds
        self._print(self._progress.line())


class FollowedOutput(PlainLines):
    """Prints every line of output after its task's name, beside the other lines."""

    def __init__(
        self,
        progress: RunProgress,
        interruption: Interruption,
        print_line: Callable[[str], None],
        is_verbose: bool = False,
    ) -> None:
        super().__init__(progress, interruption, print_line, is_verbose)
        self._rests: dict[tuple[str, StreamName], bytes] = {}

    def printed(self, task: SweepTask, stream: StreamName, data: bytes) -> None:
        """Print whole lines, and keep what does not end one yet."""
        *lines, rest = (self._rests.pop((task.name, stream), b"") + data).split(b"\n")
        if len(rest) > LONGEST_LINE_BYTES:
            lines, rest = [*lines, rest], b""
        for line in lines:
            self._print_output(task, line)
        if rest:
            self._rests[task.name, stream] = rest

    def ended(self, task: SweepTask, end: TaskEnd) -> None:
        """Print what is left of its output, then as without it."""
        for stream in ("stdout", "stderr"):
            if rest := self._rests.pop((task.name, stream), b""):
                self._print_output(task, rest)
        super().ended(task, end)

    def _print_output(self, task: SweepTask, line: bytes) -> None:
        self._print(f"{task.name}: {printable(line.decode('utf-8', 'replace'))}")
