"""Run a sweep on Google Batch: its image pinned, what it has on Batch already taken over, planned, and run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ...batch import job_watch
from ...batch.failure_message import job_address
from ...batch.submission import UNSEEN_PAUSE_SECONDS, UNSEEN_SECONDS
from ...cloud import Services, shared_services
from ...cloud.batch import JobStatus
from ...cloud.storage import ObjectStore
from ...protocol.environment import BATCH_EMULATOR_HOST
from ...protocol.sweep_identity import SweepIdentity
from ...protocol.sweep_objects import round_folder
from ...settings import Settings
from ..local.observer import RunObserver
from ..mistakes import Mistake
from ..opened_sweep import OpenedSweep
from ..plan import RunRequest
from ..records.journal import Journal, open_event, round_end_event, round_event
from ..run_base import RunBase, RunOutcome, TableWriter
from ..tasks import PinnedImage, SweepTask, describe_task
from .batch_run import BatchRunner
from .batch_work import BatchWork
from .found_sweep import FoundSweep, find_round, find_sweep
from .gathering import GatherSeams, RoundGathering
from .image_pin import kept_batch_image, pin_batch_image
from .round_staging import RoundStaging
from .round_tasks import RoundTasks
from .setup import result_document
from .sweep_key import kept_identity, new_identity
from .sweep_place import place_event
from .task_paths import batch_paths

RUNS_ALREADY = "on Batch already: their job is waited for"


class BatchSweepRun(RunBase):
    """A run on Batch.

    Args:
        download: whether outputs are fetched as tasks end; else they are left to `gather`.
    """

    def __init__(
        self, opened: OpenedSweep, journal: Journal, environment: Mapping[str, str], download: bool = True
    ) -> None:
        super().__init__(opened, journal, environment, _no_mistakes())
        self._download = download
        self._open_rounds: list[RoundTasks] = []
        # Whether a round reads results elsewhere than the file says now
        self._is_result_other = False
        settings = opened.file.settings
        self._store = ObjectStore.shared(settings.project_id, settings.bucket_name)

    def prepare(self, request: RunRequest, keep_image: bool) -> None:
        """Find the image and the inputs, take over what is on Batch already, and plan.

        Raises:
            ParallelError: see its message; nothing was started.
        """
        super().prepare(request, keep_image)
        in_flight = {task.name for tasks in self._open_rounds for task in tasks.own.values()}
        flying = [task.name for task in self._wanted if task.name in in_flight]
        if flying:
            reasons = {
                why: [name for name in names if name not in in_flight] for why, names in self.plan.reasons.items()
            }
            self.plan.reasons = {why: names for why, names in reasons.items() if names} | {RUNS_ALREADY: flying}

    def runner(self, observer: RunObserver) -> BatchRunner:
        """Return what runs the tasks."""
        image = self._image
        staging = RoundStaging(self._store, self._identity, self._out, self._tasks, image, self.plan.total)
        names = {task.name for task in self._wanted}
        rounds = [tasks for tasks in self._open_rounds if any(own.name in names for own in tasks.own.values())]
        work = BatchWork(
            self._file, self._wanted, rounds, image.uri, self.plan.total, staging, self._seams(self._download)
        )
        runner = BatchRunner(work, TableWriter(observer, self))
        self._drain = runner.drain
        return runner

    def round_lines(self, number: int, job_name: str) -> Iterator[str]:
        """Name a round's job and where its objects are, as `round_lines` does."""
        return round_lines(self._file.settings, self._identity.folder, number, job_name, self._environment)

    def finish(
        self, is_interrupted: bool, stopped: str, is_detached: bool = False, is_over_budget: bool = False
    ) -> RunOutcome:
        """Write the tables, and the run's end into the journal. Raises OSError, CloudError."""
        if self._open_rounds and self._has_other_results():
            self._read_results_again()
        return super().finish(is_interrupted, stopped, is_detached, is_over_budget)

    def _has_other_results(self) -> bool:
        self._is_result_other |= super()._has_other_results()
        return self._is_result_other

    def _read_results_again(self) -> None:
        """Read them in the tasks' folders; what was left in the bucket is brought first."""
        asyncio.run(self._bring_outputs())
        super()._read_results_again()

    async def _bring_outputs(self) -> None:
        ends = self.state.ends.values()
        for number in sorted({end.at[0] for end in ends if end.at is not None and not end.is_here}):
            if (tasks := await self._read_round(number)) is not None:
                await RoundGathering(self._seams(True), tasks).take()

    def _pin_image(self, before: PinnedImage | None, keep: bool) -> PinnedImage | None:
        if keep and before is not None:
            self._image = kept_batch_image(self._file, before, self._environment)
        else:
            self._image = pin_batch_image(self._file, self._environment, before)
        return self._image.pinned

    def _take_over(self) -> None:
        asyncio.run(self._with_services())

    async def _with_services(self) -> None:
        settings = self._file.settings
        services = shared_services(settings.project_id, settings.bucket_name)
        try:
            if self.state.run is None:
                found = await find_sweep(services.batch, settings, self._file.name)
                if found is not None:
                    await self._adopt(found)
                    return
            identity = kept_identity(self._out, self._file.name, self.state.sweep_id)
            self._identity = identity or await self._lost_key(services)
            for number, event in sorted(self.state.rounds.items()):
                await self._look_at(services, number, event)
        finally:
            await services.batch.close()

    async def _adopt(self, found: FoundSweep) -> None:
        """Go on with a sweep that was run in another folder."""
        self._identity = found.identity
        self._out.keep_key(found.identity.key)
        self._journal.append(open_event(found.identity.sweep_id, self._file.name))
        self.moved += [
            f"{self._file.name} was run in another folder, and continues in this one: its jobs are on Batch",
            *found.unused,
        ]
        for job in found.jobs:
            tasks = await self._read_round(job.round)
            self._journal.append(round_event(job.round, job.status.name, job.status.created_seconds))
            if tasks is None:
                self.moved.append(f"the setup of round {job.round} is gone from the bucket: its tasks run again")
                self._journal.append(round_end_event(job.round, "gone"))
            elif job.status.is_terminal:
                await self._gather(tasks, job.status, only_done=True)
            else:
                self._open_rounds.append(tasks)

    async def _look_at(self, services: Services, number: int, event: Mapping[str, Any]) -> None:
        """See what has become of a round that an earlier run of this folder has left."""
        tasks = await self._read_round(number)
        # Its setup is written before its job is made
        job = await _find_job(services, event) if tasks is not None else None
        if tasks is None:
            self._journal.append(round_end_event(number, "not submitted"))
        elif job is None or job.is_terminal:
            if job is None:
                self.moved.append(f"the job {event['job']} is gone: what it has delivered is gathered")
            await self._gather(tasks, job)
        else:
            self._open_rounds.append(tasks)

    async def _read_round(self, number: int) -> RoundTasks | None:
        found = await asyncio.to_thread(find_round, self._store, self._identity, number)
        if found is None:
            return None
        self._is_result_other |= found.setup["result"] != result_document(self._file.result)
        return RoundTasks.found(number, found.bundle, found.tasks, self._all)

    async def _gather(self, tasks: RoundTasks, job: JobStatus | None, only_done: bool = False) -> None:
        gathering = RoundGathering(self._seams(self._download), tasks, only_done)
        if job is not None:
            gathering.trace.note_job(job)
        await gathering.take()
        state, seconds = job.state if job is not None else "gone", gathering.trace.machine_seconds
        self._journal.append(round_end_event(tasks.number, state, seconds or 0.0))

    async def _lost_key(self, services: Services) -> SweepIdentity:
        """Return the identity of a folder that has no key: what its jobs say, or a new one."""
        found = await find_sweep(services.batch, self._file.settings, self._file.name)
        if found is not None and found.identity.sweep_id == self.state.sweep_id:
            self._out.keep_key(found.identity.key)
            return found.identity
        return new_identity(self._out, self._file.name, self.state.sweep_id)

    def _seams(self, download: bool) -> GatherSeams:
        return GatherSeams(
            self._store,
            self._identity,
            self._out,
            self._journal,
            self._describe,
            self._tasks.parts,
            download,
            trace=self.trace,
        )

    def _describe(self, task: SweepTask, round: int, index: int) -> Mapping[str, Any]:
        paths = batch_paths(self._file, self._identity, round, index)
        sweep_id = self._identity.sweep_id
        return describe_task(
            self._file, task, self._tasks.launch(task, paths, sweep_id=sweep_id, count=len(self._all), attempt=0)
        )

    def _place(self) -> Mapping[str, Any]:
        return {"engine": "", "local": False, **place_event(self._file.settings)}


def round_lines(
    settings: Settings, folder: str, number: int, job_name: str, environment: Mapping[str, str]
) -> Iterator[str]:
    """Name a round's job, by its page in Google's console unless it is on an emulator, and where its objects are."""
    yield f"round {number}: {job_name if BATCH_EMULATOR_HOST in environment else job_address(settings, job_name)}"
    yield f"round {number}: gs://{settings.bucket_name}/{round_folder(folder, number)}/"


async def _find_job(services: Services, event: Mapping[str, Any]) -> JobStatus | None:
    """Return a job that was made, if it was: Batch may not find it for a while."""
    until = time.monotonic() + UNSEEN_SECONDS
    while True:
        job = await services.batch.get(event["job"])
        is_new = time.time() - event["made"] < job_watch.UNSEEN_SECONDS
        if job is not None or not is_new or time.monotonic() > until:
            return job
        await asyncio.sleep(UNSEEN_PAUSE_SECONDS)


def _no_mistakes() -> Iterator[Mistake]:
    return iter(())
