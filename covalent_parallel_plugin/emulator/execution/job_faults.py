"""Faults of a job on its way: refused, waiting for quota, vanishing, cancelled by somebody, siblings stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from ..faults.plan import ArmedFault, FaultPlan, FaultTarget
from ..faults.rule import Fault
from ..model.job import JobState, Task
from ..model.task_plan import Plan
from .scheduled_job import Entry

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
        end: Callable[[Entry], None],
    ) -> None:
        self._plan = plan
        self._loop = loop
        self._lock = lock
        self._clock = clock
        self._end = end

    def unless_held(self, entry: Entry, state: JobState, proceed: Callable[[Entry], None]) -> None:
        """Have a job that is in this state go on, unless a fault holds it there, for a time or for ever."""
        if entry.refusal and entry.job.state is state is JobState.SCHEDULED:
            with self._lock:
                entry.job.note(entry.refusal, self._clock())
            self._refuse(entry, entry.refusal)
            return
        drawn = None
        if entry.job.state is state:
            drawn = self._draw(_HOLDS, entry.plan, where=lambda fault: fault.value("state") == state.name)
        if drawn is None:
            proceed(entry)
            return
        fault = drawn.consume()
        text = _text(fault, entry.plan)
        with self._lock:
            entry.job.note(text, self._clock())
        seconds = fault.value("after_seconds" if fault.kind == "job.refused" else "seconds")
        if seconds is None:
            return
        if fault.kind in ("job.refused", "job.no_agent"):
            self._loop.call_later(seconds, self._refuse, entry, text)
        else:
            self._loop.call_later(seconds, proceed, entry)

    def expect_ending(self, entry: Entry, state: JobState) -> None:
        """A job has come into this state: somebody may delete or cancel it some time later."""
        kinds = ("job.vanish", "job.cancelled")
        drawn = self._draw(kinds, entry.plan, where=lambda fault: fault.value("state") == state.name)
        if drawn is not None:
            self._loop.call_later(drawn.fault.value("after_seconds"), self._end_by_somebody, entry, drawn)

    def hold_cancelling(self, entry: Entry, release: Callable[[Entry], None]) -> None:
        """A job is being cancelled: it may be stuck so."""
        if entry.job.state is not JobState.CANCELLATION_IN_PROGRESS or entry.is_stuck:
            return
        drawn = self._draw(("job.stuck_cancelling",), entry.plan)
        if drawn is not None:
            entry.is_stuck = True
            seconds = drawn.consume().value("seconds")
            if seconds is not None:
                self._loop.call_later(seconds, release, entry)

    def stop_siblings(self, entry: Entry, task: Task) -> bool:
        """A task has failed for good: no sibling starts any more; return whether those that run are to end too.

        The caller holds the lock.
        """
        if entry.job.has_ended or entry.job.is_stopping:
            return False
        drawn = self._draw(("job.stop_siblings",), entry.plan, task.index)
        if drawn is None:
            return False
        if not entry.job.give_up(self._clock()):
            drawn.give_back()
            return False
        return not drawn.consume().value("spares_running")

    def _draw(
        self,
        kinds: tuple[str, ...],
        plan: Plan,
        task: int | None = None,
        where: Callable[[Fault], bool] | None = None,
    ) -> ArmedFault | None:
        if not self._plan.has("job"):
            return None
        target = FaultTarget(job=plan.job_id, labels=plan.labels, provisioning=plan.provisioning, task=task)
        return self._plan.draw(kinds, target, where)

    def _refuse(self, entry: Entry, text: str) -> None:
        with self._lock:
            entry.job.refuse(text, self._clock())
        self._end(entry)

    def _end_by_somebody(self, entry: Entry, drawn: ArmedFault) -> None:
        with self._lock:
            job = entry.job
            if job.is_stopping or (job.has_ended and drawn.fault.kind == "job.cancelled"):
                drawn.give_back()
                return
            if drawn.consume().kind == "job.cancelled":
                job.request_cancel(self._clock())
            else:
                job.request_delete(self._clock())
        self._end(entry)


def _text(fault: Fault, plan: Plan) -> str:
    """Give the event's text, in the words that Batch has been seen to use."""
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
