"""A map's way on the dispatcher: one job of many tasks, and another one for the items that were lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import aiofiles.os
from google.cloud import batch_v1

from ...batch import trace_ends
from ...batch.attempt_records import Measured
from ...batch.cancellation import Cancellation, CancelledCall
from ...batch.deferred_deletion import DeferredDeletion
from ...batch.job_run import JobRun
from ...batch.job_verdict import join_text
from ...batch.job_watch import WatchResult
from ...batch.submission import TakenJob
from ...batch.trace_recorder import TraceRecorder
from ...cloud import Services
from ...cloud.threads import run_in_thread
from ...errors import JobError, MachineLostError, MapError, NoOutcomeError, OutcomeError, TaskKilledError
from ...protocol.envelope import LATE
from ...protocol.identity import CallIdentity
from ...protocol.object_names import ObjectName, parse_name, round_folder
from ...settings import Settings
from ...settings.validators import MAX_PARALLEL
from ..attempt_trace import may_be_asked, open_end
from ..cache_folder import remake_folder, require_folder
from ..call import Call, Map, Pickles
from ..collect import LAST_OUTPUT_SECONDS, Collector
from ..earlier_calls import NO_EARLIER_CALLS, EarlierCalls
from ..electron_job import map_job, owner_of, tasks_for
from ..traceback_source import SourceText
from ..verdict import ElectronEvidence, Failure, Value, Verdict, spot_fallback_settings, with_location
from .item_table import ValueStore
from .output import OUTSIDE_TASKS
from .progress import MapProgress, named_items
from .report import TaskReport, report_with_source_lines
from .result import MapResult
from .round_trace import RoundTrace
from .stored_map import StoredMap, read_delivered

logger = logging.getLogger(__name__)

LIMIT = " The limit is each task's, for all of its items: more tasks (max_parallel) have fewer items each."
EARLY = " It was killed before its first item: while hooks ran, or the function and the items were loaded."


class MapRun:
    """One map on its way; see ElectronRun for the arguments.

    What `runs` of it before returned is not run again. `offers_values` says that an error of it has the values of the
    items that returned, and with them their file, for whoever gets it.
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
        runs: Sequence[StoredMap] = (),
        offers_values: bool = False,
        earlier: EarlierCalls = NO_EARLIER_CALLS,
        deletion: DeferredDeletion | None = None,
    ):
        self._call = call
        self._runs = runs
        self._taken = earlier.job
        self._offers_values = offers_values
        self._settings = settings
        self._source = source
        self._map = call.map or Map()
        self._identity = identity
        self._jobs = JobRun(owner_of(call, identity), settings, services, cancelled, trace, deletion)
        self._jobs.predecessors = [left.objects(services, cancelled) for left in earlier.left]
        self._jobs.objects.keeps_call = True
        self._trace = RoundTrace(self._jobs)
        self._progress = MapProgress(total=self._map.items)
        # The exit code of the last job's task that was lost
        self._exit_code: int | None = None
        self._last_tasks = 0
        # What attempts of that job measured that left their output so far
        self._partials: dict[tuple[int, int], Measured] = {}
        # How many jobs may follow the first one
        self._left = settings.retries
        self._store = ValueStore(settings.cache_dir)
        self._result = MapResult(call, self._progress, self._store)

    @property
    def is_whole(self) -> bool:
        """Whether all items have returned."""
        return self._progress.returned == self._progress.total

    async def run(self, pickles: Pickles, on_staged: Callable[[], None] = lambda: None) -> Verdict:
        """Bring the map to its end; its value is a list in the items' order.

        `pickles` is emptied, and `on_staged` called, as soon as the bucket has them. What goes wrong is an ending like
        others: it shows what is known of the items.

        Raises:
            CancelledCall: `cancelled` was set; the job is cancelled.
            asyncio.CancelledError: the server stops; the job is cancelled first.
        """
        has_taken = False
        try:
            async with self._jobs as jobs:
                try:
                    result = await self._staged(jobs, pickles, on_staged)
                except CancelledCall:
                    raise await self._cancelled_call(jobs) from None
                except asyncio.CancelledError:
                    self._trace.note_stopped(self._last_tasks)
                    raise
                except Exception as error:
                    await self._trace.note_ended(self._last_tasks, jobs.seen, trace_ends.FAILED, asks=False)
                    result = await run_in_thread(self._result.stopped, error)
                result = await self._with_location(result)
                jobs.has_value = isinstance(result, Value)
                if isinstance(result, Failure) and isinstance(result.error, MapError | JobError):
                    has_taken = self._offers_values
                    result.error.returned = self._progress.returned
                    if has_taken:
                        result.error.values = self._result.values()
                return result
        finally:
            if not has_taken:
                # A file system takes its time to let go of gigabytes.
                await aiofiles.os.wrap(self._store.close)()

    async def _with_location(self, result: Verdict) -> Verdict:
        """The end, with where its values stay if not all items returned."""
        objects, progress = self._jobs.objects, self._progress
        is_value = isinstance(result, Value) and self.is_whole
        self._jobs.release_results(is_value or not (progress.returned or progress.is_unread))
        if objects.may_delete_results:
            return result
        what = "What its items returned stays" if progress.is_unread else f"{progress.returned} values stay"
        call = self._call
        where = await objects.location(what)
        if not self._offers_values:
            # Under Covalent, whose server knows the dispatch
            where += f' `{call.name}.rerun("{call.dispatch_id}")`, in a lattice, runs the other items again.'
        if isinstance(result, Failure):
            return with_location(result, where)
        outcome = result.outcome
        return Value(replace(outcome, stderr=join_text(outcome.stderr, f"{where}\n")))

    async def _staged(self, jobs: JobRun, pickles: Pickles, on_staged: Callable[[], None]) -> Verdict:
        await require_folder(self._settings.cache_dir)
        for stored in self._runs:
            await jobs.objects.fetch(stored.retain, self._progress, self._store)
        if self._progress.is_complete:
            return await self._value()
        jobs.check_cancelled()
        if self._taken is not None:
            job = await self._take_up(self._taken)
            pickles.clear()
            on_staged()
            return await self._run_jobs(job)
        # Made before anything is uploaded: a job that Batch would refuse leaves nothing to clean up.
        modules = self._call.shared_modules(time.time())
        name, requirements = modules.name if modules is not None else "", self._settings.requirements
        lost = self._progress.lost() if self._runs else None
        job = map_job(self._settings, self._call, self._identity, 0, lost)
        await jobs.stage(lambda: self._call.sealed(self._identity, pickles, requirements, name), modules)
        pickles.clear()
        on_staged()
        return await self._run_jobs(job)

    async def _take_up(self, taken: TakenJob) -> batch_v1.Job:
        """Go on with a job that an earlier process made, after what those before it delivered."""
        before = taken.number - 1
        for round in range(before):
            lost = self._progress.lost()
            self._progress.tasks += tasks_for(len(lost) if lost is not None else None, self._settings.max_parallel)
            await self._fetch(MAX_PARALLEL, round)
            if self._settings.retry_exceptions:
                self._progress.forget_raised()
        self._progress.jobs, self._left = before, max(self._left - before, 0)
        lost = self._progress.lost() if self._runs or before else None
        job = map_job(self._settings, self._call, self._identity, before, lost)
        if taken.status is not None:
            group = job.task_groups[0]
            group.task_count = max(group.task_count, sum(taken.status.counts.values()))
        await self._jobs.take_up(taken, job, len(lost) if lost is not None else self._map.items)
        return job

    async def _cancelled_call(self, jobs: JobRun) -> CancelledCall:
        """End the job, and return the exception with what its items had printed by then."""
        await jobs.end_cancelled()
        progress, settings = self._progress, self._settings
        if not progress.jobs:
            return CancelledCall()
        round = progress.jobs - 1
        silent = set(range(self._last_tasks))
        try:
            _, silent = await asyncio.wait_for(self._fetch(self._last_tasks, round), LAST_OUTPUT_SECONDS)
        except Exception as error:
            logger.debug("not all output of %s is read: %s", self._call, error)
        collector = Collector(jobs.services, settings, self._identity, jobs.job_name, is_map=True)
        for task in sorted(silent)[:OUTSIDE_TASKS]:
            progress.add_interrupted(round, task, await collector.last_output(task, round))
        await self._note_lost(collector, silent, round)
        await self._trace.note_ended(self._last_tasks, jobs.seen, jobs.cancelled_end, collector.measured)
        stdout, stderr = await run_in_thread(self._result.output)
        if progress.returned and not jobs.objects.may_delete_results:
            stderr = join_text(stderr, await jobs.objects.location(f"{progress.returned} values stay") + "\n")
        return CancelledCall("", stdout, stderr)

    async def _run_jobs(self, job: batch_v1.Job) -> Verdict:
        """Run the job, and others for what was lost, until there is nothing more to do."""
        settings, jobs = self._settings, self._jobs
        while True:
            tasks = int(job.task_groups[0].task_count)
            if self._taken is None:
                lost_items = self._progress.lost()
                await jobs.create(settings, job, len(lost_items) if lost_items is not None else None)
            self._taken = None
            self._trace.begin()
            self._progress.jobs += 1
            self._progress.tasks += tasks
            self._last_tasks = tasks
            watched = await jobs.watch(tasks, self._progress.jobs - 1)
            with jobs.context("has results that could not be fetched or stored here"):
                result = await self._collect_items(watched, settings, tasks)
            await self._note_attempts(watched, tasks)
            if not isinstance(result, Failure):
                return result
            if await jobs.restage_lost(self._exit_code):
                job = map_job(settings, self._call, self._identity, self._progress.jobs, self._progress.lost())
                continue
            if isinstance(result.error, MapError) and self._may_retry_exceptions:
                self._progress.forget_raised()
            lost = self._progress.lost()
            if not self._is_worth_another_job(result, lost):
                return result
            if self._left == 0:
                # On standard machines, if that was asked for and Spot machines were lost as often as allowed.
                another = spot_fallback_settings(result, settings)
                if another is None:
                    return await self._in_place(result)
                settings = another
            self._left = max(self._left - 1, 0)
            again = "all" if lost is None else named_items(lost)
            logger.warning("%s has items that did not end (%s): they run again in a new job", self._call, again)
            job = map_job(settings, self._call, self._identity, self._progress.jobs, lost)

    async def _note_attempts(self, watched: WatchResult, tasks: int) -> None:
        end, asks = open_end(watched), may_be_asked(watched)
        await self._trace.note_ended(tasks, watched.job, end, self._partials, asks)

    @property
    def _may_retry_exceptions(self) -> bool:
        return self._settings.retry_exceptions and self._left > 0

    def _is_worth_another_job(self, ended: Failure, lost: list[int] | None) -> bool:
        """Whether items were lost through no fault of the electron's, or it is not known yet whose fault it was."""
        if lost is not None and not lost:
            return False
        if self._progress.is_hopeless:
            return False
        return isinstance(ended.error, (MachineLostError, TaskKilledError, MapError)) or (
            isinstance(ended.error, NoOutcomeError) and bool(self._progress.places)
        )

    async def _in_place(self, ended: Failure) -> Verdict:
        """The end of a map that may have no other job: with errors in their places, if items killed their process."""
        is_told = len(self._progress.still_killed) == len(self._progress.missing)
        if self._map.return_exceptions and isinstance(ended.error, TaskKilledError) and is_told:
            return await self._value()
        return ended

    async def _collect_items(self, watched: WatchResult, settings: Settings, tasks: int) -> Verdict:
        round = self._progress.jobs - 1
        refused, silent = await self._fetch(tasks, round)
        progress, result, may_retry = self._progress, self._result, self._may_retry_exceptions
        name = self._jobs.job_name
        collector = Collector(self._jobs.services, self._settings, self._identity, name, is_map=True)
        self._partials = collector.measured
        await self._jobs.objects.unless_cancelled(self._note_lost(collector, silent, round))
        self._exit_code = None
        if progress.hook is not None:
            return await run_in_thread(result.hook_failed, settings, name, watched.job, progress.hook)
        if progress.is_complete and progress.raised and may_retry:
            return await run_in_thread(result.items_failed, settings, name, watched.job)
        if progress.is_complete and (self._map.return_exceptions or not progress.raised):
            return await self._value()
        if progress.lost() == []:
            # The others have killed their process too often.
            in_place = self._map.return_exceptions and not (progress.raised and may_retry)
            return await (
                self._value() if in_place else run_in_thread(result.items_failed, settings, name, watched.job)
            )
        if progress.timed_out is not None:
            ended, running = progress.timed_out
            more = f" It stood in item {running.index} ({running.arguments})." if running is not None else ""
            more += LIMIT
            return await run_in_thread(result.lost, settings, name, ElectronEvidence(watched.job, outcome=ended), more)
        if round in progress.early:
            found = ElectronEvidence(watched.job, outcome=progress.early[round])
            return await run_in_thread(result.lost, settings, name, found, EARLY)
        if progress.still_killed and not silent:
            ended, _ = list(progress.still_killed.values())[-1]
            return await run_in_thread(result.lost, settings, name, ElectronEvidence(watched.job, outcome=ended))
        if watched.error is not None:
            return await run_in_thread(result.stopped, watched.error)
        found = ElectronEvidence(watched.job, outcome=refused, reason=watched.reason, detail=watched.detail)
        found = await self._jobs.objects.unless_cancelled(collector.explain_missing(found, sorted(silent), round))
        self._exit_code = found.exit_code
        return await run_in_thread(result.lost, settings, name, found)

    async def _note_lost(self, collector: Collector, silent: set[int], round: int) -> None:
        """Take note of what tasks printed of which no outcome came."""
        tasks = sorted(silent)[:OUTSIDE_TASKS]
        for task, texts in zip(
            tasks, await asyncio.gather(*(collector.item_texts(task, round) for task in tasks)), strict=True
        ):
            self._progress.lost_texts.update(texts.items)
            if any(texts.outside):
                self._progress.add_interrupted(round, task, texts.outside)

    async def _fetch(self, tasks: int, round: int) -> tuple[OutcomeError | None, set[int]]:
        """Take note of all that the tasks of this round delivered.

        Returns:
            The last refusal, if there was one, and the tasks from which no outcome came.
        """
        self._progress.is_unread = True
        there = await self._jobs.objects.fetch(self._names_of, round)
        outcomes = {name.task for name in there if name.kind == "outcome"}
        chunks = sorted((name.task, name.number) for name in there if name.kind == "chunk")
        wanted: list[tuple[int, int | None]] = [(task, None) for task in sorted(outcomes) if task < tasks]
        wanted += [(task, number) for task, number in chunks if task < tasks]
        fetched = await asyncio.gather(*(self._report(round, *one) for one in wanted), return_exceptions=True)
        # A refusal is a finding, too.
        failed = [one for one in fetched if isinstance(one, BaseException) and not isinstance(one, OutcomeError)]
        reports = [one for one in fetched if not isinstance(one, BaseException) or isinstance(one, OutcomeError)]
        self._trace.add(reports)
        source = SourceText()
        if any(isinstance(report, TaskReport) and report.has_frames for report in reports):
            source = await self._source()
        refused = await run_in_thread(self._noted, reports, source)
        if failed and not self._progress.is_complete:
            raise failed[0]
        self._progress.is_unread = refused is not None
        return refused, set(range(tasks)) - outcomes

    def _names_of(self, round: int) -> list[ObjectName]:
        """Return the names of what this round left in the bucket."""
        prefix = f"{round_folder(self._identity.folder, round)}/"
        names = map(parse_name, self._jobs.services.objects.names(prefix))
        return [name for name in names if name is not None and name.round == round]

    async def _report(self, round: int, task: int, number: int | None) -> TaskReport | OutcomeError | None:
        """What is there, or the error if it is refused twice: once it may have been changed, or lost, on its way."""
        found = await self._jobs.objects.fetch(self._read, round, task, number)
        if not isinstance(found, TaskReport):
            found = await self._jobs.objects.fetch(self._read, round, task, number)
        return found

    def _noted(self, reports: Sequence[TaskReport | OutcomeError | None], source: SourceText) -> OutcomeError | None:
        """Take note of what was read; the last refusal, if there was one."""
        refused = None
        for report in reports:
            if isinstance(report, OutcomeError):
                logger.warning("%s: %s", self._call, report)
                refused = report
            elif report is not None:
                self._jobs.objects.is_written_late |= report.live == LATE
                self._progress.add(report_with_source_lines(report, source) if report.has_frames else report)
        return refused

    def _read(self, round: int, task: int, number: int | None) -> TaskReport | OutcomeError | None:
        remake_folder(self._settings.cache_dir)
        try:
            return read_delivered(self._jobs.services.objects, self._identity.task(task, round), number, self._store)
        except OutcomeError as error:
            return error

    async def _value(self) -> Value:
        return Value(await self._jobs.objects.in_thread(self._result.value, self._settings.cache_dir))
