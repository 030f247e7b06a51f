"""One call's way on the dispatcher: stage, submit, watch, collect; and whatever happens, leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import aiofiles

from .. import wire
from ..cloud import Services
from ..cloud.batch import AlreadyExistsError
from ..cloud.pool import POOL, in_pool
from ..errors import CloudError
from ..settings import Settings
from . import jobspec, watch
from .archive import runner_archive
from .call import Call, Pickles
from .collect import IN_MEMORY_BYTES, Collection
from .outcome import Outcome, Raised
from .source import electron_lookup, with_source_lines
from .trouble import recognise
from .verdict import Findings, Verdict, settings_for_another_run, verdict

logger = logging.getLogger(__name__)

# Names tried where a job of another call holds the one that belongs to a node
NAMES_TRIED = 8
# How long a job that was cancelled is waited for before its objects are deleted
CANCEL_SECONDS = 15.0
# The same for a job that somebody else is ending
OTHERS_CANCEL_SECONDS = 5.0

# Buckets that have the runner's archive
_staged_runners: set[str] = set()


class CancelledCall(Exception):
    """The user asked for this call's end."""


class Lifecycle:
    """One call on its way.

    Args:
        call: the electron; its pickles go to `run`.
        settings, services: how and through whom.
        cancelled: set when the user asks for its end.
        source: finds the electron's source text where it raised, for its traceback; "" if it is not known.
    """

    def __init__(
        self,
        call: Call,
        settings: Settings,
        services: Services,
        cancelled: asyncio.Event,
        source: Callable[[], Awaitable[str]],
    ):
        self._call = call
        self._settings = settings
        self._services = services
        self._cancelled = cancelled
        self._source = source
        call_id = secrets.token_hex(8)
        self._ticket = jobspec.Ticket(call_id, secrets.token_bytes(32), call.folder(call_id))
        self._job_name = ""
        self._names_used = 0
        self._is_staged = False
        self._is_over = True
        self._was_clean = False

    async def run(self, pickles: Pickles, on_staged: Callable[[], None] = lambda: None) -> Verdict:
        """Bring the call to its end.

        `pickles` is emptied, and `on_staged` called, as soon as the bucket has them.

        Raises:
            CancelledCall: `cancelled` was set; the job is cancelled.
            CloudError: Google refused something, or could not be reached.
            asyncio.CancelledError: the server stops; the job is cancelled first.
        """
        try:
            self._check_cancelled()
            await self._stage(pickles)
            on_staged()
            settings: Settings | None = self._settings
            while settings is not None:
                self._check_cancelled()
                await self._submit(settings)
                ended = await self._collect(await self._watch(), settings)
                settings = settings_for_another_run(ended, settings)
                if settings is not None:
                    logger.warning(
                        "%s lost its Spot machines as often as allowed; once more on a standard one", self._call
                    )
            return ended
        finally:
            await self._leave_nothing()

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise CancelledCall

    async def _stage(self, pickles: Pickles) -> None:
        store, folder = self._services.objects, self._ticket.folder
        await self._stage_runner()
        size = sum(len(cast(bytes, part)) for part in pickles.values())
        self._is_staged = True
        if size <= IN_MEMORY_BYTES:
            await in_pool(lambda: store.put(wire.call_name(folder), self._sealed(pickles)))
            pickles.clear()
            return
        path = await in_pool(_new_file, self._settings.cache_dir)
        try:
            prefix = await in_pool(self._seal, pickles)
            async with aiofiles.open(path, "wb", executor=POOL) as file:
                await file.write(prefix)
                while pickles:
                    name = next(iter(pickles))
                    await file.write(cast(bytes, pickles.pop(name)))
            await in_pool(store.put, wire.call_name(folder), path)
        finally:
            await in_pool(Path(path).unlink)

    async def _stage_runner(self) -> None:
        """Put the runner's archive into the bucket, once per process; a later version has another name."""
        if self._settings.bucket_name not in _staged_runners:
            archive = await in_pool(runner_archive)
            await in_pool(self._services.objects.put, archive.object_name, archive.data)
            _staged_runners.add(self._settings.bucket_name)

    def _seal(self, pickles: Pickles) -> bytes:
        call_id = self._ticket.call_id
        return wire.seal(self._call.header(call_id), pickles, self._ticket.key, wire.binding(wire.CALL, call_id))

    def _sealed(self, pickles: Pickles) -> bytes:
        return b"".join(wire.chunks(self._seal(pickles), pickles))

    async def _submit(self, settings: Settings) -> None:
        call, parent = self._call, settings.parent
        job = jobspec.job(settings, call, self._ticket)
        for again in range(self._names_used, NAMES_TRIED):
            job_id = jobspec.job_id(call.dispatch_id, call.node_id, again)
            self._job_name = f"{parent}/jobs/{job_id}"
            self._names_used = again + 1
            # From here on a job may exist, also if no answer comes.
            self._is_over = False
            try:
                await self._services.batch.create(parent, job, job_id, str(uuid.uuid4()))
            except AlreadyExistsError:
                if not await self._is_ours():
                    self._is_over = True
                    continue
            except CloudError as error:
                known = recognise(str(error))
                remedy = f"\nThat means: {known.meaning}. To do: {known.remedy}." if known else ""
                raise type(error)(f"{call} could not be submitted: {error}{remedy}") from error
            logger.debug("submitted %s as %s", call, self._job_name)
            return
        raise CloudError(
            f"{call} could not be submitted: {NAMES_TRIED} jobs of earlier calls hold the names that belong to it,"
            f" the last one {self._job_name}; delete them"
        )

    async def _is_ours(self) -> bool:
        """Whether the job that holds the name is this very call's: an answer to an earlier try was lost then."""
        job = await self._services.batch.get(self._job_name)
        return job is not None and job.labels.get(jobspec.LABEL_CALL) == self._ticket.call_id

    async def _watch(self) -> watch.Watched:
        settings = self._settings
        attempt_seconds = settings.time_limit + jobspec.GRACE_SECONDS + watch.SLACK_PER_ATTEMPT_SECONDS
        limits = watch.Limits(settings.queue_limit, attempt_seconds * (settings.retries + 1))
        watched = await watch.until_ended(
            self._services.batch, self._job_name, settings.poll_freq, limits, self._sleep, time.monotonic
        )
        self._is_over = watched.reason == watch.GONE or (watched.job is not None and watched.job.is_terminal)
        return watched

    async def _sleep(self, seconds: float) -> None:
        """Wait, or raise CancelledCall as soon as the user cancels."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._cancelled.wait(), seconds)
        self._check_cancelled()

    async def _collect(self, watched: watch.Watched, settings: Settings) -> Verdict:
        job = watched.job
        collection = Collection(self._services, self._settings, self._ticket, self._job_name)
        outcome = await collection.outcome(job)
        if isinstance(outcome, Outcome):
            self._was_clean = outcome.attempt == 0
            if outcome.raised is not None:
                outcome = replace(outcome, raised=await self._with_source(outcome.raised))
            found = Findings(job, outcome=outcome)
        else:
            found = await collection.without_outcome(Findings(job, outcome=outcome, reason=watched.reason))
        return verdict(self._call, settings, self._job_name, found)

    async def _with_source(self, raised: Raised) -> Raised:
        lookup = electron_lookup(raised, self._call.name, await self._source())
        return replace(raised, traceback=await in_pool(with_source_lines, raised.traceback, lookup))

    async def _leave_nothing(self) -> None:
        """Cancel what may still run and delete what was staged; what fails here is told, and raises nothing."""
        if not self._is_over:
            try:
                await self._end_job()
            except CloudError as error:
                logger.warning("the job %s may still run: %s", self._job_name, error)
        if self._is_staged and not (self._settings.keep_objects and self._job_name):
            try:
                await in_pool(self._delete_objects)
            except CloudError as error:
                logger.warning("objects may be left under %s: %s", self._ticket.folder, error)

    async def _end_job(self) -> None:
        """Cancel the job and wait for its end, so that no task writes after its objects are deleted."""
        is_ours = await self._services.batch.cancel(self._job_name, patience_seconds=CANCEL_SECONDS)
        until = time.monotonic() + (CANCEL_SECONDS if is_ours else OTHERS_CANCEL_SECONDS)
        pause = 0.2
        while time.monotonic() < until:
            job = await self._services.batch.get(self._job_name, patience_seconds=5.0)
            if job is None or job.is_terminal:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    def _delete_objects(self) -> None:
        store, folder = self._services.objects, self._ticket.folder
        names = (wire.call_name(folder), wire.outcome_name(folder)) if self._was_clean else store.names(f"{folder}/")
        for name in names:
            store.delete(name)


def _new_file(folder: str) -> str:
    Path(folder).mkdir(parents=True, exist_ok=True)
    descriptor, path = tempfile.mkstemp(prefix="call-", dir=folder)
    os.close(descriptor)
    return path
