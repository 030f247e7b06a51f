"""The thread that moves jobs along: queues, schedules, starts attempts on the runtime, follows them to the end."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .attempt import Attempt
from .entry import Entry, LogWriter, line_writer
from .faults_attempts import Running, StruckAttempt, draw_for_attempt, is_before_run
from .faults_jobs import JobFaults
from .faults_plan import FaultPlan
from .jobs import JobState, Task
from .runtime import CANNOT_START, Runtime
from .secret_versions import SecretDenied, Secrets

_log = logging.getLogger(__name__)
_STOP_SECONDS = 10.0

DEFAULT_TASKS_AT_ONCE = max(2, os.cpu_count() or 1)


@dataclass(frozen=True)
class Timing:
    """How long the stand-in takes, in seconds.

    A job is QUEUED for `queue_seconds` and SCHEDULED for `schedule_seconds` at least; a process that is told to end has
    `grace_seconds` before it is killed.
    """

    queue_seconds: float = 0.05
    schedule_seconds: float = 0.05
    grace_seconds: float = 2.0


class Engine:
    """Runs at most `tasks_at_once` tasks at a time, jobs taking turns.

    Whoever reads or changes a job holds `lock`; the engine does not hold it while it starts a process. `services` are
    environment variables that every task gets. `counts` has the totals of "attempts" and "tasks" (ended ones).
    """

    def __init__(
        self,
        runtime: Runtime,
        logs: LogWriter | None = None,
        *,
        timing: Timing | None = None,
        tasks_at_once: int | None = None,
        services: Mapping[str, str] | None = None,
        faults: FaultPlan | None = None,
        secrets: Secrets | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lock = threading.RLock()
        self.counts: Counter[str] = Counter()
        self.services = dict(services or {})
        self._runtime = runtime
        self._logs = logs
        self._secrets = Secrets() if secrets is None else secrets
        self._timing = Timing() if timing is None else timing
        self._slots = DEFAULT_TASKS_AT_ONCE if tasks_at_once is None else tasks_at_once
        if self._slots < 1:
            raise ValueError(f"tasks_at_once must be at least 1, not {self._slots}")
        self._clock = clock
        self._ready: deque[Entry] = deque()
        self._ready_uids: set[str] = set()
        self._attempts: dict[str, dict[int, Running]] = {}
        # attempts below struck ones: some run on after their task has gone on without them
        self._below: dict[Attempt, str] = {}
        self._running = 0
        self._is_stopping = False
        self._loop = asyncio.new_event_loop()
        self._faults = FaultPlan() if faults is None else faults
        self._job_faults = JobFaults(self._faults, self._loop, self.lock, clock, self._end)
        self._thread = threading.Thread(target=self._loop.run_forever, name="emulator-engine", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End all attempts, their processes included, and the thread."""
        if self._thread.is_alive():
            idle = asyncio.run_coroutine_threadsafe(self._end_all(), self._loop)
            try:
                idle.result(self._timing.grace_seconds + _STOP_SECONDS + 1)
            finally:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
        if not self._loop.is_closed():
            self._loop.close()
            self._runtime.close()

    def submit(self, entry: Entry) -> None:
        """Take over a new job. From any thread."""
        self._loop.call_soon_threadsafe(self._accept, entry)

    def end(self, entry: Entry) -> None:
        """End what runs of a job that is to be cancelled or deleted. From any thread."""
        self._loop.call_soon_threadsafe(self._end, entry)

    def _accept(self, entry: Entry) -> None:
        self._job_faults.expect_ending(entry, JobState.QUEUED)
        leave = functools.partial(self._job_faults.unless_held, entry, JobState.QUEUED, self._schedule)
        self._loop.call_later(self._timing.queue_seconds, leave)

    def _schedule(self, entry: Entry) -> None:
        with self.lock:
            entry.job.schedule(self._clock())
        leave = functools.partial(self._job_faults.unless_held, entry, JobState.SCHEDULED, self._make_ready)
        self._loop.call_later(self._timing.schedule_seconds, leave)

    def _make_ready(self, entry: Entry) -> None:
        if entry.job.has_startable and entry.plan.uid not in self._ready_uids:
            self._ready_uids.add(entry.plan.uid)
            self._ready.append(entry)
        self._fill()

    def _fill(self) -> None:
        while self._ready and self._running < self._slots and not self._is_stopping:
            entry = self._ready.popleft()
            self._ready_uids.discard(entry.plan.uid)
            with self.lock:
                if not entry.job.has_startable:
                    continue
                task = entry.job.assign(entry.plan.instance(entry.job.active), self._clock())
                if entry.job.has_startable:
                    self._ready_uids.add(entry.plan.uid)
                    self._ready.append(entry)
            self._start(entry, task)

    def _start(self, entry: Entry, task: Task) -> None:
        self._running += 1
        drawn = draw_for_attempt(self._faults, entry.plan, task)
        with self.lock:
            self.counts["attempts"] += 1
            was_running = entry.job.state is JobState.RUNNING
            if drawn is None or not is_before_run(drawn.fault):
                entry.job.run(task, self._clock())
            is_first = not was_running and entry.job.state is JobState.RUNNING
        if is_first:
            self._job_faults.expect_ending(entry, JobState.RUNNING)
        # in a later turn of the loop: an attempt that cannot start ends at once
        ended = functools.partial(self._finish_soon, entry, task)
        attempt: Running | None
        if drawn is None:
            attempt = self._make(entry, task, ended)
        else:
            attempt = StruckAttempt(
                self._loop,
                drawn,
                functools.partial(self._make_below, entry, task),
                image=entry.plan.steps[0].command.image,
                write=line_writer(self._logs, entry.plan, task.index),
                ended=ended,
            )
        if attempt is not None:
            self._attempts.setdefault(entry.plan.uid, {})[task.index] = attempt
            attempt.start()

    def _make(self, entry: Entry, task: Task, ended: Callable[[int], None]) -> Attempt | None:
        plan, index = entry.plan, task.index
        write = line_writer(self._logs, plan, index)
        try:
            steps = plan.attempt_steps(index, task.attempt, self.services, self._secrets.text_or_secret)
            workspace = self._runtime.open(f"{plan.task_id(index)}-{task.attempt}", plan.limits, plan.vm)
        except SecretDenied as error:
            write("ERROR", str(error))
            ended(CANNOT_START)
            return None
        except OSError as error:
            write("ERROR", f"the task's workspace cannot be made: {error}")
            ended(CANNOT_START)
            return None
        return Attempt(
            self._loop,
            workspace,
            steps,
            max_run_seconds=plan.max_run_seconds,
            grace_seconds=self._timing.grace_seconds,
            write=write,
            ended=ended,
        )

    def _make_below(self, entry: Entry, task: Task, ended: Callable[[int], None]) -> Attempt | None:
        def gone(exit_code: int) -> None:
            if attempt is not None:
                self._below.pop(attempt, None)
            self._release(entry)
            ended(exit_code)

        attempt: Attempt | None = None
        attempt = self._make(entry, task, gone)
        if attempt is not None:
            self._below[attempt] = entry.plan.uid
        return attempt

    def _finish_soon(self, entry: Entry, task: Task, exit_code: int) -> None:
        self._loop.call_soon(self._finish, entry, task, exit_code)

    def _finish(self, entry: Entry, task: Task, exit_code: int) -> None:
        attempts = self._attempts.get(entry.plan.uid, {})
        attempts.pop(task.index, None)
        if not attempts:
            self._attempts.pop(entry.plan.uid, None)
        self._running -= 1
        if self._is_stopping:
            return
        with self.lock:
            is_again = entry.job.finish(task, exit_code, self._clock())
            self.counts["tasks"] += not is_again
            stops_siblings = bool(exit_code) and not is_again and self._job_faults.stop_siblings(entry, task)
            self._settle(entry)
        if stops_siblings:
            self._stop_attempts(entry)
        self._release(entry)
        self._make_ready(entry)

    def _end(self, entry: Entry) -> None:
        self._job_faults.hold_cancelling(entry, self._get_unstuck)
        self._stop_attempts(entry)
        with self.lock:
            self._settle(entry)

    def _stop_attempts(self, entry: Entry) -> None:
        for attempt in list(self._attempts.get(entry.plan.uid, {}).values()):
            attempt.stop()
        for below in [attempt for attempt, uid in self._below.items() if uid == entry.plan.uid]:
            below.stop()

    def _settle(self, entry: Entry) -> None:
        """End a job that is being ended and rests; call with the lock held."""
        if entry.is_stuck and entry.job.state is JobState.CANCELLATION_IN_PROGRESS:
            return
        if entry.job.settle(self._clock()):
            entry.settled()

    def _release(self, entry: Entry) -> None:
        """Have the runtime remove what a job's tasks shared, once nothing of the job runs."""
        uid = entry.plan.uid
        if entry.job.ended is not None and uid not in self._attempts and uid not in self._below.values():
            self._runtime.release(uid)

    def _get_unstuck(self, entry: Entry) -> None:
        entry.is_stuck = False
        with self.lock:
            self._settle(entry)

    async def _end_all(self) -> None:
        self._is_stopping = True
        for attempt in [attempt for attempts in self._attempts.values() for attempt in attempts.values()]:
            attempt.stop()
        for below in list(self._below):
            below.stop()
        deadline = self._loop.time() + self._timing.grace_seconds + _STOP_SECONDS
        while self._attempts or self._below:
            if self._loop.time() > deadline:
                _log.error("%d attempts did not end", sum(map(len, self._attempts.values())) + len(self._below))
                return
            await asyncio.sleep(0.01)
