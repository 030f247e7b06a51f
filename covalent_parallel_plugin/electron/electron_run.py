"""One call's way on the dispatcher: stage, submit, watch, collect; and whatever happens, leave nothing behind."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from google.cloud import batch_v1

from ..batch.cancellation import Cancellation, CancelledCall
from ..batch.deferred_deletion import DeferredDeletion
from ..batch.job_run import JobRun
from ..batch.job_watch import WatchResult
from ..batch.trace_recorder import TraceRecorder
from ..cloud import Services
from ..cloud.threads import run_in_thread
from ..errors import CacheDirError, CloudError, OutcomeError
from ..protocol.envelope import EXCEPTION, KILLED, LATE
from ..protocol.identity import CallIdentity
from ..settings import Settings
from .attempt_trace import AttemptTrace
from .cache.cached_job import CachedJob
from .call import Call, Pickles
from .collect import Collector
from .earlier_calls import NO_EARLIER_CALLS, EarlierCalls
from .electron_job import electron_job, owner_of
from .outcome import Outcome
from .stored_checkpoints import StoredCheckpoints
from .traceback_source import SourceText, with_source_lines
from .verdict import ElectronEvidence, Failure, Value, Verdict, spot_fallback_settings, verdict, with_location

logger = logging.getLogger(__name__)


class ElectronRun:
    """One call on its way.

    Args:
        call: the electron; its pickles go to `run`.
        identity: this submission's.
        settings, services: how and through whom.
        cancelled: set when the user asks for its end.
        source: finds the electron's source where it raised or was killed, for the lines of its traceback.
        trace: notes how it ends.
        earlier: what earlier dispatches have of it; `call` and `identity` are those of the one to go on with, if any.
        deletion: deletes later what is there once it returned; None where that is to be gone at once.
        checkpoint: the call that its checkpoints belong to, if that is an earlier one.
        cached: joins jobs of equal calls, and keeps the value in the cache; None without that.
    """

    def __init__(
        self,
        call: Call,
        identity: CallIdentity,
        settings: Settings,
        services: Services,
        cancelled: Cancellation,
        source: Callable[[], Awaitable[SourceText]],
        trace: TraceRecorder | None = None,
        earlier: EarlierCalls = NO_EARLIER_CALLS,
        deletion: DeferredDeletion | None = None,
        checkpoint: CallIdentity | None = None,
        cached: CachedJob | None = None,
    ):
        self._call = call
        self._checkpoint = checkpoint or identity
        self._checkpoints = StoredCheckpoints(services.objects, self._checkpoint, call.dispatch_id)
        self._settings = settings
        self._source = source
        self._taken = earlier.job
        self._jobs = JobRun(owner_of(call, identity), settings, services, cancelled, trace, deletion)
        self._jobs.predecessors = [left.objects(services, cancelled) for left in earlier.left]
        if settings.checkpoint:
            self._jobs.objects.checkpoint_folder = self._checkpoint.folder
        self._attempts = AttemptTrace(self._jobs)
        self._cached = cached

    async def run(self, pickles: Pickles, on_staged: Callable[[], None] = lambda: None) -> Verdict:
        """Bring the call to its end.

        `pickles` is emptied, and `on_staged` called, as soon as the bucket has them.

        Raises:
            CancelledCall: `cancelled` was set; the job is cancelled.
            CloudError: Google refused something, or could not be reached.
            asyncio.CancelledError: the server stops; the job is cancelled first.
        """
        identity, settings = self._jobs.owner.identity, self._settings
        async with self._jobs as jobs:
            jobs.check_cancelled()
            # Made before anything is uploaded: a job that Batch would refuse leaves nothing to clean up.
            definitions = [electron_job(settings, self._call, identity, checkpoint=self._checkpoint)]
            if self._taken is not None:
                await jobs.take_up(self._taken, definitions.pop())
            else:
                modules = self._call.shared_modules(time.time())
                name = modules.name if modules is not None else ""
                await jobs.stage(lambda: self._call.sealed(identity, pickles, settings.requirements, name), modules)
            pickles.clear()
            on_staged()
            try:
                result = await self._run_jobs(definitions)
                jobs.has_value = isinstance(result, Value)
                return result
            except CancelledCall:
                await jobs.end_cancelled()
                if not jobs.job_name:
                    raise
                collector = Collector(jobs.services, settings, identity, jobs.job_name)
                streams = await collector.last_output()
                await self._attempts.note_cancelled(collector.measured)
                raise CancelledCall("", *streams) from None
            except asyncio.CancelledError:
                self._attempts.note_stopped()
                raise

    async def _run_jobs(self, definitions: list[batch_v1.Job]) -> Verdict:
        """Run the job, and if that was asked for once more on other machines.

        `definitions` holds the one to run until it is submitted, and nothing afterwards: of thousands in flight they
        would take more memory than all else. It is empty where the job was taken up.
        """
        jobs, settings = self._jobs, self._settings
        while True:
            if definitions:
                await jobs.create(settings, definitions.pop())
                if self._cached is not None:
                    await self._cached.begin(jobs)
            async with self._pruned():
                watched = await jobs.watch()
            hashes = self._cached is not None
            collector = Collector(jobs.services, self._settings, jobs.owner.identity, jobs.job_name, hashes=hashes)
            try:
                with jobs.context("has an outcome that could not be fetched or stored here"):
                    found = await self._collect(watched, settings, collector)
            except (CloudError, CacheDirError, OutcomeError) as error:
                await self._attempts.note_ended(watched, ElectronEvidence(watched.job), collector.measured)
                where = await jobs.objects.location("What it delivered stays")
                raise type(error)(f"{error}\n{where}") from error
            await self._attempts.note_ended(watched, found, collector.measured)
            if found.outcome is None and watched.error is not None:
                raise watched.error
            result = verdict(self._call, settings, jobs.job_name, found)
            if self._cached is not None:
                result = await self._cached.end(jobs, result)
            if isinstance(result, Failure) and isinstance(found.outcome, OutcomeError):
                result = with_location(result, await jobs.objects.location("What it delivered stays"))
            if not await jobs.restage_lost(found.exit_code):
                another = spot_fallback_settings(result, settings)
                if another is None:
                    return await self._with_checkpoint(result)
                settings = another
                logger.warning("%s lost its Spot machines as often as allowed; once more on a standard one", self._call)
            definitions.append(electron_job(settings, self._call, jobs.owner.identity, checkpoint=self._checkpoint))

    def _pruned(self) -> AbstractAsyncContextManager[None]:
        """Have all checkpoints but the newest deleted, for as long as the context lasts."""
        if not self._settings.checkpoint:
            return nullcontext()
        return self._checkpoints.pruned(self._settings.poll_freq)

    async def _with_checkpoint(self, result: Verdict) -> Verdict:
        """The end, with where its checkpoint stays if it did not return."""
        if not self._settings.checkpoint:
            return result
        if isinstance(result, Value):
            self._jobs.objects.may_delete_checkpoints = True
            return result
        where = await self._jobs.objects.unless_cancelled(self._checkpoints.location())
        return with_location(result, where) if where else result

    async def _collect(self, watched: WatchResult, settings: Settings, collector: Collector) -> ElectronEvidence:
        """What the job left: its outcome, whatever Batch says, or what else there is to report."""
        jobs = self._jobs
        outcome = await collector.outcome(jobs.objects, watched.job)
        # One that is refused may have been changed on its way only.
        jobs.objects.may_delete_results = isinstance(outcome, Outcome)
        if not isinstance(outcome, Outcome):
            found = ElectronEvidence(watched.job, outcome=outcome, reason=watched.reason, detail=watched.detail)
            if watched.error is not None:
                return found
            return await jobs.objects.unless_cancelled(collector.explain_missing(found))
        # Any attempt before, of a job before as well, may have left its output so far.
        is_first = outcome.attempt == 0 and settings is self._settings and self._taken is None
        is_single = is_first and not settings.checkpoint
        jobs.objects.is_single_attempt = is_single and not outcome.live
        jobs.objects.is_written_late = outcome.live == LATE
        outcome = await jobs.objects.unless_cancelled(collector.with_earlier_output(outcome))
        if outcome.kind in (EXCEPTION, KILLED):
            outcome = await run_in_thread(with_source_lines, outcome, await self._source())
        return ElectronEvidence(watched.job, outcome=outcome)
