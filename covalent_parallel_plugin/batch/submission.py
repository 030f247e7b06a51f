"""An owner's job on Batch: made once, known as the owner's own, and ended when nobody wants it any more."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from google.cloud import batch_v1

from ..cloud.batch import AlreadyExistsError
from ..cloud.errors import is_refusal
from ..cloud.interfaces import JobService
from ..cloud.job_status import JobStatus
from ..errors import CloudError, PermissionDeniedError, UnavailableError
from ..settings import Settings
from .cancellation import Cancellation
from .error_hints import find_hint
from .job_definition import STOP_TIMEOUT_SECONDS
from .job_names import LABEL_CACHE, SERVER, JobMaker
from .job_watch import ENDING_STATES, GONE, WatchResult

logger = logging.getLogger(__name__)

# How long the request to cancel is tried, and then the job's end waited for: a task may take `STOP_TIMEOUT_SECONDS` to
# save and report what it has, and is not to write after its objects are deleted
CANCEL_SECONDS = 15.0
CANCELLED_END_SECONDS = STOP_TIMEOUT_SECONDS + 10.0
# The same for a job that somebody else is ending
OTHERS_CANCEL_SECONDS = 5.0
# Batch may not find a job for a while after it was made: so long it is asked again whether one is there, and whose
UNSEEN_SECONDS = 10.0
UNSEEN_PAUSE_SECONDS = 1.0
# A request to end the job that is refused, as perhaps by a proxy, is made again for so long
ODD_SECONDS = 20.0
# A job that Batch has refused is looked for once; again for so long only if that is refused, too
LEAST_LOOK_SECONDS = 3.0
# How long one look at a job that ends is tried again
LOOK_SECONDS = 5.0
# google.cloud.batch_v1.CreateJobRequest.request_id is to be a UUID: this package's are of this namespace
REQUESTS = uuid.UUID("5d2f1c0e-8a43-5b7d-9e61-2c4b7a90d3f8")
_requests = itertools.count()


@dataclass(frozen=True)
class TakenJob:
    """A job that was made before, as by an earlier process.

    Attributes:
        number: which of its owner's jobs it is, from 1 on.
        status: None where there is no such job any more.
    """

    name: str
    number: int = 1
    status: JobStatus | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs, or will for long."""
        return self.status is None or self.status.is_terminal or self.status.state in ENDING_STATES


