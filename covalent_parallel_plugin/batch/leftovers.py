"""What a crashed server left behind: this package's unfinished jobs and staged objects, found and removed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain

from ..cloud import Services
from ..cloud.batch import JobStatus
from ..cloud.interfaces import JobService
from ..cloud.storage import StoredObject
from ..cloud.threads import run_in_thread
from ..errors import CloudError
from ..protocol.object_names import PREFIX, ObjectName, is_modules_name, parse_name
from . import job_names

# Removed at once; more would only queue in the package's threads
REMOVALS_AT_ONCE = 16
# How long cancelled jobs are waited for, so that none writes after its objects are deleted
CANCEL_SECONDS = 30.0
CANCEL_PAUSE_SECONDS = 1.0
# After its job was ended, a task's last write may still be on its way
LATE_WRITE_SECONDS = 2.0
# Jobs that a call makes, one after the other: the first, of a map as many more as `retries` may be (Batch's limit is
# 10), and with `spot_fallback` another
MOST_JOBS = 12


@dataclass(frozen=True)
class Leftovers:
    """Jobs that have not ended and objects, all of them this package's and older than asked."""

    jobs: Sequence[JobStatus]
    objects: Sequence[StoredObject]

    @property
    def size(self) -> int:
        """Bytes in all objects."""
        return sum(stored.size for stored in self.objects)


async def unfinished_jobs(
    batch: JobService, parent: str, dispatch_id: str | None = None, patience_seconds: float | None = None
) -> list[JobStatus]:
    """The jobs under a project and region that have this package's label and have not ended, of one dispatch or of all.

    Raises:
        CloudError: Google refused, or could not be reached.
    """
    wanted = {job_names.LABEL_OWNER: job_names.OWNER}
    if dispatch_id is not None:
        wanted[job_names.LABEL_DISPATCH] = job_names.label_value(dispatch_id)
    labels = " AND ".join(f'labels."{key}"="{value}"' for key, value in wanted.items())
    return [
        job
        for job in await batch.list(parent, labels, patience_seconds)
        if not job.is_terminal
        # a sweep's are its own commands' to end
        and job_names.LABEL_SWEEP not in job.labels
        and all(job.labels.get(key) == value for key, value in wanted.items())
        and (dispatch_id is None or _is_of_dispatch(job, dispatch_id))
    ]


async def find_leftovers(
    services: Services, parent: str, older_than_seconds: float, now: float, dispatch_id: str | None = None
) -> Leftovers:
    """What is left under a project and region and in the bucket, of one dispatch or of all.

    Only jobs with this package's own label count, and only objects under its prefix that have the name of a call's, and
    whose call has no younger job (as after `spot_fallback`), or of own modules, which belong to no dispatch. The
    runner's archives stay, since a running server counts on them. Minus infinity is an age that everything has.

    Raises:
        ValueError: an id that no dispatch has.
        CloudError: Google refused, or could not be reached.
    """
    if dispatch_id is not None and not job_names.is_plain_id(dispatch_id):
        raise ValueError(f"{dispatch_id!r} is not a valid dispatch id")
    before = now - older_than_seconds
    ours = await unfinished_jobs(services.batch, parent, dispatch_id)
    jobs = [job for job in ours if job.created_seconds <= before]
    younger = {job.labels.get(job_names.LABEL_CALL) for job in ours} - {
        job.labels.get(job_names.LABEL_CALL) for job in jobs
    }
    prefix = f"{PREFIX}/{dispatch_id}/" if dispatch_id is not None else f"{PREFIX}/"
    stored = await run_in_thread(services.objects.list, prefix)
    objects = [
        found
        for found in stored
        if found.created_seconds <= before
        and (
            is_modules_name(found.name)
            or ((name := parse_name(found.name)) is not None and name.call_id not in younger)
        )
    ]
    return Leftovers(jobs, objects)


