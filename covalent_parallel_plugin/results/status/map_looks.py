"""The items of a dispatch's maps, look after look: what their folders in the bucket and their tasks' events show."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...batch.job_names import LABEL_CALL, LABEL_NODE, dispatch_of
from ...batch.progress import ClockDifference
from ...cloud.batch import JobStatus
from ...cloud.interfaces import Bucket, JobService
from ...cloud.storage import StoredObject
from ...cloud.threads import run_stoppable
from ...errors import CloudError, ParallelError
from ...protocol.environment import ENV_BUCKET
from ...protocol.object_names import call_folder, call_name
from .ending import ending_of
from .item_counts import CountedJob, ItemCounts, is_map, job_items, reckoned

logger = logging.getLogger(__name__)

# Of a dispatch with more maps that run, each look lists the folders of those that were not listed for the longest time
MOST_LISTS = 10
# How long one list may take, and how long a bucket that refused, or did not answer, is left alone
LIST_SECONDS = 10.0
REFUSED_SECONDS = 60.0
# A folder whose list took long is listed again after so many times as long
PAUSE_FACTOR = 10.0
# How long one request to Batch may take
PATIENCE_SECONDS = 20.0
# Tasks' events are asked for of so many jobs in one look, and of each job again while they are not there yet
MOST_EVENTS = 10
EVENT_TRIES = 3
UNREAD = "items are counted when their tasks end"


@dataclass
class _Call:
    """What is known of one call of a map.

    Attributes:
        bucket_name: where its folder is, "" where that is not known, None before somebody has asked.
        objects: what its folder held when it was listed last, at `listed` by this machine's clock.
        due: when it may be listed again.
        clock: by how much this machine's clock is ahead of the bucket's.
        endings: what the tasks of each of its jobs report, by the job's name.
        asked: how many tasks had ended when a job's tasks were asked last, and how often in vain.
        kept: the last counts of each job.
        side_by_side: the most of its tasks that were seen to run at once.
        trouble: why its folder could not be listed the last time.
    """

    bucket_name: str | None = None
    objects: Sequence[StoredObject] = ()
    listed: float | None = None
    due: float = 0.0
    clock: ClockDifference = field(default_factory=ClockDifference)
    endings: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    asked: dict[str, tuple[int, int]] = field(default_factory=dict)
    kept: dict[str, ItemCounts] = field(default_factory=dict)
    side_by_side: int = 1
    trouble: str = ""


class MapLooks:
    """Counts the items of a dispatch's maps.

    Args:
        dispatch_id: the dispatch.
        batch: where its jobs run.
        open_bucket: a bucket, by the project's id and its own name.
        clock: seconds since 1970.

    Attributes:
        lineage: the dispatch, and those that it continues, the nearest first: their jobs it may have taken up.
        trouble: why some are not counted, "" where all are.
    """

    def __init__(
        self,
        dispatch_id: str,
        batch: JobService,
        open_bucket: Callable[[str, str], Bucket],
        clock: Callable[[], float] = time.time,
    ):
        self.lineage: Sequence[str] = (dispatch_id,)
        self._batch = batch
        self._open_bucket = open_bucket
        self._clock = clock
        self._calls: dict[str, _Call] = defaultdict(_Call)
        self.trouble = ""

    async def count(self, jobs: Sequence[JobStatus], bucket_names: Mapping[str, str]) -> dict[str, ItemCounts]:
        """Count the items of those of these jobs that are maps', by the job's name.

        It lists the folder of each map that runs, and asks Batch for the tasks of jobs of which more have ended.

        Args:
            jobs: all of the dispatch.
            bucket_names: by node, as far as they are known; else Batch is asked once.
        """
        by_call: dict[str, list[JobStatus]] = defaultdict(list)
        for job in sorted(jobs, key=lambda job: job.created_seconds):
            if is_map(job):
                by_call[_key(job)].append(job)
        await self._list_folders(by_call, bucket_names)
        await self._ask_tasks(by_call)
        found: dict[str, ItemCounts] = {}
        for call_id, rounds in by_call.items():
            call = self._calls[call_id]
            call.side_by_side = max(call.side_by_side, *(job.counts.get("RUNNING", 0) for job in rounds))
            found.update(self._counts(self._calls[call_id], rounds))
        return found

    def events(self, job: JobStatus) -> Mapping[int, str]:
        """Return the events by which a map's tasks have reported how they ended, by index, as far as they are known."""
        return self._calls[_key(job)].endings[job.name]

    def _counts(self, call: _Call, rounds: Sequence[JobStatus]) -> dict[str, ItemCounts]:
        total = job_items(rounds[0])
        now = self._clock() - call.clock.seconds
        before: ItemCounts | None = None
        for number, job in enumerate(rounds):
            endings = {index: ending_of(event) for index, event in call.endings[job.name].items()}
            counted = CountedJob(job, number, total, endings, before, call.side_by_side)
            told = counted.count(call.objects, now)
            if call.listed is None and not endings and total is not None:
                # Nothing was read of it: what its tasks' states show.
                told = _added(reckoned(job), before, total) or told
            kept = call.kept.get(job.name)
            if job.is_terminal and kept is not None and not endings:
                # The objects go when the map has ended.
                told = replace(told, failed=max(told.failed, kept.failed))
            following = job_items(rounds[number + 1]) if number + 1 < len(rounds) else None
            if total is not None and following is not None:
                # Exactly what the next job does not have to do
                done = max(total - following, 0)
                # Items that had ended are to run again: all that raised are, as `retry_exceptions` has it.
                failed = told.failed if told.done <= done else 0
                told = replace(told, done=done, failed=failed, lost=following, is_exact=True)
            call.kept[job.name] = before = told
        return {job.name: call.kept[job.name] for job in rounds}

    async def _list_folders(self, by_call: Mapping[str, Sequence[JobStatus]], bucket_names: Mapping[str, str]) -> None:
        now = self._clock()
        running = [key for key, rounds in by_call.items() if rounds[-1].state == "RUNNING"]
        due = [key for key in running if self._calls[key].due <= now and LABEL_CALL in by_call[key][-1].labels]
        chosen = sorted(due, key=lambda key: self._calls[key].listed or 0.0)[:MOST_LISTS]
        for key, trouble in zip(
            chosen, await asyncio.gather(*(self._list(by_call[key][-1], bucket_names) for key in chosen)), strict=True
        ):
            self._calls[key].trouble = trouble
        self.trouble = next((found for key in running if (found := self._calls[key].trouble)), "")

    async def _list(self, job: JobStatus, bucket_names: Mapping[str, str]) -> str:
        """List a call's folder; return why that did not succeed, else ""."""
        call_id, node = job.labels[LABEL_CALL], job.labels.get(LABEL_NODE, "")
        call, began = self._calls[call_id], self._clock()
        if not node.removeprefix("-").isdecimal():
            return ""
        folder = call_folder(dispatch_of(job.labels, self.lineage), int(node), call_id)
        try:
            found = await self._read(job, call, bucket_names.get(node, ""), folder)
        except (ParallelError, asyncio.TimeoutError) as error:
            call.due = began + REFUSED_SECONDS
            reason = str(error).split("\n", 1)[0] or f"no answer within {LIST_SECONDS:g} s"
            logger.debug("the folder %s cannot be listed: %s", folder, reason)
            return f"{UNREAD}: gs://{call.bucket_name}/{folder} cannot be listed ({reason})"
        if not call.bucket_name:
            call.due = began + REFUSED_SECONDS
            return f"{UNREAD}: the bucket of {job.name.rpartition('/')[2]} is not known"
        known = {stored.name for stored in call.objects}
        for stored in found:
            if stored.name not in known:
                call.clock.see(stored.created_seconds, self._clock(), call.listed)
        call.objects, call.listed = found, began
        call.due = began + PAUSE_FACTOR * (self._clock() - began)
        return ""

    async def _read(self, job: JobStatus, call: _Call, guess: str, folder: str) -> Sequence[StoredObject]:
        """List a call's folder, in the bucket where this machine takes it to be, else in the one that the job names."""
        if call.bucket_name is None:
            try:
                found = await self._objects(job, guess, folder) if guess else []
            except (CloudError, asyncio.TimeoutError) as error:
                logger.debug("the bucket %s cannot be listed: %s", guess, error)
                found = []
            if any(stored.name == call_name(folder) for stored in found):
                call.bucket_name = guess
                return found
            variables = await self._batch.variables(job.name, patience_seconds=PATIENCE_SECONDS)
            call.bucket_name = (variables or {}).get(ENV_BUCKET, "")
        return await self._objects(job, call.bucket_name, folder) if call.bucket_name else []

    async def _objects(self, job: JobStatus, bucket_name: str, folder: str) -> Sequence[StoredObject]:
        project = job.name.split("/")[1]
        listing = run_stoppable(lambda: self._open_bucket(project, bucket_name).list(f"{folder}/"))
        return await asyncio.wait_for(listing, LIST_SECONDS)

    async def _ask_tasks(self, by_call: Mapping[str, Sequence[JobStatus]]) -> None:
        """Ask for the tasks of jobs of which more have ended than have reported how."""
        asked = 0
        for call_id, rounds in by_call.items():
            call = self._calls[call_id]
            for job in rounds:
                ended, events = job.counts.get("SUCCEEDED", 0), call.endings[job.name]
                before, tries = call.asked.get(job.name, (0, 0))
                tries = 0 if ended != before else tries
                if len(events) >= ended or tries >= EVENT_TRIES or asked >= MOST_EVENTS:
                    continue
                asked += 1
                call.asked[job.name] = ended, tries + 1
                try:
                    tasks = await self._batch.tasks(job.name, patience_seconds=PATIENCE_SECONDS)
                except CloudError as error:
                    logger.debug("the tasks of %s cannot be listed: %s", job.name, error)
                    continue
                for task in tasks:
                    texts = [event.description for event in task.events if ending_of(event.description)]
                    if texts and task.state == "SUCCEEDED":
                        events[task.index] = texts[-1]


def _key(job: JobStatus) -> str:
    """What a map's jobs have in common: their call, where it is known."""
    return job.labels.get(LABEL_CALL, job.name)


def _added(counts: ItemCounts | None, before: ItemCounts | None, total: int) -> ItemCounts | None:
    """Return the counts of a later job as those of the map: with what was done before it."""
    if counts is None or before is None or counts.total is None:
        return counts
    earlier = total - counts.total
    return replace(counts, total=total, done=counts.done + earlier, failed=counts.failed + before.failed)
