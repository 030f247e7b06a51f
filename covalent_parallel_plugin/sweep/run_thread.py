"""A run of a sweep in a thread of its own, since a notebook's main thread runs a loop; it reports to another one."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..programs.kept_output import StreamName
from ..programs.verdict import TaskEnd
from .local.observer import RunObserver
from .local.run import LocalRun, RunEnd
from .opened_sweep import OpenedSweep
from .plan import RunRequest
from .records.batch_look import BatchStatus
from .records.journal import Journal
from .records.record import Record
from .run_base import RunOutcome
from .run_sweep import SweepRun
from .tasks import SweepTask

if TYPE_CHECKING:
    from .batch.batch_run import BatchRunner
    from .batch.run_on_batch import BatchSweepRun

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOptions:
    """What a run is asked for: which tasks, and as the options of `sweep run` have it."""

    request: RunRequest
    is_local: bool
    keep_image: bool
    download: bool
    follow: bool
    show: bool


@dataclass(frozen=True)
class RunEvent:
    """What a run reports: that it is planned, an observer's event, or a task's record."""

    is_planned: bool = False
    tell: Callable[[RunObserver], None] | None = None
    record: Record | None = None


class RunThread(threading.Thread):
    """A run, which reports to whoever asks for its events.

    Attributes:
        is_over: whether it has ended, and all of its events were asked for.
        sweep: what runs, once it is planned.
        outcome: how it ended; None where it could not begin, or failed.
        end: the same, as what ran the tasks has it.
        error: what it raised.
    """

    def __init__(self, opened: OpenedSweep, journal: Journal, options: RunOptions) -> None:
        super().__init__(name=f"sweep-{opened.file.name}")
        self.is_over = False
        # At last None
        self._events: queue.SimpleQueue[RunEvent | None] = queue.SimpleQueue()
        self.sweep: SweepRun | BatchSweepRun | None = None
        self.outcome: RunOutcome | None = None
        self.end = RunEnd(False, "")
        self.error: BaseException | None = None
        self._opened, self._journal, self._options = opened, journal, options
        self._is_cancelled = False
        self._end_tasks: Callable[[], None] | None = None
        self._runner: LocalRun | BatchRunner | None = None

    @property
    def look(self) -> BatchStatus:
        """The progress that the job on Batch last reported."""
        return BatchStatus() if self._runner is None or isinstance(self._runner, LocalRun) else self._runner.look

    @property
    def used_hours(self) -> float:
        """How many hours tasks have run on this machine, those of earlier runs too."""
        return self._runner.used_hours if isinstance(self._runner, LocalRun) else 0.0

    def run(self) -> None:
        """Run the sweep; called by the thread itself."""
        try:
            self._run()
        except BaseException as error:  # raised again by whoever waits
            self.error = error
        finally:
            self._events.put(None)

    def report(self, event: RunEvent) -> None:
        """Add an event; called by the run."""
        self._events.put(event)

    def next_event(self, seconds: float) -> RunEvent | None:
        """Return the next event; None if there was none for so long, or if the run is over."""
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return None
        self.is_over = event is None
        return event

    def cancel(self) -> None:
        """End all that runs, and start nothing more; may be called by any thread, and by a signal's handler."""
        self._is_cancelled = True
        if self._end_tasks is not None:
            self._end_tasks()

    def take_cancel(self) -> bool:
        """Return whether another process has asked for the end of a run that hears no signals. Raises OSError."""
        return not self._journal.state.hears_signals and self._opened.out.take_cancel()

    def _run(self) -> None:
        sweep = self._make()
        sweep.prepare(self._options.request, self._options.keep_image)
        self.sweep = sweep
        self.report(RunEvent(is_planned=True))
        if warning := sweep.begin():
            logger.warning("%s", warning)
        for record in sweep.done_before():
            self.report(RunEvent(record=record))
        if sweep.plan.to_run:
            self.end = self._run_tasks(sweep)
        self.outcome = sweep.finish(
            self.end.cancelled, self.end.message, self.end.detached, self.end.overrun is not None
        )

    def _run_tasks(self, sweep: SweepRun | BatchSweepRun) -> RunEnd:
        observer = _Reports(self, sweep)
        runner = sweep.local_run(observer) if isinstance(sweep, SweepRun) else sweep.runner(observer)
        self._end_tasks = runner.cancel
        self._runner = runner
        # Asked before there was anything to end
        if self._is_cancelled:
            runner.cancel()
        return runner.run()

    def _make(self) -> SweepRun | BatchSweepRun:
        if self._options.is_local:
            return SweepRun(self._opened, self._journal, os.environ)
        # Here, so that a run on this machine loads no client of Google's
        from ..cloud.emulator_runtime import require_containers
        from .batch.run_on_batch import BatchSweepRun

        require_containers(os.environ)
        return BatchSweepRun(self._opened, self._journal, os.environ, self._options.download)


class _Reports:
    """An observer that puts all reports into the thread's events."""

    def __init__(self, thread: RunThread, sweep: SweepRun | BatchSweepRun) -> None:
        self._thread, self._sweep = thread, sweep

    def started(self, task: SweepTask) -> None:
        self._put(lambda observer: observer.started(task))

    def printed(self, task: SweepTask, stream: StreamName, data: bytes) -> None:
        # Few want it, and it may be much
        if self._thread._options.follow:
            self._put(lambda observer: observer.printed(task, stream, data))

    def ended(self, task: SweepTask, end: TaskEnd) -> None:
        self._put(lambda observer: observer.ended(task, end), self._sweep.record(task, end))

    def tick(self) -> None:
        # Python waits for this thread where nobody else does any more
        if not threading.main_thread().is_alive() or self._thread.take_cancel():
            self._thread.cancel()

    def _put(self, tell: Callable[[RunObserver], None], record: Record | None = None) -> None:
        self._thread.report(RunEvent(tell=tell, record=record))
