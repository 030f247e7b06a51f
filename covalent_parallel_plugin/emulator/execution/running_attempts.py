"""Start the attempts of tasks on the runtime, find them by job and task, and stop them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping

from ..faults.fault import Fault
from ..faults.plan import ArmedFault
from ..model.job import Task
from ..model.job_states import StatusEvent
from ..model.log_store import LogStore
from ..model.runtime_interface import CANNOT_START, Runtime, StartFailed, VmSpec
from ..project.secrets import SecretDenied, Secrets
from .attempt import Attempt
from .attempt_faults import FaultyAttempt, RunningAttempt
from .barriers import Barriers
from .machine_addresses import MachineAddresses
from .scheduled_job import ScheduledJob
from .task_output import TaskOutput


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
        machines: MachineAddresses,
        noted: Callable[[ScheduledJob, int, StatusEvent], None],
    ) -> None:
        self._noted = noted
        self._loop = loop
        self._runtime = runtime
        self._logs = logs
        self._grace_seconds = grace_seconds
        self._services = services
        self._secrets = secrets
        self._machines = machines
        self._running: dict[str, dict[int, RunningAttempt]] = {}
        self._with_barriers: dict[str, Barriers] = {}
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
        on_end: Callable[[int], None],
        struck: Callable[[Fault], None],
    ) -> None:
        """Start a task's attempt, which a fault may strike; `on_end` gets its exit code."""
        attempt: RunningAttempt | None
        if drawn is None:
            attempt = self._make(scheduled, task, vm, on_end)
        else:
            attempt = FaultyAttempt(
                self._loop,
                drawn,
                functools.partial(self._make_wrapped, scheduled, task, vm),
                image=scheduled.plan.steps[0].command.image,
                write=scheduled.line_writer(self._logs, task.index),
                on_end=on_end,
                struck=struck,
            )
        if attempt is not None:
            self._running.setdefault(scheduled.plan.uid, {})[task.index] = attempt
            if scheduled.plan.has_barriers:
                self._with_barriers[scheduled.plan.uid] = scheduled.barriers
            attempt.start()

    def forget(self, scheduled: ScheduledJob, task: Task) -> None:
        """Record that a task's attempt has ended."""
        attempts = self._running.get(scheduled.plan.uid, {})
        attempts.pop(task.index, None)
        if not attempts:
            self._running.pop(scheduled.plan.uid, None)
            self._with_barriers.pop(scheduled.plan.uid, None)

    def waiting(self) -> int:
        """Count the tasks that run and wait at a barrier for others."""
        return sum(len(self._running[uid].keys() & barriers.waiting) for uid, barriers in self._with_barriers.items())

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
        """Let the runtime remove what a job's tasks shared, once nothing of the job runs."""
        uid = scheduled.plan.uid
        if scheduled.job.ended is not None and uid not in self._running and uid not in self._wrapped.values():
            self._runtime.release(uid)
            self._machines.forget(uid)

    def _make(
        self,
        scheduled: ScheduledJob,
        task: Task,
        vm: VmSpec,
        on_end: Callable[[int], None],
        heard: Callable[[str], None] = lambda line: None,
    ) -> Attempt | None:
        plan, index = scheduled.plan, task.index
        try:
            services = {**self._services, **self._machines.variables(plan, task.instance)}
            steps = plan.attempt_steps(index, task.attempt, services, self._secrets.text_or_secret)
            workspace = self._runtime.open(f"{plan.task_id(index)}-{task.attempt}", plan.limits, vm)
        except (SecretDenied, OSError) as error:
            is_denied = isinstance(error, SecretDenied)
            text = str(error) if is_denied else f"the task's workspace cannot be created: {error}"
            scheduled.line_writer(self._logs, index)("ERROR", text)
            on_end(CANNOT_START)
            return None
        output = TaskOutput(scheduled, task, self._logs, functools.partial(self._noted, scheduled, index))
        try:
            output.open_files(workspace, self._services)
        except (StartFailed, OSError) as error:
            output.note(f"Logs cannot be written to {plan.logs_path}: {error}")
            workspace.close()
            on_end(CANNOT_START)
            return None

        def write(number: int, severity: str, line: str) -> None:
            output.write(number, severity, line)
            for hear in (heard, *(awaited.hear for awaited in scheduled.awaited_lines)):
                hear(line)

        return Attempt(
            self._loop,
            workspace,
            steps,
            index=index,
            barriers=scheduled.barriers,
            max_run_seconds=plan.max_run_seconds,
            grace_seconds=self._grace_seconds,
            write=write,
            noted=output.note,
            on_end=lambda exit_code: output.close(self._loop, exit_code, on_end),
        )

    def _make_wrapped(
        self,
        scheduled: ScheduledJob,
        task: Task,
        vm: VmSpec,
        on_end: Callable[[int], None],
        heard: Callable[[str], None],
    ) -> Attempt | None:
        def gone(exit_code: int) -> None:
            if attempt is not None:
                self._wrapped.pop(attempt, None)
            self.release(scheduled)
            on_end(exit_code)

        attempt: Attempt | None = None
        attempt = self._make(scheduled, task, vm, gone, heard)
        if attempt is not None:
            self._wrapped[attempt] = scheduled.plan.uid
        return attempt