def without_nodes(leftovers: Leftovers, nodes: Collection[int]) -> Leftovers:
    """Return those of a dispatch without these nodes' jobs and objects."""
    names = [(stored, parse_name(stored.name)) for stored in leftovers.objects]
    return Leftovers(
        [job for job in leftovers.jobs if job.labels.get(job_names.LABEL_NODE) not in set(map(str, nodes))],
        [stored for stored, name in names if name is None or name.node_id not in nodes],
    )


async def delete_leftovers(services: Services, leftovers: Leftovers) -> list[str]:
    """Cancel the jobs, wait for their end, then delete the objects, those too that a job's end has added.

    Returns:
        What could not be done, a sentence each; none if all of it is gone.
    """
    problems: list[str] = []
    gate = asyncio.Semaphore(REMOVALS_AT_ONCE)

    async def cancel(job: JobStatus) -> None:
        async with gate:
            try:
                await services.batch.cancel(job.name)
                if not await _has_ended(services, job.name):
                    problems.append(f"the job {job.name} is cancelled, and has not ended yet: clean up again later")
            except CloudError as error:
                problems.append(str(error))

    async def names_in(folder: str) -> list[str]:
        async with gate:
            try:
                return [name for name in await run_in_thread(services.objects.names, f"{folder}/") if parse_name(name)]
            except CloudError as error:
                problems.append(str(error))
                return []

    async def delete(name: str) -> None:
        async with gate:
            try:
                await run_in_thread(services.objects.delete, name)
            except CloudError as error:
                problems.append(str(error))

    await asyncio.gather(*(cancel(job) for job in leftovers.jobs))
    names = {stored.name for stored in leftovers.objects}
    cancelled = {job.labels.get(job_names.LABEL_CALL) for job in leftovers.jobs}
    calls: list[ObjectName] = [name for name in map(parse_name, names) if name is not None]
    folders = {name.folder for name in calls if name.call_id in cancelled}
    asked: set[str] = set()
    # What was writing when its job was ended may come too late for the first time.
    for pause in (0.0, LATE_WRITE_SECONDS) if folders else (0.0,):
        await asyncio.sleep(pause)
        for added in await asyncio.gather(*(names_in(folder) for folder in folders)):
            names.update(added)
        await asyncio.gather(*(delete(name) for name in sorted(names)))
        asked |= names
        names = set()
    try:
        # Each dispatch once, however many calls it has
        prefixes = {"/".join(name.split("/", 2)[:2]) + "/" for name in asked}
        there = [await run_in_thread(services.objects.names, prefix) for prefix in sorted(prefixes)]
    except CloudError as error:
        return [*problems, f"whether the objects are gone could not be checked: {error}"]
    left = sorted(asked.intersection(chain.from_iterable(there)))
    return problems + [f"gs://{services.objects.bucket_name}/{name} is still there" for name in left]


async def _has_ended(services: Services, job_name: str) -> bool:
    until = time.monotonic() + CANCEL_SECONDS
    while time.monotonic() < until:
        job = await services.batch.get(job_name)
        if job is None or job.is_terminal:
            return True
        await asyncio.sleep(CANCEL_PAUSE_SECONDS)
    return False


def _is_of_dispatch(job: JobStatus, dispatch_id: str) -> bool:
    """Whether a job has one of the names that belong to a node of this dispatch: labels of two may be the same."""
    node = job.labels.get(job_names.LABEL_NODE, "")
    if re.fullmatch(r"-?[0-9]+", node) is None:
        return False
    call_id = job.labels.get(job_names.LABEL_CALL, "")
    numbers = range(1, MOST_JOBS + 1)
    own = {job_names.job_id_for(dispatch_id, int(node), job_names.retry_suffix(call_id, each)) for each in numbers}
    cached = {job_names.cached_job_id(call_id, each) for each in numbers}
    return job.name.rsplit("/", 1)[-1] in {job_names.job_id_for(dispatch_id, int(node)), *own, *cached}
