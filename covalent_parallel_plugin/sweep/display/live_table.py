"""A run on a terminal: counts, times, what runs, and the last failures, in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...programs.kept_output import StreamName
from ...programs.verdict import TaskEnd
from ..tasks import SweepTask
from .interruption import Interruption
from .run_progress import RunProgress, duration

SHOWN_RUNNING = 4
GAP = "  "
COLOURS = {"done": "green", "running": "cyan", "failed": "red", "cancelled": "yellow"}


class RunTable:
    """Counts what a run reports; how the table is drawn is its subclasses'."""

    def __init__(self, progress: RunProgress, interruption: Interruption) -> None:
        self._progress = progress
        self._interruption = interruption

    def started(self, task: SweepTask) -> None:
        """Count it."""
        self._progress.start(task)

    def printed(self, task: SweepTask, stream: StreamName, data: bytes) -> None:
        """Leave it to the task's files."""

    def ended(self, task: SweepTask, end: TaskEnd) -> None:
        """Count it."""
        self._progress.end(task, end)


class LiveTable(RunTable):
    """Shows a run while it is entered."""

    def __init__(self, progress: RunProgress, interruption: Interruption, console: Console) -> None:
        super().__init__(progress, interruption)
        # Refreshed by ticks only, in one write each
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> LiveTable:
        with self._interruption.showing():
            self._live.start()
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show()
        with self._interruption.showing():
            self._live.stop()

    def tick(self) -> None:
        """Draw it again."""
        self._interruption.poll()
        self._show()

    def _show(self) -> None:
        with self._interruption.showing():
            self._live.update(rendered(self._progress, self._interruption.note), refresh=True)


def rendered(progress: RunProgress, note: str) -> RenderableType:
    """Return the table of a run."""
    parts: list[RenderableType] = [_head(progress), _counts(progress)]
    if progress.running:
        parts.append(_running(progress))
    if progress.failures:
        parts.append(_failures(progress))
    # The last line is where the terminal writes ^C
    return Group(*parts, Text(note, "bold yellow"))


def _head(progress: RunProgress) -> RenderableType:
    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(no_wrap=True)
    head.add_column(ratio=1)
    head.add_column(justify="right", no_wrap=True)
    bar = ProgressBar(max(progress.total, 1), progress.ended + progress.unread)
    head.add_row(Text(progress.name, "bold"), bar, Text(f"{progress.ended + progress.unread} of {progress.total}"))
    return head


def _counts(progress: RunProgress) -> RenderableType:
    left = "not known" if progress.left_seconds is None else duration(progress.left_seconds)
    counts = [
        Text(f"{count} {name}", COLOURS.get(name, "") if count else "")
        for name, count in progress.shown_counts().items()
    ]
    others = [f"elapsed {duration(progress.elapsed_seconds)}", f"left {left}", *progress.use_texts()]
    return PackedTexts([*counts, *map(Text, others)])


@dataclass(frozen=True)
class PackedTexts:
    """Short texts beside each other, in as many lines as they take."""

    texts: Sequence[Text]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines, none of them wider than the terminal."""
        line = Text(no_wrap=True, overflow="ellipsis")
        for text in self.texts:
            if line and len(line) + len(GAP) + len(text) > options.max_width:
                yield line
                line = Text(no_wrap=True, overflow="ellipsis")
            line.append(GAP if line else "").append_text(text)
        yield line


def _running(progress: RunProgress) -> RenderableType:
    running = progress.running_seconds()
    shown = "  ".join(f"{name} {duration(seconds)}" for name, seconds in running[:SHOWN_RUNNING])
    rest = f"  and {len(running) - SHOWN_RUNNING} more" if len(running) > SHOWN_RUNNING else ""
    return Text(f"running: {shown}{rest}", no_wrap=True, overflow="ellipsis")


def _failures(progress: RunProgress) -> RenderableType:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=30)
    table.add_column(no_wrap=True, style="red")
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for failure in list(progress.failures):
        table.add_row(Text(failure.task), failure.ending, Text(failure.line))
    return table
