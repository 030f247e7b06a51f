"""One round of a sweep on its way: its job made or taken over, watched, gathered from, and ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from google.cloud import batch_v1

from ...batch import job_definition, job_watch
from ...batch.cancellation import Cancellation
from ...batch.job_names import LABEL_SWEEP_ID, label_value
from ...batch.job_watch import WatchResult
from ...batch.status_poller import StatusPoller
from ...batch.submission import Submission
from ...batch.trouble import bear, fetch_trouble
from ...cloud import Services
from ...cloud.batch import JobStatus
from ...errors import CloudError
from ...settings import Settings
from .gathering import RoundGathering
from .poll_pace import PollPace
from .round_tasks import RoundTasks

logger = logging.getLogger(__name__)

# After its job was ended, a task's last write may still be on its way
LATE_WRITE_SECONDS = 1.0
# So long its last status is asked for
LAST_LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class RoundOwner:
    """A sweep as the maker of one round's job, which has one id only: a job that holds it was made for this round."""

    title: str
    sweep_id: str
    job_id: str

    @property
    def own_label(self) -> tuple[str, str]:
        """Name and value of the label of this sweep's jobs."""
        return LABEL_SWEEP_ID, label_value(self.sweep_id)

    def job_ids(self, number: int) -> Sequence[str]:
        """Return the one id."""
        return [self.job_id]


class RoundRun:
    """One round.

    Args:
        services, settings: through whom and how.
        owner: who makes its job.
        tasks: the round's.
        gathering: takes in what they deliver.
        cancelled: set when the user asks for the end.
        interrupted: set when nobody waits for the round any longer.
        noted: called after each look; what it raises ends the watch.
    """

    def __init__(
        self,
        services: Services,
        settings: Settings,
        owner: RoundOwner,
        tasks: RoundTasks,
        gathering: RoundGathering,
        cancelled: Cancellation,
        interrupted: Cancellation,
        noted: Callable[[JobStatus, PollPace], Awaitable[None]],
    ) -> None:
        self.tasks = tasks
        self.gathering = gathering
        self.settings = settings
        self._services = services
        self._owner = owner
        self._submission = Submission(services.batch, owner, cancelled)
        self._interrupted = interrupted
        self._noted = noted
        self._pace = PollPace(tasks.job_tasks, settings.poll_freq)

    @property
    def job_name(self) -> str:
        """The job's name."""
        return f"{self.settings.parent}/jobs/{self._owner.job_id}"

    async def create(self, job: batch_v1.Job) -> None:
        """Submit the job.

        Raises:
            CloudError: Batch refused it, or could not be reached; there is no job then, as far as can be known.
            CancelledCall: the user asked for the end.
        """
        try:
            await self._submission.create(self.settings, job)
        except CloudError:
            await self.end_job()
            raise

    def take_over(self) -> None:
        """Go on with the job, which an earlier run has made."""
        self._submission.take_over(self.job_name)

    async def watch(self) -> WatchResult:
        """Wait for the job's end, or for what makes waiting pointless; outcomes are taken in meanwhile.

        Raises:
            CancelledCall: nobody waits any longer.
            OSError: the folder or the journal cannot be used. Exception: what `noted` raises.
        """
        settings, batch = self.settings, self._services.batch
        bundle_seconds = settings.time_limit * self.tasks.bundle + job_definition.GRACE_SECONDS
        attempt_seconds = bundle_seconds + job_watch.SLACK_PER_ATTEMPT_SECONDS
        # At worst the tasks run one after the other
        run_seconds = attempt_seconds * (settings.retries + 1) * self.tasks.job_tasks
        limits = job_watch.WatchLimits(settings.queue_limit, run_seconds, batch.outage_seconds, batch.refusal_seconds)
        poller = StatusPoller.shared(batch, settings.parent)

        async def poll(pause_seconds: float) -> JobStatus | None:
            # A shorter one is asked for where the job is not found
            at_pace = pause_seconds >= settings.poll_freq
            pause = max(pause_seconds, self._pace.pause_seconds) if at_pace else pause_seconds
            status = await self._interrupted.unless(poller.look(self.job_name, pause))
            if status is not None:
                await self._note(status)
            return status

        try:
            watched = await job_watch.wait_for_end(
                poll, self.job_name, settings.poll_freq, limits, time.monotonic, self._is_delivered
            )
        finally:
            poller.forget(self.job_name)
        self._submission.record_watch(watched)
        return watched

    async def end_job(self) -> None:
        """Cancel the job if it may still run, and wait for its end, for a while."""
        try:
            if await self._submission.end(_nothing):
                await asyncio.sleep(LATE_WRITE_SECONDS)
        except CloudError as error:
            logger.warning("the job %s may still run: %s", self.job_name, error)

    async def last_status(self) -> JobStatus | None:
        """Return the job as Batch reports it now; None if it does not."""
        try:
            return await self._services.batch.get(self.job_name, LAST_LOOK_SECONDS)
        except CloudError as error:
            logger.debug("the status of the job %s was not read again: %s", self.job_name, error)
            return None

    async def take_rest(self, interrupted: Cancellation) -> None:
        """Take in all that is there, for as long as an outage is borne.

        Raises:
            CloudError: the bucket could not be read for too long.
            CancelledCall: nobody waits any longer.
        """
        await bear(
            lambda: interrupted.unless(self.gathering.take()),
            fetch_trouble(self._services.batch),
            lambda seconds: interrupted.unless(asyncio.sleep(seconds)),
            lambda error: logger.warning("%s has delivered, and is asked for it again: %s", self._owner.title, error),
        )

    async def _note(self, status: JobStatus) -> None:
        self._pace.note(status)
        if self.gathering.missing and not status.is_terminal and self._pace.is_list_due():
            self._pace.note_list()
            try:
                await self._interrupted.unless(self.gathering.take())
            except CloudError as error:
                logger.debug("outcomes are listed again later: %s", error)
        await self._noted(status, self._pace)

    async def _is_delivered(self) -> bool:
        try:
            await self._interrupted.unless(self.gathering.take())
        except CloudError as error:
            logger.debug("the bucket does not report whether all has been delivered: %s", error)
        return not self.gathering.missing


async def _nothing() -> None:
    """Do nothing beside the request to cancel."""
