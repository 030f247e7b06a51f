"""One call's way on the dispatcher: stage, submit, watch, collect; and whatever happens, leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from google.cloud import batch_v1

from ..batch import job_definition, job_watch
from ..batch.cancellation import Cancellation, CancelledCall
from ..batch.failure_message import job_address
from ..batch.runner_archive import runner_archive
from ..batch.stage_runner import stage_runner
from ..batch.status_poller import Poller
from ..batch.submission import Submission
from ..cloud import Services
from ..cloud.batch import JobStatus
from ..cloud.pool import in_pool
from ..errors import CacheDirError, CloudError
from ..protocol.envelope import envelope_chunks, seal_envelope
from ..protocol.exit_codes import EXIT_NO_CALL
from ..protocol.identity import CallIdentity
from ..settings import Settings
from .call import Call, Pickles
from .collect import Collection
from .outcome import Outcome, Raised
from .traceback_source import electron_lookup, with_source_lines
from .verdict import Findings, Verdict, settings_for_another_run, verdict

logger = logging.getLogger(__name__)

# After its job was ended, a task's last write may still be on its way
LATE_WRITE_SECONDS = 1.0


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
        cancelled: Cancellation,
        source: Callable[[], Awaitable[str]],
    ):
        self._call = call
        self._settings = settings
        self._services = services
        self._cancelled = cancelled
        self._source = source
        # Drawn at once: each draw gives the interpreter to the threads, and the loop waits until it has it back.
        drawn = secrets.token_bytes(8 + 32)
        call_id = drawn[:8].hex()
        self._identity = CallIdentity(call_id, drawn[8:], call.folder(call_id))
        self._submission = Submission(services.batch, call, self._identity, cancelled)
        self._is_staged = False
        self._was_clean = False
        # The last task's exit code, where no outcome came of it
        self._exit_code: int | None = None
        self._was_restaged = False

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
            # Made before anything is uploaded: a job that Batch would refuse leaves nothing to clean up.
            jobs = [self._first_job()]
            with self._named("could not be staged"):
                await self._stage(pickles)
            on_staged()
            return await self._runs(jobs)
        finally:
            try:
                await self._leave_nothing()
            except asyncio.CancelledError:
                # A server that stops first has its electrons cancelled and then, amid this clean-up, their tasks.
                await self._leave_nothing()
                raise

    def _first_job(self) -> batch_v1.Job:
        return job_definition.job(self._settings, self._call, self._identity)

    async def _runs(self, jobs: list[batch_v1.Job]) -> Verdict:
        """Run the job, and if that was asked for once more on other machines.

        `jobs` holds the one to run until it is submitted, and nothing afterwards: of thousands in flight the
        definitions would take more memory than all else.
        """
        settings = self._settings
        while True:
            self._check_cancelled()
            await self._submission.create(settings, jobs.pop())
            with self._named("was lost sight of"):
                watched = await self._watch()
            with self._named("has an outcome that could not be fetched"):
                ended = await self._collect(watched, settings)
            if await self._had_no_runner():
                logger.warning(
                    "%s found no runner in the bucket; it is there again, and the job is made anew", self._call
                )
            else:
                another = settings_for_another_run(ended, settings)
                if another is None:
                    return ended
                settings = another
                logger.warning("%s lost its Spot machines as often as allowed; once more on a standard one", self._call)
            jobs.append(job_definition.job(settings, self._call, self._identity))

    @contextlib.contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """Have what goes wrong with Google name the electron and, where there is one, its job."""
        try:
            yield
        except (CloudError, CacheDirError) as error:
            name = self._submission.job_name
            place = f"\nJob: {job_address(self._settings, name)}" if name else ""
            raise type(error)(f"{self._call} {what}: {error}{place}") from error

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise CancelledCall

    async def _stage(self, pickles: Pickles) -> None:
        store, name = self._services.objects, self._identity.object_name
        await stage_runner(store)
        self._is_staged = True
        await in_pool(lambda: store.put(name, self._sealed(pickles)))
        pickles.clear()

    def _sealed(self, pickles: Pickles) -> list[bytes]:
        identity = self._identity
        header = self._call.header(identity.call_id, self._settings.requirements)
        prefix = seal_envelope(header, pickles, identity.key, identity.binding)
        return list(envelope_chunks(prefix, pickles))

    async def _watch(self, tasks: int = 1) -> job_watch.Watched:
        settings = self._settings
        attempt_seconds = settings.time_limit + job_definition.GRACE_SECONDS + job_watch.SLACK_PER_ATTEMPT_SECONDS
        # At worst the tasks run one after the other.
        run_seconds = attempt_seconds * (settings.retries + 1) * tasks
        limits = job_watch.Limits(settings.queue_limit, run_seconds, self._services.batch.outage_seconds)
        name = self._submission.job_name

        poller = Poller.shared(self._services.batch, settings.parent)

        async def look(pause_seconds: float) -> JobStatus | None:
            return await self._cancelled.unless(poller.look(name, pause_seconds))

        try:
            watched = await job_watch.until_ended(look, name, settings.poll_freq, limits, time.monotonic)
        finally:
            poller.forget(name)
        self._submission.saw(watched)
        return watched

    async def _collect(self, watched: job_watch.Watched, settings: Settings) -> Verdict:
        job = watched.job
        collection = Collection(self._services, self._settings, self._identity, self._submission.job_name)
        outcome = await collection.outcome(job)
        if isinstance(outcome, Outcome):
            # Any attempt before, of a job before as well, may have left its output so far.
            self._was_clean = outcome.attempt == 0 and settings is self._settings
            if outcome.raised is not None:
                outcome = replace(outcome, raised=await self._with_source(outcome.raised))
            found = Findings(job, outcome=outcome)
        else:
            found = await collection.without_outcome(Findings(job, outcome=outcome, reason=watched.reason))
            self._exit_code = found.task.exit_code if found.task is not None else None
        return verdict(self._call, settings, self._submission.job_name, found)

    async def _had_no_runner(self) -> bool:
        """Whether the task found the runner deleted; then it is in the bucket again. True at most once.

        A stand-in that was started anew on the same ports has none, and this process believes that it has.
        """
        if self._exit_code != EXIT_NO_CALL or self._was_restaged:
            return False
        store = self._services.objects
        names = await in_pool(store.names, runner_archive().object_name)
        if names or not await in_pool(store.names, self._identity.object_name):
            return False
        self._was_restaged = True
        await stage_runner(store)
        return True

    async def _with_source(self, raised: Raised) -> Raised:
        lookup = electron_lookup(raised, self._call.name, await self._source())
        return replace(raised, traceback=await in_pool(with_source_lines, raised.traceback, lookup))

    async def _leave_nothing(self) -> None:
        """Cancel what may still run and delete what was staged; what fails here is told, and raises nothing.

        The call goes first, beside the request to cancel: a server that stops may not wait for the rest, and a task
        that finds no call any more leaves no output behind.
        """
        was_ended = False
        try:
            was_ended = await self._submission.end(self._delete_call)
        except CloudError as error:
            logger.warning("the job %s may still run: %s", self._submission.job_name, error)
        if not self._is_staged or self._is_kept:
            return
        await self._delete_objects()
        if was_ended:
            # What was writing when its job was ended may have come too late for the first time.
            await asyncio.sleep(LATE_WRITE_SECONDS)
            await self._delete_objects()

    @property
    def _is_kept(self) -> bool:
        return self._settings.keep_objects and self._submission.was_made

    async def _delete_call(self) -> None:
        if self._is_staged and not self._is_kept:
            try:
                await in_pool(self._services.objects.delete, self._identity.object_name)
            except CloudError as error:
                logger.debug("the call of %s is not deleted yet: %s", self._call, error)

    async def _delete_objects(self) -> None:
        try:
            await in_pool(self._delete_now)
        except CloudError as error:
            logger.warning("objects may be left under %s: %s", self._identity.folder, error)

    def _delete_now(self) -> None:
        store, identity = self._services.objects, self._identity
        own = (identity.object_name, identity.task().outcome_name)
        names = own if self._was_clean else store.names(f"{identity.folder}/")
        for name in names:
            store.delete(name)
