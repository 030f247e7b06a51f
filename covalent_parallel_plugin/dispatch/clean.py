"""What a crashed server left behind: this package's unfinished jobs and staged objects, found and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ..cloud import Services
from ..cloud.batch import JobStatus
from ..cloud.pool import in_pool
from ..cloud.storage import StoredObject
from ..errors import CloudError
from . import jobspec
from .call import PREFIX, is_plain_id

# Removed at once; more would only queue in the package's threads
REMOVALS_AT_ONCE = 16


@dataclass(frozen=True)
class Leftovers:
    """Jobs that have not ended and objects, all of them this package's and older than asked."""

    jobs: Sequence[JobStatus]
    objects: Sequence[StoredObject]

    @property
    def size(self) -> int:
        """Bytes in all objects."""
        return sum(stored.size for stored in self.objects)


async def find(
    services: Services, parent: str, older_than_seconds: float, now: float, dispatch_id: str | None = None
) -> Leftovers:
    """What is left under a project and region and in the bucket, of one dispatch or of all.

    Only jobs with this package's own label count, and only objects under its prefix whose folder is a dispatch's; the
    runner's archives stay, since a running server counts on them.

    Raises:
        ValueError: an id that no dispatch has.
        CloudError: Google refused, or could not be reached.
    """
    if dispatch_id is not None and not is_plain_id(dispatch_id):
        raise ValueError(f"{dispatch_id!r} is no dispatch id")
    before = now - older_than_seconds
    wanted = {jobspec.LABEL_OWNER: jobspec.OWNER}
    if dispatch_id is not None:
        wanted[jobspec.LABEL_DISPATCH] = jobspec.label(dispatch_id)
    listed = await services.batch.list(
        parent, " AND ".join(f'labels."{key}"="{value}"' for key, value in wanted.items())
    )
    jobs = [
        job
        for job in listed
        if not job.is_terminal
        and job.created_seconds <= before
        and all(job.labels.get(key) == value for key, value in wanted.items())
    ]
    prefix = f"{PREFIX}/{dispatch_id}/" if dispatch_id is not None else f"{PREFIX}/"
    stored = await in_pool(services.objects.list, prefix)
    objects = [found for found in stored if found.created_seconds <= before and _is_of_a_call(found.name)]
    return Leftovers(jobs, objects)


async def remove(services: Services, leftovers: Leftovers) -> list[str]:
    """Cancel the jobs, then delete the objects; returns what could not be done, a sentence each."""
    problems: list[str] = []
    gate = asyncio.Semaphore(REMOVALS_AT_ONCE)

    async def cancel(job: JobStatus) -> None:
        async with gate:
            try:
                await services.batch.cancel(job.name)
            except CloudError as error:
                problems.append(str(error))

    async def delete(stored: StoredObject) -> None:
        async with gate:
            try:
                await in_pool(services.objects.delete, stored.name)
            except CloudError as error:
                problems.append(str(error))

    await asyncio.gather(*(cancel(job) for job in leftovers.jobs))
    await asyncio.gather(*(delete(stored) for stored in leftovers.objects))
    return problems


def _is_of_a_call(name: str) -> bool:
    """Whether an object lies where calls do: PREFIX/dispatch/node/call/..."""
    parts = name.split("/")
    return len(parts) >= 5 and parts[0] == PREFIX and is_plain_id(parts[1]) and parts[2].lstrip("-").isdigit()
