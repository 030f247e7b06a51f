"""The attempts of an electron's jobs for its trace; Batch is asked only where it took an attempt away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from ..batch import job_watch, trace_ends
from ..batch.attempt_records import Measured, TaskFindings
from ..batch.attempt_times import task_attempts
from ..batch.job_evidence import EvidenceReader
from ..batch.job_run import JobRun
from ..batch.job_verdict import CANCELLED_STATES
from ..batch.job_watch import WatchResult
from ..cloud.batch import JobStatus, TaskStatus
from .outcome import Outcome
from .verdict import ElectronEvidence

logger = logging.getLogger(__name__)

# No call's end waits longer for what only its trace is to have
ASK_SECONDS = 3.0
# Of a job that somebody ended
STOPS = (trace_ends.CANCELLED, trace_ends.TIME_LIMIT, trace_ends.BUDGET, trace_ends.STOPPED)
# How an attempt ended of which nobody knows more, by why its job is watched no longer
OPEN_ENDS = {
    job_watch.GONE: trace_ends.CANCELLED,
    job_watch.OVERDUE: trace_ends.TIME_LIMIT,
    job_watch.OVER_BUDGET: trace_ends.BUDGET,
}


def open_end(watched: WatchResult) -> str:
    """Return how an attempt ended of which nobody knows more."""
    if watched.job is not None and watched.job.state in CANCELLED_STATES:
        return trace_ends.CANCELLED
    return OPEN_ENDS.get(watched.reason, trace_ends.LOST)


def may_be_asked(watched: WatchResult) -> bool:
    """Whether Batch knows of the job and answers."""
    return watched.job is not None and watched.reason in ("", job_watch.OVERDUE, job_watch.OVER_BUDGET)


class AttemptTrace:
    """Records the attempts of a lone electron, job by job."""

    def __init__(self, jobs: JobRun):
        self._jobs = jobs
        # Attempts whose last output was read: it stays where a job that follows may have an attempt of that number.
        self._known: set[int] = set()

    async def note_ended(
        self, watched: WatchResult, found: ElectronEvidence, partials: Mapping[tuple[int, int], Measured]
    ) -> None:
        """Record the attempts of a job that is watched no longer."""
        if not self._jobs.trace.is_on:
            return
        self._jobs.trace.note_collected()
        outcome = found.outcome if isinstance(found.outcome, Outcome) else None
        task = found.task
        was_taken_away = outcome is None or outcome.attempt > 0
        if task is None and was_taken_away and may_be_asked(watched):
            task = await self._ask()
        measured = self._fresh(partials)
        if outcome is not None:
            measured[outcome.attempt] = outcome.measured
        end = open_end(watched)
        if found.outcome is not None or (task is not None and task.state == "SUCCEEDED"):
            # What it delivered is refused, or gone.
            end = trace_ends.FAILED
        self._note(task, measured, watched.job, end)

    async def note_cancelled(self, partials: Mapping[tuple[int, int], Measured]) -> None:
        """Record the attempts of a job that was cancelled on purpose."""
        if self._jobs.trace.has_open_job:
            self._jobs.trace.note_collected()
            self._note(await self._ask(), self._fresh(partials), self._jobs.seen, self._jobs.cancelled_end)

    def note_stopped(self) -> None:
        """Record what is known of the job's attempts, as this process stops."""
        self._note(None, {}, self._jobs.seen, trace_ends.STOPPED)

    def _note(
        self,
        task: TaskStatus | None,
        measured: Mapping[int, Measured],
        job: JobStatus | None,
        end: str,
    ) -> None:
        listed = task_attempts(task.events) if task is not None else ()
        found = TaskFindings(0, listed, measured, end, end in STOPS)
        self._jobs.trace.note_attempts([found], job, is_alone=True)

    def _fresh(self, partials: Mapping[tuple[int, int], Measured]) -> dict[int, Measured]:
        found = {attempt: each for (_, attempt), each in partials.items() if attempt not in self._known}
        self._known.update(found)
        return found

    async def _ask(self) -> TaskStatus | None:
        reader = EvidenceReader(self._jobs.services, self._jobs.job_name)
        try:
            return (await asyncio.wait_for(reader.tasks((0,)), ASK_SECONDS)).get(0)
        except asyncio.TimeoutError:
            logger.debug("Batch does not report in time of the attempts of %s", self._jobs.job_name)
            return None
