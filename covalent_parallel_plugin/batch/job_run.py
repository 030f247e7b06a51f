"""The jobs of one owner, one after the other: staged, made, watched, ended, and cleaned up after, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

from google.cloud import batch_v1

from ..cloud import Services
from ..cloud.batch import JobStatus
from ..cloud.storage import CorruptObjectError
from ..cloud.threads import run_in_thread, run_stoppable
from ..errors import BudgetError, CacheDirError, CloudError, OutcomeError, ParallelError
from ..protocol.exit_codes import EXIT_BAD_RUNNER, EXIT_NO_MODULES, EXIT_NO_RUNNER
from ..settings import Settings
from . import job_definition, job_watch, trace_ends
from .call_objects import CallObjects
from .cancellation import Cancellation, CancelledCall
from .deferred_deletion import DeferredDeletion
from .dispatch_use import DispatchUse
from .failure_message import job_address
from .job_names import LABEL_SERVER, JobOwner
from .job_verdict import RAISE_BUDGET
from .job_watch import KnownJob, WatchEnded, WatchResult
from .runner_archive import runner_object, stage_runner
from .shared_object import SharedObject, restage_shared, stage_shared
from .status_poller import StatusPoller
from .submission import Submission, TakenJob
from .trace_recorder import TraceRecorder

logger = logging.getLogger(__name__)

# After its job was ended, a task's last write may still be on its way
LATE_WRITE_SECONDS = 1.0
# Whoever asked for the end waits no longer than that for a bucket that is out of reach; what was begun goes on
CANCELLED_DELETE_SECONDS = 3.0


class JobRun:
    """The jobs of one owner; as an async context manager it leaves no job that runs, and no object but results.

    Args:
        owner: whose jobs they are.
        settings, services: how and through whom.
        cancelled: set when the user asks for the end.
        trace: notes how they end.
        deletion: deletes later what is there of a call that returned; None where that is to be gone at once.

    Attributes:
        objects: what the owner has in the bucket.
        is_others: set it while another call's run has the job and the objects: neither is ended or deleted then.
        seen: the last status of the latest job; None where none was seen.
        has_value: set it once the call has returned: whoever gets its value is to have time to store it.
        predecessors: what calls of earlier dispatches, from which this one goes on, have in the bucket; it is deleted
            with the owner's own.
    """

    def __init__(
        self,
        owner: JobOwner,
        settings: Settings,
        services: Services,
        cancelled: Cancellation,
        trace: TraceRecorder | None = None,
        deletion: DeferredDeletion | None = None,
    ):
        self.owner = owner
        self.services = services
        self.objects = CallObjects(owner, services, cancelled)
        self.trace = TraceRecorder() if trace is None else trace
        self.is_others = False
        self.seen: JobStatus | None = None
        self.has_value = False
        self.predecessors: Sequence[CallObjects] = ()
        self._deletion = deletion
        self._settings = settings
        self._cancelled = cancelled
        self._submission = Submission(services.batch, owner, cancelled)
        self._use = DispatchUse.shared(*(owner.lineage or (owner.group,)))
        # The latest job, where an earlier process made it
        self._taken: TakenJob | None = None
        self._is_staged = False
        self._shared: SharedObject | None = None
        self._restaged: set[str] = set()
        self._was_ended = False
        self._delete_seconds: float | None = None

    async def __aenter__(self) -> JobRun:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.has_value = False
        is_cancelled = kind is not None and issubclass(kind, CancelledCall)
        is_users = is_cancelled and not self._cancelled.keeps_results
        if is_cancelled or (kind is not None and issubclass(kind, asyncio.CancelledError)):
            self._hurry(is_users)
        try:
            await self._clean_up()
        except asyncio.CancelledError:
            # A server that stops first has its electrons cancelled and then, amid this clean-up, their tasks. A value
            # that has not been returned yet is lost then, but for what is still in the bucket.
            self._hurry(is_users)
            await self._clean_up()
            raise

    def _hurry(self, is_users: bool) -> None:
        """Have the clean-up wait little, and delete results only where it is the user who asked for the end."""
        self._delete_seconds = CANCELLED_DELETE_SECONDS
        self.objects.may_delete_checkpoints = is_users
        self.release_results(is_users)

    def release_results(self, may_delete: bool) -> None:
        """Set whether what tasks delivered may be deleted, of calls before this one as well."""
        for objects in (self.objects, *self.predecessors):
            objects.may_delete_results = may_delete

    @property
    def job_name(self) -> str:
        """The latest job's name, "" before there is one."""
        return self._submission.job_name

    @property
    def found_job(self) -> JobStatus | None:
        """The latest job, as it was where it was there before it was asked for; None if it was made."""
        return self._submission.found

    def record_ended(self, job: JobStatus) -> None:
        """Take note that the latest job has ended, as it was found: it is not watched."""
        self._submission.record_watch(WatchResult(job))

    @property
    def cancelled_end(self) -> str:
        """How attempts end for a trace where their end was asked for: by the user, or as the server stops."""
        return trace_ends.STOPPED if self._cancelled.keeps_results else trace_ends.CANCELLED

    async def end_cancelled(self) -> None:
        """End the job of a call that was cancelled; what its tasks had printed by their end is in the bucket then."""
        self._hurry(not self._cancelled.keeps_results)
        await self._end_job(self._delete_call)
        self.objects.outlive_cancellation()

    def check_cancelled(self) -> None:
        """Raise CancelledCall if the user asked for the end."""
        if self._cancelled.is_set():
            raise CancelledCall

    @contextlib.contextmanager
    def context(self, what: str) -> Iterator[None]:
        """Have what goes wrong with Google, or with this machine's disk and memory, name the owner and its job."""
        try:
            yield
        except (CloudError, OSError, MemoryError) as error:
            raise self._named(error, what) from error

    def _named(self, error: Exception, what: str) -> ParallelError:
        kind: type[ParallelError] = CacheDirError if isinstance(error, (OSError, MemoryError)) else ParallelError
        if isinstance(error, ParallelError):
            kind = OutcomeError if isinstance(error, CorruptObjectError) else type(error)
        address = f"\nJob: {job_address(self._settings, self.job_name)}" if self.job_name else ""
        return kind(f"{self.owner.title} {what}: {str(error) or type(error).__name__}{address}")

    async def stage(self, data: Callable[[], list[bytes]], shared: SharedObject | None = None) -> None:
        """Have the runner and the call, which are the bytes of `data`, in the bucket, and what it shares with others.

        Raises:
            BudgetError: `max_machine_hours` are used up.
            CloudError: the bucket could not be written to.
        """
        await self._use.read_trace(self._settings.max_machine_hours is not None)
        self._check_budget()
        store, name = self.services.objects, self.owner.identity.object_name
        with self.context("could not be staged"):
            await stage_runner(store)
            if shared is not None:
                await stage_shared(store, shared)
                self._shared = shared
            self._is_staged = True
            await run_in_thread(lambda: store.put(name, data()))
        self.trace.note_staged()

    async def take_up(self, taken: TakenJob, job: batch_v1.Job, items: int | None = None) -> None:
        """Go on with a job of this owner's that an earlier process made, and that looks like `job`.

        What was staged for it is deleted in the end, as after one that was made here.
        """
        await self._use.read_trace(self._settings.max_machine_hours is not None)
        self._is_staged = True
        self._taken, self.seen = taken, taken.status
        self._submission.take_over(taken.name, taken.number, may_run=not taken.has_ended)
        if taken.has_ended and taken.status is not None:
            tasks_per_node = job_definition.tasks_per_node(self._settings)
            self._use.seen(taken.name, taken.status, tasks_per_node, time.time())
            self._use.end(taken.name, time.time())
        created = taken.status.created_seconds if taken.status is not None else None
        has_requirements = bool(self._settings.requirements)
        self.trace.note_taken_up(taken.name, job, items, taken.number - 1, created, has_requirements)

    async def create(self, settings: Settings, job: batch_v1.Job, items: int | None = None) -> None:
        """Submit the next job, which runs so many items of a map.

        Raises:
            BudgetError: `max_machine_hours` are used up.
            CloudError: Batch refused it, or could not be reached.
            CancelledCall: the user asked for the end.
        """
        self.check_cancelled()
        self._check_budget()
        self.seen = self._taken = None
        await self._submission.create(settings, job)
        self.trace.note_submitted(self.job_name, job, items, bool(settings.requirements))

    async def watch(self, tasks: int = 1, round: int = 0) -> WatchResult:
        """Wait for the end of the job, which has so many tasks, or for what makes waiting pointless.

        A job that may still run then is ended first: so all that its tasks deliver when they are stopped is there.

        Args:
            round: which of the owner's jobs it is, from 0 on.

        Raises:
            CancelledCall: the user asked for the end.
        """
        if self._taken is not None and self._taken.has_ended:
            return WatchResult(self.seen, job_watch.DELIVERED if self.seen is None else "")
        settings, name, batch = self._settings, self.job_name, self.services.batch
        attempt_seconds = job_definition.run_seconds(settings) + job_watch.SLACK_PER_ATTEMPT_SECONDS
        # At worst the tasks run one after the other.
        run_seconds = attempt_seconds * (settings.retries + 1) * tasks
        limits = job_watch.WatchLimits(settings.queue_limit, run_seconds, batch.outage_seconds, batch.refusal_seconds)
        known = None if self.seen is None else KnownJob.at(time.time(), self.seen)
        poller = StatusPoller.shared(batch, settings.parent)
        if known is not None:
            # Another server made it.
            poller = StatusPoller.shared(batch, settings.parent, known.status.labels.get(LABEL_SERVER, ""))
            poller.begin(name, known.waited_seconds)

        async def look(pause_seconds: float) -> JobStatus | None:
            status = await self._cancelled.unless(poller.look(name, pause_seconds))
            if status is not None:
                self.seen = status
                self.trace.note_look(status)
                self._record_use(status)
            return status

        async def is_delivered() -> bool:
            return await self.objects.is_delivered(tasks, round)

        try:
            result = await job_watch.wait_for_end(
                look, name, settings.poll_freq, limits, time.monotonic, is_delivered, known
            )
        except CancelledCall:
            raise
        except Exception as error:
            # A defect of this process says nothing about the job.
            logger.exception("the job %s is watched no longer", name)
            result = WatchResult(None, job_watch.LOST, error)
        finally:
            poller.forget(name)
            self._use.end(name, time.time())
        if result.error is not None:
            result = replace(result, error=self._named(result.error, "was lost sight of"))
        self._submission.record_watch(result)
        if not result.has_ended:
            await self._end_job(_nothing)
            if self._was_ended:
                await asyncio.sleep(LATE_WRITE_SECONDS)
        return result

    def _record_use(self, job: JobStatus) -> None:
        """Take note of a look at the job. Raises WatchEnded where it is to be stopped for what was used."""
        settings = self._settings
        if self.is_others:
            return
        self._use.seen(self.job_name, job, job_definition.tasks_per_node(settings), time.time())
        above = self._use.above(settings.max_machine_hours, settings.poll_freq)
        if above and not job.is_terminal:
            raise WatchEnded(WatchResult(job, job_watch.OVER_BUDGET, detail=above))

    def _check_budget(self) -> None:
        above = self._use.above(self._settings.max_machine_hours, self._settings.poll_freq)
        if above:
            raise BudgetError(f"{self.owner.title} was not submitted: {above}. {RAISE_BUDGET}")

    async def restage_lost(self, exit_code: int | None) -> bool:
        """Put the runner, or the own modules, into the bucket again if a task with this exit code missed them there.

        That happens once at most for each. An emulator that was restarted on the same ports has no runner, and this
        process believes that it has.

        Returns:
            Whether the job is to be made again.
        """
        if exit_code in (EXIT_NO_RUNNER, EXIT_BAD_RUNNER):
            what, lost = "runner", runner_object()
        elif exit_code == EXIT_NO_MODULES and self._shared is not None:
            what, lost = "archive of own modules", self._shared
        else:
            return False
        if what in self._restaged:
            return False
        self._restaged.add(what)
        try:
            await restage_shared(self.services.objects, lost)
        except CloudError as error:
            logger.warning("the %s of %s could not be put into the bucket again: %s", what, self.owner.title, error)
            return False
        logger.warning(
            "%s found no %s in the bucket, or a changed one; it is there again, and the job is made anew",
            self.owner.title,
            what,
        )
        return True

    async def _clean_up(self) -> None:
        """Cancel what may still run and delete what was staged; what fails here is logged, and raises nothing.

        The call goes first, beside the request to cancel: a server that stops may not wait for the rest, and a task
        that finds no call any more leaves no output behind.
        """
        waits = self.has_value and self._deletion is not None
        await self._end_job(_nothing if waits else self._delete_call)
        if not (self._is_staged or self.predecessors) or self._is_kept or self.is_others:
            return
        if waits and self._deletion is not None and self._deletion.add(self._delete_all):
            return
        await self._delete_objects()
        if self._was_ended or self.objects.is_written_late:
            # What was being written then may have come too late for the first time.
            await asyncio.sleep(LATE_WRITE_SECONDS)
            await self._delete_objects()

    async def _end_job(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        if self.is_others:
            return
        try:
            self._was_ended = await self._submission.end(meanwhile) or self._was_ended
        except CloudError as error:
            # Nor is it known that it was not ended.
            self._was_ended = True
            logger.warning("the job %s may still run: %s", self.job_name, error)

    @property
    def _is_kept(self) -> bool:
        return self._settings.keep_objects and self._submission.is_created

    async def _delete_call(self) -> None:
        if self._is_staged and not self._is_kept:
            await self._delete(self.objects.delete_call)

    async def _delete_objects(self) -> None:
        await self._delete(self._delete_all)

    def _delete_all(self) -> None:
        for objects in (self.objects, *self.predecessors):
            objects.delete()

    async def _delete(self, function: Callable[[], None]) -> None:
        deletion = asyncio.ensure_future(run_stoppable(function))
        try:
            if self._delete_seconds is None:
                await self._cancelled.unless(asyncio.shield(deletion))
            else:
                await asyncio.wait({deletion}, timeout=self._delete_seconds)
        except CancelledCall:
            await asyncio.wait({deletion}, timeout=CANCELLED_DELETE_SECONDS)


async def _nothing() -> None:
    """Do nothing beside the request to cancel."""
