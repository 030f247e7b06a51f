"""Start the attempts of tasks on the runtime, find them by job and task, and stop them."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Mapping

from ..faults.fault import Fault
from ..faults.plan import ArmedFault
from ..model.custom_events import read_custom_event
from ..model.job import Task
from ..model.job_states import StatusEvent
from ..model.log_store import LogStore
from ..model.runtime_interface import CANNOT_START, Runtime, VmSpec
from ..project.secrets import SecretDenied, Secrets
from .attempt import Attempt
from .attempt_faults import FaultyAttempt, RunningAttempt
from .scheduled_job import ScheduledJob


class RunningAttempts:
    """All attempts; its methods are called on the loop's thread, its length is the number of those that run.

    `noted` gets the status events that tasks report of themselves.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        runtime: Runtime,
        logs: LogStore | None,
        grace_seconds: float | None,
        services: Mapping[str, str],
        secrets: Secrets,
        noted: Callable[[ScheduledJob, int, StatusEvent], None],
    ) -> None:
        self._noted = noted
        self._loop = loop
        self._runtime = runtime
        self._logs = logs
        self._grace_seconds = grace_seconds
        self._services = services
        self._secrets = secrets
        self._running: dict[str, dict[int, RunningAttempt]] = {}
        # attempts below struck ones: some run on after their task has gone on without them
        self._wrapped: dict[Attempt, str] = {}

    def __len__(self) -> int:
        return sum(map(len, self._running.values())) + len(self._wrapped)

    def start(
        self,
        scheduled: ScheduledJob,
        task: Task,
        drawn: ArmedFault | None,
        vm: VmSpec,
        *,
        ended: Callable[[int], None],
        struck: Callable[[Fault], None],
    ) -> None:
        """Start a task's attempt, which a fault may strike; `ended` gets its exit code."""
        attempt: RunningAttempt | None
        if drawn is None:
            attempt = self._make(scheduled, task, vm, ended)
        else:
            attempt = FaultyAttempt(
                self._loop,
                drawn,
                functools.partial(self._make_wrapped, scheduled, task, vm),
                image=scheduled.plan.steps[0].command.image,
                write=scheduled.line_writer(self._logs, task.index),
                ended=ended,
                struck=struck,
            )
        if attempt is not None:
            self._running.setdefault(scheduled.plan.uid, {})[task.index] = attempt
            attempt.start()

    def forget(self, scheduled: ScheduledJob, task: Task) -> None:
        """A task's attempt has ended."""
        attempts = self._running.get(scheduled.plan.uid, {})
        attempts.pop(task.index, None)
        if not attempts:
            self._running.pop(scheduled.plan.uid, None)

    def stop_one(self, scheduled: ScheduledJob, index: int, exit_code: int, notice_seconds: float) -> None:
        """End the attempt of one task, if it runs."""
        attempt = self._running.get(scheduled.plan.uid, {}).get(index)
        if attempt is not None:
            attempt.stop(exit_code, notice_seconds)

    def stop(self, scheduled: ScheduledJob) -> None:
        """End all that runs of a job."""
        for attempt in list(self._running.get(scheduled.plan.uid, {}).values()):
            attempt.stop()
        for below in [attempt for attempt, uid in self._wrapped.items() if uid == scheduled.plan.uid]:
            below.stop()

    def stop_all(self, notice_seconds: float) -> None:
        """End all that runs, since the emulator ends itself."""
        for attempt in [attempt for attempts in self._running.values() for attempt in attempts.values()]:
            attempt.stop(notice_seconds=notice_seconds)
        for below in list(self._wrapped):
            below.stop(notice_seconds=notice_seconds)

    def release(self, scheduled: ScheduledJob) -> None:
        """Have the runtime remove what a job's tasks shared, once nothing of the job runs."""
        uid = scheduled.plan.uid
        if scheduled.job.ended is not None and uid not in self._running and uid not in self._wrapped.values():
            self._runtime.release(uid)

    def _make(self, scheduled: ScheduledJob, task: Task, vm: VmSpec, ended: Callable[[int], None]) -> Attempt | None:
        plan, index = scheduled.plan, task.index
        write = self._writer(scheduled, index)
        try:
            steps = plan.attempt_steps(index, task.attempt, self._services, self._secrets.text_or_secret)
            workspace = self._runtime.open(f"{plan.task_id(index)}-{task.attempt}", plan.limits, vm)
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
            grace_seconds=self._grace_seconds,
            write=write,
            ended=ended,
        )

    def _writer(self, scheduled: ScheduledJob, index: int) -> Callable[[str, str], None]:
        """Return what takes a task's lines: the log, and of custom status events the task's history."""
        write_log = scheduled.line_writer(self._logs, index)

        def write(severity: str, line: str) -> None:
            write_log(severity, line)
            event = read_custom_event(line, time.time()) if scheduled.plan.keeps_logs else None
            if event is not None:
                self._noted(scheduled, index, event)

        return write

    def _make_wrapped(
        self, scheduled: ScheduledJob, task: Task, vm: VmSpec, ended: Callable[[int], None]
    ) -> Attempt | None:
        def gone(exit_code: int) -> None:
            if attempt is not None:
                self._wrapped.pop(attempt, None)
            self.release(scheduled)
            ended(exit_code)

        attempt: Attempt | None = None
        attempt = self._make(scheduled, task, vm, gone)
        if attempt is not None:
            self._wrapped[attempt] = scheduled.plan.uid
        return attempt
