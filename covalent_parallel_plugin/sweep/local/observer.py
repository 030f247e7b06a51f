"""What a local run reports while it runs."""

from __future__ import annotations

from typing import Protocol

from ...programs.kept_output import StreamName
from ...programs.verdict import TaskEnd
from ..tasks import SweepTask


class RunObserver(Protocol):
    """Whoever shows a run. Its methods are called one at a time, from several threads, and must return soon."""

    def started(self, task: SweepTask) -> None:
        """Report that a task begins; its further attempts are not reported."""

    def printed(self, task: SweepTask, stream: StreamName, data: bytes) -> None:
        """Report what a running task has printed; what does not end a line may continue in the next call."""

    def ended(self, task: SweepTask, end: TaskEnd) -> None:
        """Report that a task has ended, and the journal says so."""

    def tick(self) -> None:
        """About four times a second, from the thread that called `LocalRun.run`."""
