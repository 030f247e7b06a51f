"""Move jobs along on one thread: queue and schedule them, start attempts on the runtime, follow them to the end."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..faults.fault import Fault
from ..faults.plan import FaultPlan
from ..model.job import JobState, Task
from ..model.job_states import StatusEvent
from ..model.log_store import LogStore
from ..model.runtime_interface import Runtime
from ..project.machine_types import MAX_TASKS_PER_VM
from ..project.secrets import Secrets
from .attempt_faults import draw_for_attempt, exit_code_of, is_before_run, takes_vm
from .job_faults import JobFaults
from .machine_addresses import MachineAddresses
from .placement import InstantVms, Placement
from .running_attempts import RunningAttempts
from .scheduled_job import ScheduledJob
from .vm_pool import VmModel, VmPool, barrier_refusal, quota_text

_log = logging.getLogger(__name__)
_STOP_SECONDS = 10.0
# Of tasks that run when the emulator itself ends
_LAST_NOTICE_SECONDS = 2.0

DEFAULT_TASKS_AT_ONCE = max(2, os.cpu_count() or 1)


@dataclass(frozen=True)
class Timing:
    """How long the emulator takes, in seconds.

    A job is QUEUED for `queue_seconds` and SCHEDULED for `schedule_seconds` at least. A process has `grace_seconds`
    between SIGTERM and SIGKILL; None: the --stop-timeout of its container, else the 10 s of `docker stop`.
    Background runnables continue so long after the foreground; None: 2 s.
    """

    queue_seconds: float = 0.05
    schedule_seconds: float = 0.05
    grace_seconds: float | None = None


class Scheduler:
    """Runs at most `tasks_at_once` tasks at a time, jobs taking turns.

    Whoever reads or changes a job holds `lock`; it is not held while a process starts. `services` are
    environment variables that every task gets; `addresses` are those at which tasks ask about their machines. With
    `machines` tasks wait for VMs of that model; where their number is limited, they alone bound the tasks unless
    `tasks_at_once` is given.
    """

    def __init__(
        self,
        runtime: Runtime,
        logs: LogStore | None = None,
        *,
        timing: Timing | None = None,
        tasks_at_once: int | None = None,
        services: Mapping[str, str] | None = None,
        faults: FaultPlan | None = None,
        secrets: Secrets | None = None,
        machines: VmModel | None = None,
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
        self._ready: deque[ScheduledJob] = deque()
        self._ready_uids: set[str] = set()
        self._running = 0
        self._is_stopping = False
        self._loop = asyncio.new_event_loop()
        known_secrets = Secrets() if secrets is None else secrets
        self.addresses = MachineAddresses()
        self._attempts = RunningAttempts(
            self._loop,
            runtime,
            logs,
            self._timing.grace_seconds,
            self.services,
            known_secrets,
            self.addresses,
            self._note_of_task,
        )
        self._faults = FaultPlan() if faults is None else faults
        self._job_faults = JobFaults(self._faults, self._loop, self.lock, clock, self._end)
        self._machines = machines
        self._placement: Placement = InstantVms(clock)
        if machines is not None:
            refused = functools.partial(self._note_quota, machines)
            self._placement = VmPool(machines, self._loop.call_later, clock, self._enqueue_and_start, refused)
        self._thread = threading.Thread(target=self._loop.run_forever, name="emulator-engine", daemon=True)

    @property
    def counts(self) -> dict[str, float]:
        """The totals of "attempts" and "tasks" (ended ones), and those of the VMs."""
        return {name: self._counts[name] for name in ("attempts", "tasks")} | self._placement.counts()

    @property
    def _last_notice_seconds(self) -> float:
        grace = self._timing.grace_seconds
        return _LAST_NOTICE_SECONDS if grace is None else grace

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End all attempts, their processes included, and the thread."""
        if self._thread.is_alive():
            idle = asyncio.run_coroutine_threadsafe(self._end_all(), self._loop)
            try:
                idle.result(self._last_notice_seconds + _STOP_SECONDS + 1)
            finally:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
        if not self._loop.is_closed():
            self._loop.close()
            self._runtime.close()

    def submit(self, scheduled: ScheduledJob) -> None:
        """Take over a new job. From any thread."""
        self._loop.call_soon_threadsafe(self._accept, scheduled)

    def end(self, scheduled: ScheduledJob) -> None:
        """End what runs of a job that is to be cancelled or deleted. From any thread."""
        self._loop.call_soon_threadsafe(self._end, scheduled)

    def _accept(self, scheduled: ScheduledJob) -> None:
        scheduled.barriers.has_come = functools.partial(self._loop.call_soon, self._start_ready)
        if scheduled.plan.has_barriers:
            scheduled.refusal = scheduled.refusal or barrier_refusal(self._machines, scheduled.plan)
        self._job_faults.expect_ending(scheduled, JobState.QUEUED)
        leave = functools.partial(self._job_faults.unless_held, scheduled, JobState.QUEUED, self._schedule)
        self._loop.call_later(self._timing.queue_seconds, leave)

    def _schedule(self, scheduled: ScheduledJob) -> None:
        self._placement.admit(scheduled, self._has_vm)

    def _has_vm(self, scheduled: ScheduledJob) -> None:
        with self.lock:
            scheduled.job.schedule(self._clock())
        leave = functools.partial(self._job_faults.unless_held, scheduled, JobState.SCHEDULED, self._make_ready)
        self._loop.call_later(self._timing.schedule_seconds, leave)

    def _note_quota(self, machines: VmModel, scheduled: ScheduledJob) -> None:
        with self.lock:
            scheduled.job.note(quota_text(machines.vms, scheduled.plan.zone), self._clock())

    def _note_of_task(self, scheduled: ScheduledJob, index: int, event: StatusEvent) -> None:
        with self.lock:
            scheduled.job.note_of_task(index, event)

    def _make_ready(self, scheduled: ScheduledJob) -> None:
        scheduled.may_start = True
        self._enqueue_and_start(scheduled)

    def _enqueue_and_start(self, scheduled: ScheduledJob) -> None:
        self._enqueue_if_ready(scheduled)
        self._start_ready()

    def _enqueue_if_ready(self, scheduled: ScheduledJob) -> None:
        """Queue a job for a start, if it has a task that could start now."""
        is_ready = scheduled.may_start and scheduled.job.has_startable and self._placement.has_room(scheduled)
        if is_ready and scheduled.plan.uid not in self._ready_uids:
            self._ready_uids.add(scheduled.plan.uid)
            self._ready.append(scheduled)

    def _start_ready(self) -> None:
        # a task that waits at a barrier leaves its place to those that it waits for
        while self._ready and self._running - self._attempts.waiting() < self._slots and not self._is_stopping:
            scheduled = self._ready.popleft()
            self._ready_uids.discard(scheduled.plan.uid)
            with self.lock:
                if not scheduled.job.has_startable or not self._placement.has_room(scheduled):
                    continue
                task = scheduled.job.assign(self._placement.instance(scheduled), self._clock())
                self._placement.assign(scheduled, task.index)
                self._enqueue_if_ready(scheduled)
            self._start(scheduled, task)

    def _start(self, scheduled: ScheduledJob, task: Task) -> None:
        self._running += 1
        drawn = draw_for_attempt(self._faults, scheduled.plan, task)
        with self.lock:
            self._counts["attempts"] += 1
            was_running = scheduled.job.state is JobState.RUNNING
            if drawn is None or not is_before_run(drawn.fault):
                scheduled.job.run(task, self._clock())
            is_first = not was_running and scheduled.job.state is JobState.RUNNING
        if is_first:
            self._job_faults.expect_ending(scheduled, JobState.RUNNING)
        # in a later turn of the loop: an attempt that cannot start ends at once
        on_end = functools.partial(self._finish_soon, scheduled, task)
        self._attempts.start(
            scheduled,
            task,
            drawn,
            replace(scheduled.plan.vm, name=self._placement.vm_name(scheduled, task.index)),
            on_end=on_end,
            struck=functools.partial(self._lose_vm, scheduled, task),
        )

    def _lose_vm(self, scheduled: ScheduledJob, task: Task, fault: Fault) -> None:
        """A fault strikes a task: where it takes the whole VM, the other tasks on it end in the same way."""
        if takes_vm(fault):
            for index in self._placement.fail_vm(scheduled, task.index):
                self._attempts.stop_one(scheduled, index, exit_code_of(fault), fault.value("notice_seconds") or 0)

    def _finish_soon(self, scheduled: ScheduledJob, task: Task, exit_code: int) -> None:
        self._loop.call_soon(self._finish, scheduled, task, exit_code)

    def _finish(self, scheduled: ScheduledJob, task: Task, exit_code: int) -> None:
        self._attempts.forget(scheduled, task)
        self._running -= 1
        if self._is_stopping:
            return
        with self.lock:
            is_again = scheduled.job.finish(task, exit_code, self._clock())
            self._counts["tasks"] += not is_again
            if not is_again:
                scheduled.barriers.task_ended(task.index)
            stops_siblings = bool(exit_code) and not is_again and self._job_faults.stop_siblings(scheduled, task)
            self._settle(scheduled)
        if stops_siblings:
            self._attempts.stop(scheduled)
        self._attempts.release(scheduled)
        self._placement.release(scheduled, task.index)
        self._enqueue_and_start(scheduled)

    def _end(self, scheduled: ScheduledJob) -> None:
        self._job_faults.hold_cancelling(scheduled, self._get_unstuck)
        self._attempts.stop(scheduled)
        with self.lock:
            self._settle(scheduled)
        self._placement.rebalance(scheduled)

    def _settle(self, scheduled: ScheduledJob) -> None:
        """End a job that is being ended and rests; call with the lock held."""
        if scheduled.is_stuck and scheduled.job.state is JobState.CANCELLATION_IN_PROGRESS:
            return
        if scheduled.job.settle(self._clock()):
            scheduled.settled()

    def _get_unstuck(self, scheduled: ScheduledJob) -> None:
        scheduled.is_stuck = False
        with self.lock:
            self._settle(scheduled)

    async def _end_all(self) -> None:
        self._is_stopping = True
        self._attempts.stop_all(self._last_notice_seconds)
        self._placement.end_all()
        deadline = self._loop.time() + self._last_notice_seconds + _STOP_SECONDS
        while len(self._attempts):
            if self._loop.time() > deadline:
                _log.error("%d attempts did not end", len(self._attempts))
                return
            await asyncio.sleep(0.01)


def _default_slots(machines: VmModel | None) -> int:
    if machines is None or machines.vms is None:
        return DEFAULT_TASKS_AT_ONCE
    return machines.vms * MAX_TASKS_PER_VM
