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

from ..faults.plan import FaultPlan
from ..faults.rule import Fault
from ..model.job import JobState, Task
from ..model.runtime_interface import Runtime
from ..project.machine_types import MAX_TASKS_PER_VM
from ..project.secrets import Secrets
from .attempt_faults import draw_for_attempt, exit_code_of, is_before_run, takes_vm
from .job_faults import JobFaults
from .placement import Placement, ThisMachine
from .running_attempts import Attempts
from .scheduled_job import Entry, LogWriter
from .vm_pool import Fleet, Machines, quota_text

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
    environment variables that every task gets. With `machines` tasks wait for VMs of that model; where their number
    is limited, they alone bound the tasks unless `tasks_at_once` is given.
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
        machines: Machines | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self.services = dict(services or {})
        self._runtime = runtime
        self._timing = Timing() if timing is None else timing
        self._slots = _default_slots(machines) if tasks_at_once is None else tasks_at_once
        if self._slots < 1:
            raise ValueError(f"tasks_at_once must be at least 1, not {self._slots}")
        self._clock = clock
        self._ready: deque[Entry] = deque()
        self._ready_uids: set[str] = set()
        self._running = 0
        self._is_stopping = False
        self._loop = asyncio.new_event_loop()
        known_secrets = Secrets() if secrets is None else secrets
        self._attempts = Attempts(self._loop, runtime, logs, self._timing.grace_seconds, self.services, known_secrets)
        self._faults = FaultPlan() if faults is None else faults
        self._job_faults = JobFaults(self._faults, self._loop, self.lock, clock, self._end)
        self._placement: Placement = ThisMachine()
        if machines is not None:
            refused = functools.partial(self._note_quota, machines)
            self._placement = Fleet(machines, self._loop.call_later, clock, self._offer, refused)
        self._thread = threading.Thread(target=self._loop.run_forever, name="emulator-engine", daemon=True)

    @property
    def counts(self) -> dict[str, float]:
        """The totals of "attempts" and "tasks" (ended ones), and those of the VMs where they are modelled."""
        return {name: self._counts[name] for name in ("attempts", "tasks")} | self._placement.counts()

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
        self._placement.admit(entry, self._has_vm)

    def _has_vm(self, entry: Entry) -> None:
        with self.lock:
            entry.job.schedule(self._clock())
        leave = functools.partial(self._job_faults.unless_held, entry, JobState.SCHEDULED, self._make_ready)
        self._loop.call_later(self._timing.schedule_seconds, leave)

    def _note_quota(self, machines: Machines, entry: Entry) -> None:
        with self.lock:
            entry.job.note(quota_text(machines.vms, entry.plan.zone), self._clock())

    def _make_ready(self, entry: Entry) -> None:
        entry.may_start = True
        self._offer(entry)

    def _offer(self, entry: Entry) -> None:
        self._enqueue(entry)
        self._fill()

    def _enqueue(self, entry: Entry) -> None:
        """Have a job take its turn, if it has a task that could start now."""
        is_ready = entry.may_start and entry.job.has_startable and self._placement.has_room(entry)
        if is_ready and entry.plan.uid not in self._ready_uids:
            self._ready_uids.add(entry.plan.uid)
            self._ready.append(entry)

    def _fill(self) -> None:
        while self._ready and self._running < self._slots and not self._is_stopping:
            entry = self._ready.popleft()
            self._ready_uids.discard(entry.plan.uid)
            with self.lock:
                if not entry.job.has_startable or not self._placement.has_room(entry):
                    continue
                task = entry.job.assign(self._placement.instance(entry), self._clock())
                self._placement.take(entry, task.index)
                self._enqueue(entry)
            self._start(entry, task)

    def _start(self, entry: Entry, task: Task) -> None:
        self._running += 1
        drawn = draw_for_attempt(self._faults, entry.plan, task)
        with self.lock:
            self._counts["attempts"] += 1
            was_running = entry.job.state is JobState.RUNNING
            if drawn is None or not is_before_run(drawn.fault):
                entry.job.run(task, self._clock())
            is_first = not was_running and entry.job.state is JobState.RUNNING
        if is_first:
            self._job_faults.expect_ending(entry, JobState.RUNNING)
        # in a later turn of the loop: an attempt that cannot start ends at once
        ended = functools.partial(self._finish_soon, entry, task)
        self._attempts.start(entry, task, drawn, ended=ended, struck=functools.partial(self._lose_vm, entry, task))

    def _lose_vm(self, entry: Entry, task: Task, fault: Fault) -> None:
        """A fault strikes a task: where it takes the whole VM, the other tasks on it end in the same way."""
        if takes_vm(fault):
            for index in self._placement.lose(entry, task.index):
                self._attempts.stop_one(entry, index, exit_code_of(fault), fault.value("notice_seconds") or 0)

    def _finish_soon(self, entry: Entry, task: Task, exit_code: int) -> None:
        self._loop.call_soon(self._finish, entry, task, exit_code)

    def _finish(self, entry: Entry, task: Task, exit_code: int) -> None:
        self._attempts.forget(entry, task)
        self._running -= 1
        if self._is_stopping:
            return
        with self.lock:
            is_again = entry.job.finish(task, exit_code, self._clock())
            self._counts["tasks"] += not is_again
            stops_siblings = bool(exit_code) and not is_again and self._job_faults.stop_siblings(entry, task)
            self._settle(entry)
        if stops_siblings:
            self._attempts.stop(entry)
        self._attempts.release(entry)
        self._placement.leave(entry, task.index)
        self._offer(entry)

    def _end(self, entry: Entry) -> None:
        self._job_faults.hold_cancelling(entry, self._get_unstuck)
        self._attempts.stop(entry)
        with self.lock:
            self._settle(entry)
        self._placement.fit(entry)

    def _settle(self, entry: Entry) -> None:
        """End a job that is being ended and rests; call with the lock held."""
        if entry.is_stuck and entry.job.state is JobState.CANCELLATION_IN_PROGRESS:
            return
        if entry.job.settle(self._clock()):
            entry.settled()

    def _get_unstuck(self, entry: Entry) -> None:
        entry.is_stuck = False
        with self.lock:
            self._settle(entry)

    async def _end_all(self) -> None:
        self._is_stopping = True
        self._attempts.stop_all()
        self._placement.end_all()
        deadline = self._loop.time() + self._timing.grace_seconds + _STOP_SECONDS
        while len(self._attempts):
            if self._loop.time() > deadline:
                _log.error("%d attempts did not end", len(self._attempts))
                return
            await asyncio.sleep(0.01)


def _default_slots(machines: Machines | None) -> int:
    if machines is None or machines.vms is None:
        return DEFAULT_TASKS_AT_ONCE
    return machines.vms * MAX_TASKS_PER_VM
