"""Run a sweep for Python: round after round in a thread, shown by the thread that waits, records as tasks end."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SweepBudgetError, SweepStoppedError
from .display.interruption import Interruption, is_main
from .display.plain_lines import FollowedOutput, PlainLines
from .display.run_progress import RunProgress
from .display.run_summary import run_summary
from .opened_sweep import OpenedSweep
from .plan import reason_lines
from .python_file import options_in_python
from .python_source import SweepSource
from .records.journal import Journal
from .records.record import Record
from .run_cancellation import BATCH_WAIT_SECONDS
from .run_thread import RunOptions, RunThread

if TYPE_CHECKING:
    from .local.observer import RunObserver

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
# Runs of this process by their folders: a signal would end all of the process
_RUNS: dict[Path, PythonRun] = {}


class PythonRun:
    """A run of all rounds of a sweep.

    Args:
        source: the sweep.
        options: what is asked for.
    """

    def __init__(self, source: SweepSource, options: RunOptions) -> None:
        self._source, self._options = source, options
        self._thread: RunThread | None = None
        self._is_cancelled = False
        self._interruption = Interruption(can_ask=False)
        self._interruption.cancel = self.cancel
        self._records: list[Record] = []

    @staticmethod
    def find(out: Path) -> PythonRun | None:
        """Return the run of this process that writes to a folder."""
        return _RUNS.get(out)

    @property
    def result(self) -> list[Record]:
        """The records of all tasks that were asked for, in order, once the run is over."""
        return self._records

    def cancel(self) -> None:
        """End all that runs, and start nothing more; may be called by any thread, and by a signal's handler."""
        self._is_cancelled = True
        if self._thread is not None:
            self._thread.cancel()

    def wait(self) -> bool:
        """Wait until nothing of it runs, up to BATCH_WAIT_SECONDS; return whether that is so."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(BATCH_WAIT_SECONDS)
        return self._thread is None or not self._thread.is_alive()

    def iterate(self) -> Iterator[Record]:
        """Run; yield each task's record once: of those that are done already, then of the others as they end.

        Closed before its end, it cancels what runs.

        Raises:
            SweepStoppedError: not all tasks were started, or it was cancelled. KeyboardInterrupt: by Ctrl-C.
            ParallelError: nothing was started. OSError: the folder cannot be used.
        """
        source = self._source
        with self._hearing(), source.in_python(), contextlib.ExitStack() as stack:
            with self._interruption.leaving(signal.SIGINT):
                source.take_up(begins=True)
            opened = source.open(self._options.is_local)
            for warning in opened.warnings:
                logger.warning("%s", source.warning(warning))
            journal = stack.enter_context(opened.out.hold(opened.file.name, hears_signals=is_main()))
            _RUNS[opened.out.path] = self
            stack.callback(_RUNS.pop, opened.out.path)
            seen: set[int] = set()
            while True:
                for record in self._round(opened, journal):
                    if record.index not in seen:
                        seen.add(record.index)
                        # Ctrl-C is the user's own program's while it has the record
                        with self._interruption.leaving(signal.SIGINT):
                            yield record
                request = self._options.request
                if request.only or request.first is not None:
                    return
                # A function of the user's
                with self._interruption.leaving(signal.SIGINT):
                    if not source.go_on(self._records):
                        return
                opened = source.open(self._options.is_local)

    def _round(self, opened: OpenedSweep, journal: Journal) -> Iterator[Record]:
        thread = self._thread = RunThread(opened, journal, self._options)
        if self._is_cancelled:
            thread.cancel()
        thread.start()
        with contextlib.ExitStack() as stack:
            shown: list[RunObserver] = []
            try:
                yield from self._reported(thread, opened, stack, shown)
            finally:
                # Closed before its end: what runs is ended, and still shown
                if not thread.is_over:
                    thread.cancel()
                    for _ in self._reported(thread, opened, stack, shown):
                        pass
                thread.join()
        self._take_end(thread, opened)

    def _reported(
        self, thread: RunThread, opened: OpenedSweep, stack: contextlib.ExitStack, shown: list[RunObserver]
    ) -> Iterator[Record]:
        """Yield records until the thread is over; show meanwhile what it reports."""
        next_tick = time.monotonic()
        while not thread.is_over:
            event = thread.next_event(TICK_SECONDS)
            if event is not None and event.is_planned and self._options.show:
                shown += self._announced(thread, opened, stack)
            if event is not None and event.tell is not None:
                for observer in shown:
                    event.tell(observer)
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK_SECONDS
                for observer in shown:
                    observer.tick()
            if event is not None and event.record is not None:
                yield event.record

    def _announced(self, thread: RunThread, opened: OpenedSweep, stack: contextlib.ExitStack) -> list[RunObserver]:
        """Print what runs, and begin to show its progress."""
        sweep = thread.sweep
        assert sweep is not None  # it is planned
        for line in (*sweep.moved, *reason_lines(sweep.plan)):
            self._print(options_in_python(line))
        if not sweep.plan.to_run:
            return []
        progress = RunProgress(opened.file.name, sweep.plan.to_run, sweep.plan.done, opened.out.task_folder)
        progress.elsewhere = lambda: thread.look
        progress.used_hours = lambda: thread.used_hours
        return [stack.enter_context(self._display(progress))]

    @contextlib.contextmanager
    def _display(self, progress: RunProgress) -> Iterator[RunObserver]:
        from .display.notebook_table import NotebookTable, in_notebook

        interruption = self._interruption
        if self._options.follow:
            yield FollowedOutput(progress, interruption, print)
        elif in_notebook():
            with NotebookTable(progress, interruption) as table:
                yield table
        elif is_main() and sys.stdout is not None and sys.stdout.isatty():
            from rich.console import Console

            from .display.live_table import LiveTable

            with LiveTable(progress, interruption, Console(highlight=False)) as live:
                yield live
        else:
            yield PlainLines(progress, interruption, print)

    def _take_end(self, thread: RunThread, opened: OpenedSweep) -> None:
        """Take the result of a round. Raises SweepStoppedError, KeyboardInterrupt, or what the round raised."""
        if self._interruption.heard == signal.SIGINT:
            raise KeyboardInterrupt from thread.error
        if thread.error is not None:
            raise thread.error
        sweep, outcome = thread.sweep, thread.outcome
        assert sweep is not None and outcome is not None  # there was no error
        self._records = sweep.records()
        summary = run_summary(outcome, sweep.state, opened.out.path, thread.end.detached)
        if outcome.stopped or outcome.is_interrupted or self._is_cancelled:
            kind = SweepStoppedError if thread.end.overrun is None else SweepBudgetError
            raise kind(options_in_python(summary), self._records)
        if self._options.show:
            self._print(summary)

    def _print(self, line: str) -> None:
        with self._interruption.showing():
            print(line)

    def _hearing(self) -> contextlib.AbstractContextManager[object]:
        """Take the signals, where this thread may."""
        return self._interruption if is_main() else contextlib.nullcontext()
