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
# How an attempt ended of which nobody knows more, by why its job is watched no longer
OPEN_ENDS = {job_watch.GONE: trace_ends.CANCELLED, job_watch.OVERDUE: trace_ends.TIME_LIMIT}


def is_cancelled(job: JobStatus | None) -> bool:
    """Whether a job was cancelled or deleted."""
    return job is not None and job.state in CANCELLED_STATES


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
        if task is None and was_taken_away and watched.job is not None and not watched.reason:
            task = await self._ask()
        measured = self._fresh(partials)
        if outcome is not None:
            measured[outcome.attempt] = outcome.measured
        end = OPEN_ENDS.get(watched.reason, trace_ends.LOST)
        if found.outcome is not None or (task is not None and task.state == "SUCCEEDED"):
            # What it delivered is refused, or gone.
            end = trace_ends.FAILED
        self._note(task, measured, watched.job, end, is_cancelled(watched.job))

    async def note_cancelled(self, partials: Mapping[tuple[int, int], Measured]) -> None:
        """Record the attempts of a job that the user has cancelled."""
        if self._jobs.trace.has_open_job:
            self._jobs.trace.note_collected()
            self._note(await self._ask(), self._fresh(partials), self._jobs.seen, trace_ends.CANCELLED, True)

    def note_stopped(self) -> None:
        """Record what is known of the job's attempts, as this process stops."""
        self._note(None, {}, self._jobs.seen, trace_ends.STOPPED, False)

    def _note(
        self,
        task: TaskStatus | None,
        measured: Mapping[int, Measured],
        job: JobStatus | None,
        end: str,
        is_cancelled: bool,
    ) -> None:
        listed = task_attempts(task.events) if task is not None else ()
        found = TaskFindings(0, listed, measured, end, is_cancelled)
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
            logger.debug("Batch does not tell in time of the attempts of %s", self._jobs.job_name)
            return None
