"""One call's job on Batch: made once, known as this call's own, and ended when nobody wants it any more."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable

from google.cloud import batch_v1

from ..cloud.batch import AlreadyExistsError, BatchApi
from ..electron.call import Call
from ..errors import CloudError, UnavailableError
from ..protocol.identity import CallIdentity
from ..settings import Settings
from . import job_definition
from .cancellation import Cancellation
from .error_hints import recognise
from .job_watch import ENDING_STATES, GONE, Watched

logger = logging.getLogger(__name__)

# How long a job that was cancelled is waited for, so that no task writes after its objects are deleted
CANCEL_SECONDS = 15.0
# The same for a job that somebody else is ending
OTHERS_CANCEL_SECONDS = 5.0
# Batch may not find a job for a while after it was made: so long it is asked again whether one is there, and whose
UNSEEN_SECONDS = 10.0
UNSEEN_PAUSE_SECONDS = 1.0
# google.cloud.batch_v1.CreateJobRequest.request_id is to be a UUID: this package's are of this namespace
REQUESTS = uuid.UUID("5d2f1c0e-8a43-5b7d-9e61-2c4b7a90d3f8")


class Submission:
    """The jobs of one call, one after the other; the last one is meant by `job_name`.

    Args:
        batch: where they run.
        call, identity: whose they are.
        cancelled: set when the user asks for the call's end.
    """

    def __init__(self, batch: BatchApi, call: Call, identity: CallIdentity, cancelled: Cancellation):
        self._batch = batch
        self._call = call
        self._identity = identity
        self._cancelled = cancelled
        self._jobs = 0
        # A job may exist that has not ended / it is certain that it is this call's
        self._may_run = False
        self._is_confirmed = False
        self._unseen_seconds = UNSEEN_SECONDS
        self.job_name = ""

    @property
    def was_made(self) -> bool:
        """Whether a job of this call was made."""
        return self._is_confirmed

    def saw(self, watched: Watched) -> None:
        """Take note of how the watch ended: a job that has ended needs no cancelling, one that is gone one try."""
        if watched.reason == GONE:
            self._unseen_seconds = 0.0
        elif not watched.reason and watched.job is not None and watched.job.is_terminal:
            self._may_run = False

    async def create(self, settings: Settings, job: batch_v1.Job) -> None:
        """Submit the job, under the name that belongs to the node, or under one of the call's own if that is taken.

        Raises:
            CloudError: Batch refused it, or could not be reached.
            CancelledCall: the user cancelled meanwhile.
        """
        call = self._call
        self._jobs += 1
        own = job_definition.own_name(self._identity.call_id, self._jobs)
        names = [
            job_definition.job_id(call.dispatch_id, call.node_id),
            job_definition.job_id(call.dispatch_id, call.node_id, own),
        ]
        for job_id in names if self._jobs == 1 else names[1:]:
            self.job_name = f"{settings.parent}/jobs/{job_id}"
            self._may_run, self._is_confirmed = True, False
            # The same for every try of this very request, and for no other one
            request_id = str(uuid.uuid5(REQUESTS, f"{self._identity.call_id} {job_id}"))
            creation = self._batch.create(settings.parent, job, job_id, request_id)
            try:
                await self._cancelled.unless(creation)
            except AlreadyExistsError:
                if not await self._is_ours():
                    self._may_run = False
                    continue
            except CloudError as error:
                # Only where no answer came may a job have been made.
                self._may_run = isinstance(error, UnavailableError)
                known = recognise(str(error))
                remedy = f"\nThat means: {known.meaning}. To do: {known.remedy}." if known else ""
                raise type(error)(f"{call} could not be submitted: {error}{remedy}") from error
            self._is_confirmed = True
            logger.debug("submitted %s as %s", call, self.job_name)
            return
        raise CloudError(f"{call} could not be submitted: jobs of other calls hold its names, such as {self.job_name}")

    async def end(self, meanwhile: Callable[[], Awaitable[None]]) -> bool:
        """Cancel the job unless it has ended, and wait for its end, for a while; `meanwhile` runs beside the request.

        A job that another call made under this name is left alone.

        Returns:
            Whether there was a job to end.
        """
        if not self._may_run:
            return False
        if not self._is_confirmed and not await self._is_ours():
            self._may_run = False
            return False
        # Both to their end: what one of them raises must not leave the other one behind.
        is_ours, failed = await asyncio.gather(self._cancel(), meanwhile(), return_exceptions=True)
        for outcome in (is_ours, failed):
            if isinstance(outcome, BaseException):
                raise outcome
        until = time.monotonic() + (CANCEL_SECONDS if is_ours else OTHERS_CANCEL_SECONDS)
        pause = 0.2
        while time.monotonic() < until:
            job = await self._batch.get(self.job_name, patience_seconds=5.0)
            if job is None or job.is_terminal:
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        self._may_run = False
        return True

    async def _cancel(self) -> bool:
        """Cancel the job, again while Batch does not find it yet; False where somebody else is ending it."""
        until = time.monotonic() + self._unseen_seconds
        while not await self._batch.cancel(self.job_name, patience_seconds=CANCEL_SECONDS):
            job = await self._batch.get(self.job_name, patience_seconds=5.0)
            is_ending = job is not None and (job.is_terminal or job.state in ENDING_STATES)
            if is_ending or time.monotonic() > until:
                return False
            await asyncio.sleep(UNSEEN_PAUSE_SECONDS)
        return True

    async def _is_ours(self) -> bool:
        """Whether the job that holds the name is this very call's: an answer to an earlier try was lost then.

        A job that is not found is asked for again; False if none appears.
        """
        until = time.monotonic() + UNSEEN_SECONDS
        while True:
            job = await self._batch.get(self.job_name, patience_seconds=UNSEEN_SECONDS)
            if job is not None:
                self._is_confirmed = job.labels.get(job_definition.LABEL_CALL) == self._identity.call_id
                return self._is_confirmed
            if time.monotonic() > until:
                return False
            await asyncio.sleep(UNSEEN_PAUSE_SECONDS)
