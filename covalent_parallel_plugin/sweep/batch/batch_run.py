"""Run a sweep's tasks on Google Batch: round after round, one job each, until all have ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ...batch.cancellation import Cancellation, CancelledCall
from ...batch.job_definition import STOP_TIMEOUT_SECONDS
from ...batch.job_evidence import EvidenceReader
from ...batch.job_watch import WatchResult
from ...batch.runner_archive import restage_runner, stage_runner
from ...cloud import Services, shared_services
from ...cloud.batch import JobStatus
from ...cloud.threads import run_stoppable
from ...errors import CloudError, ParallelError
from ...programs.task_folder import FULL_REMEDY, is_full
from ...programs.verdict import TaskEnd
from ...protocol.exit_codes import EXIT_BAD_RUNNER, EXIT_NO_RUNNER
from ...protocol.sweep_objects import drain_name
from ...settings import Settings
from ..local.observer import RunObserver
from ..local.run import DRAINED, RunEnd, failures_allowed, used_up
from ..records.batch_look import BatchStatus
from ..records.journal import round_end_event, round_event
from ..tasks import SweepTask
from .batch_work import BatchWork, LostTask, RunStopped
from .gathering import CANCELLED, RoundGathering
from .machine_use import MachineUse
from .poll_pace import PollPace
from .round_run import RoundOwner, RoundRun
from .round_tasks import RoundTasks
from .round_verdict import MOST_QUERIED_TASKS, RoundJudge, RoundVerdict, sweep_title, unreported_end
from .setup import RoundShape
from .shards import drain_round
from .sweep_job import job_id, sweep_job

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
# If another client of the sweep has taken a number meanwhile, the next one is tried
MOST_NUMBERS = 10
GOES_ON = "its job goes on without this run: run again, and it is gathered"


class BatchRunner:
    """A run of tasks on Batch.

    Attributes:
        look: the progress as of the last job status.
        on_round: gets a round's number and its job's name, once the job exists.
    """

    def __init__(self, work: BatchWork, observer: RunObserver) -> None:
        self._work = work
        self._file = work.file
        self._observer = observer
        self._journal = work.seams.journal
        self._seams = replace(work.seams, ended=self._on_end)
        self._most_failures = failures_allowed(work.file.stop_after, work.count)
        self._failures = 0
        self.look = BatchStatus()
        self._use = MachineUse(work.file, self._journal.state)
        self.on_round: Callable[[int, str], None] = lambda number, job: None
        self._left = len(work.wanted)
        self._was_restaged = False
        self._error: BaseException | None = None
        self._round: RoundRun | None = None
        # Whose jobs run as well, and are waited for when that of `_round` has ended
        self._beside: list[RoundRun] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_cancelled = self._is_detached = self._is_draining = False
        # Of all that is done / of waiting for a job, which continues without this run
        self._cancelled, self._interrupted = Cancellation(), Cancellation()

    @property
    def running(self) -> int:
        """How many run, by the last look."""
        return self.look.running

    def run(self) -> RunEnd:
        """Run the tasks, once; return when nothing of this run's is left on Batch, or when it was detached.

        Raises:
            Exception: what the observer raised, or an OSError of OUT other than of a full disk; the job has been ended
                by then.
        """
        return asyncio.run(self._main())

    def cancel(self) -> None:
        """End all that runs, and start nothing more; may be called by any thread and by a signal's handler."""
        self._is_cancelled = True
        self._wake()

    def detach(self) -> None:
        """Stop waiting once all that is wanted was submitted; may be called as `cancel`, also before the run."""
        self._is_detached = True
        self._wake()

    def drain(self) -> None:
        """Submit nothing more; called by the observer's `tick`."""
        self._is_draining = True

    def _wake(self) -> None:
        if self._loop is not None:
            # The run may be over
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._take_signals)

    def _take_signals(self) -> None:
        if self._is_cancelled:
            self._cancelled.set()
        if self._is_cancelled or self._is_detached:
            self._interrupted.set()

    async def _main(self) -> RunEnd:
        self._loop = asyncio.get_running_loop()
        self._take_signals()
        settings = self._file.settings
        services = shared_services(settings.project_id, settings.bucket_name)
        ticking = asyncio.create_task(self._tick())
        try:
            return await self._guarded(services)
        finally:
            self._loop = None
            ticking.cancel()
            await services.batch.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self._observer.tick()
            except BaseException as error:
                self._error = error
                self.cancel()
                return

    async def _guarded(self, services: Services) -> RunEnd:
        """Run all rounds; whatever ends them early, the job is ended or left as that asks for."""
        end = RunEnd(False, "")
        try:
            await self._rounds(services)
        except CancelledCall:
            end = RunEnd(self._is_cancelled, "", detached=not self._is_cancelled)
        except RunStopped as stopped:
            end = RunEnd(False, str(stopped), detached=stopped.keeps_job, overrun=stopped.overrun)
        except OSError as error:
            if not is_full(error):
                await self._end_round(services)
                raise
            place = error.filename or self._work.seams.out.path
            end = RunEnd(False, f"{place}: {error.strerror}{FULL_REMEDY}", detached=self._round is not None)
        except ParallelError as error:
            end = RunEnd(False, str(error), detached=self._round is not None)
        except BaseException:
            await self._end_round(services)
            raise
        if not end.detached:
            reason = end.stopped if end.overrun is not None else CANCELLED
            await self._end_round(services, reason)
            while self._beside and (end.cancelled or end.overrun is not None):
                self._round = self._beside.pop(0)
                await self._end_round(services, reason)
        elif end.stopped:
            end = replace(end, stopped=f"{end.stopped}\n{GOES_ON}")
        if self._error is not None:
            raise self._error
        return end

    async def _end_round(self, services: Services, reason: str = CANCELLED) -> None:
        """End the job of the round that runs, if one does, and take in what it has delivered; the rest ended for this.

        `reason` is that of tasks which were stopped.
        """
        round, self._round = self._round, None
        if round is None:
            return
        # What is asked for now is that it ends: only a second time is that not waited for
        self._is_cancelled = self._is_detached = False
        self._cancelled, self._interrupted = Cancellation(), Cancellation()
        await round.end_job()
        if (ended := await round.last_status()) is not None:
            self._note_job(round, ended)
        self.look = replace(self.look, running=0)
        try:
            await round.take_rest(self._cancelled)
            await round.gathering.take_cut_off(reason)
            await self._cancelled.unless(self._trace_lost(services, round, RoundVerdict(), CANCELLED))
        except (CancelledCall, ParallelError, OSError) as error:
            logger.warning("not all that round %d delivered was gathered: %s", round.tasks.number, error)
        else:
            self._note_end(round.tasks.number, "ended", round.gathering)

    async def _rounds(self, services: Services) -> None:
        waiting, settings = await self._go_on(services), self._file.settings
        rounds_left = settings.retries
        while waiting:
            verdict, lost = await self._watched(services, await self._submit(services, waiting, settings))
            is_free = verdict.is_drained or await self._restages(services, verdict)
            waiting = [one.task for one in lost]
            if not waiting or is_free:
                continue
            if rounds_left:
                rounds_left -= 1
            elif verdict.is_machine_lost and settings.spot and settings.spot_fallback:
                settings = replace(settings, spot=False)
                logger.warning("Spot machines were lost as often as allowed: %d tasks run on others", len(waiting))
            else:
                for one in lost:
                    await one.gathering.take_lost(one.index, unreported_end("lost", one.reason))
                return

    async def _go_on(self, services: Services) -> list[SweepTask]:
        """Wait for the jobs that run already; return the tasks that are to be submitted."""
        in_flight = {task.name for tasks in self._work.open_rounds for task in tasks.own.values()}
        waiting = [task for task in self._work.wanted if task.name not in in_flight]
        # Whoever does not wait has the others submitted beside
        rounds = [] if self._is_detached else self._work.open_rounds
        self._beside = [self._make_round(services, tasks, self._file.settings) for tasks in rounds]
        for round in self._beside:
            round.take_over()
        while self._beside:
            round = self._beside.pop(0)
            self.on_round(round.tasks.number, round.job_name)
            _, lost = await self._watched(services, round)
            waiting += [one.task for one in lost]
        return sorted(waiting, key=lambda task: task.index)

    async def _submit(self, services: Services, tasks: Sequence[SweepTask], settings: Settings) -> RoundRun:
        """Make the job of a new round."""
        if self._is_draining:
            raise RunStopped(DRAINED)
        self._check_hours(0.0)
        file, identity = self._file, self._seams.identity
        for _ in range(MOST_NUMBERS):
            shape = RoundShape.of(file, self._journal.state.next_round, len(tasks))
            job = sweep_job(file, settings, self._work.image_uri, identity, *shape)
            round = self._make_round(services, RoundTasks.of(shape.round, shape.bundle, tasks), settings)
            event = round_event(shape.round, round.job_name, time.time(), tasks=len(tasks), bundle=shape.bundle)
            self._journal.append(event)
            try:
                is_staged = await self._stage(services, shape, tasks)
            except BaseException:
                self._note_end(shape.round, "not submitted")
                raise
            if is_staged:
                break
            self._note_end(shape.round, "not submitted")
        else:
            raise RunStopped(f"another run of {sweep_title(file.name)} creates jobs as well: wait until it has ended")
        if self._is_draining:
            self._note_end(shape.round, "not submitted")
            raise RunStopped(DRAINED)
        self._round, staged = round, self._seams.trace.now()
        try:
            await round.create(job)
        except CloudError as error:
            self._note_end(shape.round, "not submitted")
            self._round = None
            raise RunStopped(str(error)) from error
        round.gathering.trace.note_submitted(job, round.job_name, staged)
        self.on_round(shape.round, round.job_name)
        if self._is_draining:
            # Whoever asked for it may not have seen this job yet
            await run_stoppable(drain_round, self._seams.store, identity.folder, shape.round)
        return round

    async def _stage(self, services: Services, shape: RoundShape, tasks: Sequence[SweepTask]) -> bool:
        async def stage() -> bool:
            await stage_runner(services.objects, for_sweeps=True)
            return await run_stoppable(self._work.staging.stage, shape, tasks)

        return await self._cancelled.unless(stage())

    def _make_round(self, services: Services, tasks: RoundTasks, settings: Settings) -> RoundRun:
        name, sweep_id = self._file.name, self._seams.identity.sweep_id
        owner = RoundOwner(sweep_title(name), sweep_id, job_id(name, sweep_id, tasks.number))
        gathering = RoundGathering(self._seams, tasks)
        return RoundRun(services, settings, owner, tasks, gathering, self._cancelled, self._interrupted, self._check)

    async def _watched(self, services: Services, round: RoundRun) -> tuple[RoundVerdict, list[LostTask]]:
        """Wait for a round's end; return what became of its tasks from which nothing came, and which may run again."""
        self._round = round
        watched = await round.watch()
        if watched.job is not None:
            self._note_job(round, watched.job)
        if watched.error is not None:
            raise RunStopped(f"the job {round.job_name} can no longer be watched: {watched.error}", keeps_job=True)
        if not watched.has_ended:
            await round.end_job()
        await round.take_rest(self._interrupted)
        verdict, missing = RoundVerdict(), round.gathering.missing
        if missing and await self._is_drained(watched, round):
            verdict.lost, verdict.is_drained = dict.fromkeys(missing, DRAINED), True
        elif missing:
            judge = RoundJudge.of(services, self._file, round.settings, round.job_name)
            verdict = await self._interrupted.unless(judge.judge(watched, round.tasks, missing))
        for index, end in verdict.ended.items():
            await self._interrupted.unless(round.gathering.take_lost(index, end))
        await self._interrupted.unless(self._trace_lost(services, round, verdict))
        self._note_end(round.tasks.number, watched.job.state if watched.job else watched.reason, round.gathering)
        self.look = replace(self.look, running=0, unread=0)
        self._round = None
        if verdict.stop:
            raise RunStopped(verdict.stop)
        own, gathering = round.tasks.own, round.gathering
        return verdict, [LostTask(own[index], index, why, gathering) for index, why in verdict.lost.items()]

    async def _is_drained(self, watched: WatchResult, round: RoundRun) -> bool:
        """Whether what a round has not delivered was not begun, by `cancel --waiting`: its job ended well then."""
        if watched.job is None or watched.job.state != "SUCCEEDED":
            return False
        seams = self._seams
        name = drain_name(seams.identity.folder, round.tasks.number)
        return name in await self._interrupted.unless(run_stoppable(seams.store.names, name))

    async def _restages(self, services: Services, verdict: RoundVerdict) -> bool:
        """Put the runner into the bucket again, once, if tasks found it deleted or changed; whether that was so."""
        if self._was_restaged or not verdict.exit_codes & {EXIT_NO_RUNNER, EXIT_BAD_RUNNER}:
            return False
        self._was_restaged = True
        await restage_runner(services.objects, for_sweeps=True)
        return True

    def _on_end(self, task: SweepTask, end: TaskEnd) -> None:
        self._left -= 1
        self._failures += end.status not in ("done", "cancelled")
        self._observer.started(task)
        self._observer.ended(task, end)

    async def _check(self, status: JobStatus, pace: PollPace) -> None:
        """Raise RunStopped once the file's limits are reached."""
        assert self._round is not None
        tasks, gathering = self._round.tasks, self._round.gathering
        self._note_job(self._round, status)
        self.look = self._batch_status(pace, tasks, len(gathering.missing))
        if self._most_failures is not None and self._failures >= self._most_failures and self._left:
            raise RunStopped(f"stop_after: {self._failures} tasks have failed")
        if self._file.most_machine_hours is not None:
            for round in self._beside:
                if (seen := await self._interrupted.unless(round.last_status())) is not None:
                    self._note_job(round, seen)
        self._check_hours(self._round.settings.poll_freq)
        seconds_left = self._use.seconds_left()
        if seconds_left is not None:
            # So that the look which finds them used up comes in time
            pace.most_pause_seconds = max(seconds_left, 0.0)

    def _check_hours(self, pause_seconds: float) -> None:
        overrun = self._use.overrun(pause_seconds + STOP_TIMEOUT_SECONDS)
        if overrun is not None and self._left:
            raise RunStopped(used_up(overrun.limit), overrun=overrun)

    def _batch_status(self, pace: PollPace, tasks: RoundTasks, missing: int) -> BatchStatus:
        own = len(tasks.own)
        ended = min(pace.ended * tasks.bundle, own)
        return BatchStatus(
            # Those of a bundle run one after the other
            running=pace.running,
            unread=max(ended - (own - missing), 0),
            ended=max(ended - pace.ended_before * tasks.bundle, 0),
            began=pace.began,
            seen=pace.seen,
            mean_running=pace.mean_running,
            machine_hours=self._use.hours,
            looked=pace.looked,
        )

    async def _trace_lost(self, services: Services, round: RoundRun, verdict: RoundVerdict, end: str = "lost") -> None:
        """Record in the trace attempts that reported nothing, for as many tasks as Batch is asked about."""
        trace = round.gathering.trace
        if not self._seams.trace.is_on:
            return
        silent = round.tasks.bundles({*trace.repeated, *round.gathering.missing})
        numbers = [number for number in silent if number not in verdict.statuses][
            : MOST_QUERIED_TASKS - len(verdict.statuses)
        ]
        statuses = await EvidenceReader(services, round.job_name).tasks(numbers) if numbers else {}
        own = round.tasks.own
        for number, indices in round.tasks.bundles(own).items():
            status = verdict.statuses.get(number) or statuses.get(number)
            missing = [index for index in indices if index in round.gathering.missing] or indices
            if status is not None:
                trace.lost([(index, own[index]) for index in missing], status, end)

    def _note_job(self, round: RoundRun, status: JobStatus) -> None:
        self._use.note(round.tasks.number, status)
        round.gathering.trace.note_job(status)

    def _note_end(self, round: int, state: str, gathering: RoundGathering | None = None) -> None:
        seconds = self._use.end(round)
        traced = None if gathering is None else gathering.trace.machine_seconds
        if traced is not None and gathering is not None:
            # What reported nothing itself is only in the looks at the job
            seconds = max(traced, seconds) if gathering.missing else traced
        self._journal.append(round_end_event(round, state, seconds))
