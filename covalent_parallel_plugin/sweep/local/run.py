"""Run a sweep's tasks on this machine: some at a time, again where they were lost, until all have ended."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...programs.kept_output import StreamName
from ...programs.task_folder import FULL_REMEDY, LaidFile, is_full
from ...programs.verdict import TaskEnd
from ..records.journal import end_event, start_event
from ..sweep_file import StopAfter, SweepFile
from ..tasks import Launch, LocalPaths, SweepTask
from .attempt import AttemptSeams, LocalAttempt
from .interfaces import Backend, EventLog, TaskFolders
from .observer import RunObserver

TICK_SECONDS = 0.25
DRAINED = "cancel --waiting: nothing more was started"


@dataclass(frozen=True)
class RunEnd:
    """How a run ended; `stopped` says why not all of its tasks were started, "" if they were or it was cancelled.

    `detached` is True where a job on Batch was left running, for another run to continue with. `overrun` is there where
    the machine-hours were used up.
    """

    cancelled: bool
    stopped: str
    detached: bool = False
    overrun: Overrun | None = field(default=None, compare=False)

    @property
    def message(self) -> str:
        """Why it stopped early, with all there is to say; "" if it did not."""
        return self.stopped if self.overrun is None else f"{self.stopped}: {self.overrun}"


@dataclass(frozen=True)
class Overrun:
    """Machine-hours that were used up: the limit, what was used, and what may be used until all has stopped."""

    limit: float
    used: float
    more: float = 0.0

    def __str__(self) -> str:
        more = f", and up to {self.more:.3g} more may be until its machines have stopped" if self.more else ""
        return (
            f"{self.used:.4g} machine-hours were used{more}; what was delivered is kept. To go on, run again with a"
            f" higher limit than max_machine_hours = {self.limit:g}, such as --set resources.max_machine_hours=N"
        )


def used_up(limit: float) -> str:
    """Return why a run stops at this limit of machine-hours."""
    return f"max_machine_hours: {limit:g} are used up"


class LocalRun:
    """A run of tasks, in order; as many at a time as the file says, or as have CPUs.

    `earlier_attempts` says how many a task has had under its key, `parts` what the journal keeps of that key, `count`
    how many tasks the whole sweep has, `used_machine_hours` what earlier runs have used. `traced` gets each
    attempt, with its processors' time (s), from any thread.
    """

    def __init__(
        self,
        file: SweepFile,
        tasks: Sequence[SweepTask],
        launcher: Callable[[SweepTask, LocalPaths, int], Launch],
        lay_out: Callable[[SweepTask, Launch, Path], Iterable[LaidFile]],
        out: TaskFolders,
        journal: EventLog,
        backend: Backend,
        observer: RunObserver,
        secrets: Mapping[str, str],
        *,
        earlier_attempts: Callable[[SweepTask], int] = lambda task: 0,
        parts: Callable[[SweepTask], Mapping[str, str]] = lambda task: {},
        count: int | None = None,
        used_machine_hours: float = 0.0,
        traced: Callable[[SweepTask, int, TaskEnd, float | None], None] = lambda task, number, end, cpu_seconds: None,
    ) -> None:
        self._traced = traced
        self._file = file
        self._tasks = iter(tasks)
        self._waiting = len(tasks)
        self._slots = max(1, min(parallel_tasks(file), len(tasks)))
        self._most_failures = failures_allowed(file.stop_after, len(tasks) if count is None else count)
        self._out = out
        self._journal = journal
        self._observer = observer
        self._earlier_attempts = earlier_attempts
        self._parts = parts
        self._used_seconds = used_machine_hours * 3600
        self._running: dict[str, float] = {}
        self._failures = 0
        # One at a time writes to the journal and talks to the observer
        self._lock = threading.Lock()
        self._cancel_reader, self._cancel_writer = os.pipe()
        os.set_blocking(self._cancel_writer, False)
        self._is_cancelled = False
        self._stopped = ""
        self._overrun: Overrun | None = None
        self._error: BaseException | None = None
        self._seams = AttemptSeams(file, launcher, lay_out, out, backend, secrets, self._cancel_reader)

    def run(self) -> RunEnd:
        """Run the tasks, once, and return when none runs any more.

        Raises:
            Exception: what the observer or `launcher` raised, or an OSError of OUT other than of a full disk; all
                tasks have been ended by then.
        """
        # What earlier runs have used may be all there is
        self._check_machine_hours()
        slots = [threading.Thread(target=self._work, name=f"sweep-{number}") for number in range(self._slots)]
        for slot in slots:
            slot.start()
        try:
            self._wait(slots)
        except BaseException:
            self.cancel()
            raise
        finally:
            for slot in slots:
                slot.join()
            self._close()
        if self._error is not None:
            raise self._error
        return RunEnd(self._is_cancelled, self._stopped, overrun=self._overrun)

    @property
    def used_hours(self) -> float:
        """How many hours tasks have run so far, those of earlier runs too."""
        now = time.monotonic()
        return (self._used_seconds + sum(now - began for began in list(self._running.values()))) / 3600

    def cancel(self) -> None:
        """End all that runs, and start nothing more; may be called by any thread and by a signal's handler."""
        self._is_cancelled = True
        self._end_all()

    def drain(self) -> None:
        """Start nothing more, and let what runs continue; called by the observer's `tick`."""
        if self._waiting:
            self._stop(DRAINED)

    def _close(self) -> None:
        writer, self._cancel_writer = self._cancel_writer, -1
        os.close(writer)
        os.close(self._cancel_reader)

    def _end_all(self) -> None:
        try:
            os.write(self._cancel_writer, b"x")
        except OSError:  # the run is over, or this has been called very often
            return

    def _wait(self, slots: Iterable[threading.Thread]) -> None:
        for slot in slots:
            while slot.is_alive():
                slot.join(TICK_SECONDS)
                with self._lock:
                    self._check_machine_hours()
                    try:
                        self._observer.tick()
                    except OSError as error:
                        if not self._has_filled_disk(error):
                            raise

    def _work(self) -> None:
        try:
            while (task := self._next_task()) is not None:
                self._run_task(task)
        except BaseException as error:  # `run` raises it again
            with self._lock:
                if not self._has_filled_disk(error):
                    self._error = self._error or error
                    self._end_all()

    def _next_task(self) -> SweepTask | None:
        with self._lock:
            if self._is_cancelled or self._stopped or self._error is not None:
                return None
            task = next(self._tasks, None)
            if task is not None:
                self._waiting -= 1
                self._observer.started(task)
            return task

    def _run_task(self, task: SweepTask) -> None:
        number = self._earlier_attempts(task)
        last = number + 1 + self._file.settings.retries
        end, used_seconds = None, 0.0
        while end is None or (number < last and self._is_retried(end)):
            number += 1
            end = self._attempt(task, number)
            used_seconds += end.seconds
        with self._lock:
            if end.status == "cancelled" and self._overrun is not None:
                end = replace(end, reason=self._stopped)
            self._journal.append(end_event(task, end, self._parts(task), used_seconds))
            if end.status not in ("done", "cancelled"):
                self._failures += 1
                if self._failures == self._most_failures and self._waiting:
                    self._stop(f"stop_after: {self._failures} tasks have failed")
            self._observer.ended(task, end)

    def _attempt(self, task: SweepTask, number: int) -> TaskEnd:
        def started(program: Mapping[str, int]) -> None:
            with self._lock:
                self._journal.append(start_event(task, number, **program))

        def printed(stream: StreamName, data: bytes) -> None:
            with self._lock:
                self._observer.printed(task, stream, data)

        with self._lock:
            self._running[task.name] = time.monotonic()
        try:
            attempt = LocalAttempt(self._seams, task, number, started, printed)
            end = attempt.run()
            self._traced(task, number, end, attempt.cpu_seconds)
            return end
        finally:
            with self._lock:
                self._used_seconds += time.monotonic() - self._running.pop(task.name)

    def _is_retried(self, end: TaskEnd) -> bool:
        if self._is_cancelled or self._stopped:
            return False
        return end.status == "lost" or (end.status in ("failed", "killed") and end.exit in self._file.retry_on)

    def _check_machine_hours(self) -> None:
        limit, hours = self._file.most_machine_hours, self.used_hours
        if limit is not None and hours >= limit and not self._stopped:
            self._overrun = Overrun(limit, hours)
            self._stop(used_up(limit))
            self._end_all()

    def _has_filled_disk(self, error: BaseException) -> bool:
        """Return whether an error says that the disk is full; then the run is stopped."""
        if not (isinstance(error, OSError) and is_full(error)):
            return False
        self._stop(f"{error.filename or self._out.path}: {error.strerror}{FULL_REMEDY}")
        self._end_all()
        return True

    def _stop(self, reason: str) -> None:
        self._stopped = self._stopped or reason


def parallel_tasks(file: SweepFile) -> int:
    """Return how many tasks run at a time: what the file says, else one per `vcpus` CPUs of this machine."""
    fitting = max(1, int(usable_cpus() / file.settings.vcpus))
    return min(file.max_parallel or fitting, file.tasks_per_machine or sys.maxsize)


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def failures_allowed(stop_after: StopAfter | None, count: int) -> int | None:
    """Return after how many failures nothing more is started, None for any number."""
    if stop_after is None or stop_after.share is None:
        return None if stop_after is None else stop_after.failures
    return max(1, math.ceil(round(stop_after.share * count, 6)))
