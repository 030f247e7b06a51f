"""Apply faults to a job on its way: refused, waiting for quota, vanishing, cancelled, siblings stopped."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable

from ..faults.fault import Fault
from ..faults.plan import ArmedFault, FaultPlan, FaultTarget
from ..model.job import JobState, Task
from ..model.task_plan import TaskPlan
from .awaited_line import AwaitedLine
from .scheduled_job import ScheduledJob

_HOLDS = ("job.refused", "job.quota", "job.no_capacity", "job.no_agent")
_DESCRIPTIONS = {
    "CODE_MACHINE_TYPE_NOT_FOUND": "The machine type was not found in zone {zone}.",
    "CODE_GCE_INVALID_FIELD_VALUE": "Invalid value for field 'resource.properties.machineType'.",
}


class JobFaults:
    """Strikes jobs; all methods are called on the loop's thread, `end` is to end what runs of a job."""

    def __init__(
        self,
        plan: FaultPlan,
        loop: asyncio.AbstractEventLoop,
        lock: threading.RLock,
        clock: Callable[[], float],
        end: Callable[[ScheduledJob], None],
    ) -> None:
        self._plan = plan
        self._loop = loop
        self._lock = lock
        self._clock = clock
        self._end = end

    def unless_held(self, scheduled: ScheduledJob, state: JobState, proceed: Callable[[ScheduledJob], None]) -> None:
        """Let a job that is in this state continue, unless a fault holds it there, for a time or for ever."""
        if scheduled.refusal and scheduled.job.state is state is JobState.SCHEDULED:
            with self._lock:
                scheduled.job.note(scheduled.refusal, self._clock())
            self._refuse(scheduled, scheduled.refusal)
            return
        drawn = None
        if scheduled.job.state is state:
            drawn = self._draw(_HOLDS, scheduled.plan, where=lambda fault: fault.value("state") == state.name)
        if drawn is None:
            proceed(scheduled)
            return
        fault = drawn.consume()
        text = _text(fault, scheduled.plan)
        with self._lock:
            scheduled.job.note(text, self._clock())
        seconds = fault.value("after_seconds" if fault.kind == "job.refused" else "seconds")
        if seconds is None:
            return
        if fault.kind in ("job.refused", "job.no_agent"):
            self._loop.call_later(seconds, self._refuse, scheduled, text)
        else:
            self._loop.call_later(seconds, proceed, scheduled)

    def expect_ending(self, scheduled: ScheduledJob, state: JobState) -> None:
        """Apply faults to a job that has entered this state: a fault may delete or cancel it some time later."""
        kinds = ("job.vanish", "job.cancelled")
        drawn = self._draw(kinds, scheduled.plan, where=lambda fault: fault.value("state") == state.name)
        if drawn is not None:
            seconds = drawn.fault.value("after_seconds")
            end = functools.partial(self._loop.call_later, seconds, self._end_on_request, scheduled, drawn)
            awaited = AwaitedLine(drawn.fault.value("after_output"), end)
            scheduled.awaited_lines.append(awaited)
            awaited.start()

    def hold_cancelling(self, scheduled: ScheduledJob, release: Callable[[ScheduledJob], None]) -> None:
        """Apply faults to a job that is being cancelled: it may be stuck so."""
        if scheduled.job.state is not JobState.CANCELLATION_IN_PROGRESS or scheduled.is_stuck:
            return
        drawn = self._draw(("job.stuck_cancelling",), scheduled.plan)
        if drawn is not None:
            scheduled.is_stuck = True
            seconds = drawn.consume().value("seconds")
            if seconds is not None:
                self._loop.call_later(seconds, release, scheduled)

    def stop_siblings(self, scheduled: ScheduledJob, task: Task) -> bool:
        """A task has failed for good: no sibling starts any more; return whether those that run are to end too.

        The caller holds the lock.
        """
        if scheduled.job.has_ended or scheduled.job.is_stopping:
            return False
        drawn = self._draw(("job.stop_siblings",), scheduled.plan, task.index)
        if drawn is None:
            return False
        if not scheduled.job.give_up(self._clock()):
            drawn.give_back()
            return False
        return not drawn.consume().value("spares_running")

    def _draw(
        self,
        kinds: tuple[str, ...],
        plan: TaskPlan,
        task: int | None = None,
        where: Callable[[Fault], bool] | None = None,
    ) -> ArmedFault | None:
        if not self._plan.has("job"):
            return None
        target = FaultTarget(job=plan.job_id, labels=plan.labels, provisioning=plan.provisioning, task=task)
        return self._plan.draw(kinds, target, where)

    def _refuse(self, scheduled: ScheduledJob, text: str) -> None:
        with self._lock:
            scheduled.job.refuse(text, self._clock())
        self._end(scheduled)

    def _end_on_request(self, scheduled: ScheduledJob, drawn: ArmedFault) -> None:
        with self._lock:
            job = scheduled.job
            if job.is_stopping or (job.has_ended and drawn.fault.kind == "job.cancelled"):
                drawn.give_back()
                return
            if drawn.consume().kind == "job.cancelled":
                job.request_cancel(self._clock())
            else:
                job.request_delete(self._clock())
        self._end(scheduled)


def _text(fault: Fault, plan: TaskPlan) -> str:
    """Return the event's text, in the words that Batch has been seen to use."""
    region = plan.zone.rpartition("-")[0]
    message = fault.value("message")
    if fault.kind == "job.refused":
        code = fault.value("code")
        described = message or _DESCRIPTIONS.get(code, "The job cannot be scheduled.").format(zone=plan.zone)
        return f"Job gets non-retryable information Batch Error: code - {code}, description - {described}"
    if fault.kind == "job.no_agent":
        return f"No VM has agent reporting correctly within time window {fault.value('window_seconds')} seconds"
    if fault.kind == "job.quota":
        code = "CODE_GCE_QUOTA_EXCEEDED"
        described = message or f"Quota 'N2_CPUS' exceeded. Limit: 24.0 in region {region}."
    else:
        code = "CODE_GCE_ZONE_RESOURCE_POOL_EXHAUSTED"
        described = message or (
            f"The zone 'projects/{plan.project}/zones/{plan.zone}' does not have enough resources available to fulfill "
            "the request. Try a different zone, or try again later."
        )
    return f"VM in Managed Instance Group meets error: Batch Error: code - {code}, description - {described}"