class Submission:
    """The jobs of one owner, one after the other; the last one is meant by `job_name`.

    Args:
        batch: where they run.
        owner: whose they are.
        cancelled: set when the user asks for the end.
    """

    def __init__(self, batch: JobService, owner: JobMaker, cancelled: Cancellation):
        self._batch = batch
        self._owner = owner
        self._cancelled = cancelled
        self._jobs = 0
        # A job may exist that has not ended / it is certain that it is this owner's
        self._may_exist = False
        self._is_confirmed = False
        self._unseen_seconds = UNSEEN_SECONDS
        self.job_name = ""
        # The last job that was looked at, and the latest one if it was there before it was asked for
        self._seen: JobStatus | None = None
        self.found: JobStatus | None = None

    @property
    def is_created(self) -> bool:
        """Whether the job was made."""
        return self._is_confirmed

    def record_watch(self, watched: WatchResult) -> None:
        """Take note of how the watch ended: a job that has ended needs no cancelling, one that is gone one try."""
        if watched.reason == GONE:
            self._unseen_seconds = 0.0
        elif not watched.reason and watched.job is not None and watched.job.is_terminal:
            self._may_exist = False

    def take_over(self, job_name: str, number: int = 1, may_run: bool = True) -> None:
        """Go on with a job that was made before, by this owner: its job of this number, from 1 on."""
        self.job_name = job_name
        self._jobs = number
        self._is_confirmed, self._may_exist = True, may_run

    async def create(self, settings: Settings, job: batch_v1.Job) -> None:
        """Submit the job, under the first of the owner's ids that is free.

        Raises:
            CloudError: Batch refused it, or could not be reached.
            CancelledCall: the user cancelled meanwhile.
        """
        owner = self._owner
        self._jobs += 1
        for job_id in owner.job_ids(self._jobs):
            self.job_name = f"{settings.parent}/jobs/{job_id}"
            self._may_exist, self._is_confirmed, self.found = True, False, None
            # The same for every try of this very request, and for no other one: for a call that others may make as well
            # Batch is to say that its job is there.
            nonce = f" {SERVER} {next(_requests)}" if LABEL_CACHE in job.labels else ""
            request_id = str(uuid.uuid5(REQUESTS, f"{owner.own_label[1]} {job_id}{nonce}"))
            try:
                await self._request(settings.parent, job, job_id, request_id)
            except AlreadyExistsError:
                if not await self._owns_job():
                    self._may_exist = False
                    continue
                self.found = self._seen
            except CloudError as error:
                if not await self._cancelled.unless(self._was_made(error)):
                    known = find_hint(str(error))
                    remedy = f"\nThat means: {known.meaning}. To do: {known.remedy}." if known else ""
                    raise type(error)(f"{owner.title} could not be submitted: {error}{remedy}") from error
                self.found = self._seen
                logger.warning("%s was submitted, although the answer was: %s", owner.title, error)
            self._is_confirmed = True
            logger.debug("submitted %s as %s", owner.title, self.job_name)
            return
        raise CloudError(
            f"{owner.title} could not be submitted: jobs of other calls hold its names, such as {self.job_name}"
        )

    async def _request(self, parent: str, job: batch_v1.Job, job_id: str, request_id: str) -> None:
        """Ask for the job; after an answer that is neither a refusal nor an outage, as a proxy gives, once more.

        Raises:
            AlreadyExistsError: the id is taken, perhaps by this very request.
            CloudError: Batch refused it, or could not be reached.
            CancelledCall: the user cancelled meanwhile.
        """
        try:
            await self._cancelled.unless(self._batch.create(parent, job, job_id, request_id))
        except CloudError as error:
            if isinstance(error, (AlreadyExistsError, UnavailableError)) or is_refusal(error):
                raise
            logger.warning("%s is submitted once more, since the answer was: %s", self._owner.title, error)
            await self._cancelled.unless(asyncio.sleep(UNSEEN_PAUSE_SECONDS))
            await self._cancelled.unless(self._batch.create(parent, job, job_id, request_id))

    async def end(self, meanwhile: Callable[[], Awaitable[None]]) -> bool:
        """Cancel the job unless it has ended, and wait for its end, for a while; `meanwhile` runs beside the request.

        A job that another call made under this name is left alone.

        Returns:
            Whether there was a job to end.
        """
        if not self._may_exist:
            return False
        if not self._is_confirmed and not await self._owns_job():
            self._may_exist = False
            return False
        # Both to their end: what one of them raises must not leave the other one behind.
        is_ours, failed = await asyncio.gather(self._cancel(), meanwhile(), return_exceptions=True)
        for outcome in (is_ours, failed):
            if isinstance(outcome, BaseException):
                raise outcome
        until = time.monotonic() + (CANCELLED_END_SECONDS if is_ours else OTHERS_CANCEL_SECONDS)
        pause = 0.2
        while time.monotonic() < until:
            try:
                job = await self._batch.get(self.job_name, patience_seconds=LOOK_SECONDS)
            except CloudError as error:
                logger.debug("the end of the job %s is looked for again: %s", self.job_name, error)
            else:
                if job is None or job.is_terminal:
                    break
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        self._may_exist = False
        return True

    async def _cancel(self) -> bool:
        """Cancel the job, again while Batch does not find it yet or answers oddly; False where it is ending already.

        Raises:
            CloudError: Batch could not be reached, or answered oddly for too long.
        """
        now = time.monotonic()
        unseen_until, odd_until = now + self._unseen_seconds, now + ODD_SECONDS
        while True:
            try:
                if await self._batch.cancel(self.job_name, patience_seconds=CANCEL_SECONDS):
                    return True
                job = await self._batch.get(self.job_name, patience_seconds=LOOK_SECONDS)
            except CloudError as error:
                if isinstance(error, UnavailableError) or time.monotonic() > odd_until:
                    raise
                logger.debug("the job %s is cancelled again: %s", self.job_name, error)
            else:
                if job is None:
                    if time.monotonic() > unseen_until:
                        return False
                elif job.is_terminal or job.state in ENDING_STATES:
                    return False
                elif time.monotonic() > odd_until:
                    raise CloudError(f"Batch does not cancel it: its state is {job.state}")
            await asyncio.sleep(UNSEEN_PAUSE_SECONDS)

    async def _was_made(self, error: CloudError) -> bool:
        """Whether the job was made although the answer is an error: a proxy may have answered in Batch's place."""
        try:
            owns_job = await self._owns_job(0.0 if is_refusal(error) else UNSEEN_SECONDS)
        except CloudError as unknown:
            # Who may neither make a job nor look at one has none.
            self._may_exist = not (isinstance(error, PermissionDeniedError) and type(unknown) is type(error))
            logger.debug("it is not known whether the job %s was made: %s", self.job_name, unknown)
            return False
        # The request itself may come late where no answer came.
        self._may_exist = owns_job or isinstance(error, UnavailableError)
        return owns_job

    async def _owns_job(self, seconds: float = UNSEEN_SECONDS) -> bool:
        """Whether the job that holds the name is this very call's: an answer to an earlier try was lost then.

        A job that is not found is looked for again for so long, also after an odd answer; False if none appears.

        Raises:
            CloudError: the last answer.
        """
        now = time.monotonic()
        unseen_until, odd_until = now + seconds, now + max(seconds, LEAST_LOOK_SECONDS)
        while True:
            try:
                job = await self._batch.get(self.job_name, patience_seconds=UNSEEN_SECONDS)
            except CloudError:
                if time.monotonic() > odd_until:
                    raise
            else:
                if job is not None:
                    self._seen = job
                    label, value = self._owner.own_label
                    self._is_confirmed = job.labels.get(label) == value
                    return self._is_confirmed
                if time.monotonic() > unseen_until:
                    return False
            await asyncio.sleep(UNSEEN_PAUSE_SECONDS)
