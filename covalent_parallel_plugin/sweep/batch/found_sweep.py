"""A sweep as its jobs on Batch describe it: for a machine that has nothing but its name, the bucket and the jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...batch.job_names import LABEL_SWEEP, LABEL_SWEEP_ID, label_value
from ...cloud import shared_services
from ...cloud.batch import JobStatus
from ...cloud.interfaces import Bucket, JobService
from ...errors import OutcomeError
from ...protocol.envelope import WireError
from ...protocol.environment import ENV_CALL_ID, ENV_FOLDER, ENV_KEY, ENV_ROUND
from ...protocol.sweep_identity import SweepIdentity
from ...protocol.sweep_objects import sweep_folder
from ...settings import Settings
from .setup import Json, read_setup
from .shards import ShardTask, read_shards
from .task_output import RoundTask


@dataclass(frozen=True)
class FoundJob:
    """The job of one of a sweep's rounds."""

    round: int
    status: JobStatus


@dataclass(frozen=True)
class FoundSweep:
    """A sweep that Batch knows.

    Attributes:
        identity: of the newest of its jobs.
        jobs: that have this identity, in the order of their rounds.
        unused: a sentence for each job of this name that cannot be used.
    """

    identity: SweepIdentity
    jobs: Sequence[FoundJob]
    unused: Sequence[str] = ()


def find_on_batch(name: str, settings: Settings) -> FoundSweep | None:
    """Ask Batch for the jobs of a sweep; None if it has none that this version can use.

    Raises:
        CloudError: Batch refused, or could not be reached.
    """

    async def find() -> FoundSweep | None:
        services = shared_services(settings.project_id, settings.bucket_name)
        try:
            return await find_sweep(services.batch, settings, name)
        finally:
            await services.batch.close()

    return asyncio.run(find())


async def find_sweep(batch: JobService, settings: Settings, name: str) -> FoundSweep | None:
    """Ask Batch for the jobs of a sweep, as `find_on_batch` does, within an event loop."""
    label = label_value(name)
    listed = await batch.list(settings.parent, f'labels."{LABEL_SWEEP}"="{label}"')
    newest_first = sorted(
        (job for job in listed if job.labels.get(LABEL_SWEEP) == label),
        key=lambda job: job.created_seconds,
        reverse=True,
    )
    identity: SweepIdentity | None = None
    jobs, unused = [], []
    for job in newest_first:
        if identity is not None and job.labels.get(LABEL_SWEEP_ID) != label_value(identity.sweep_id):
            unused.append(f"the job {job.name} is of another sweep called {name!r}, which was run in another folder")
            continue
        found = _read_variables(name, await batch.variables(job.name) or {})
        if found is None:
            unused.append(f"the job {job.name} was made by another version of this package: it is not used")
            continue
        identity = found[0] if identity is None else identity
        jobs.append(FoundJob(found[1], job))
    if identity is None:
        return None
    return FoundSweep(identity, sorted(jobs, key=lambda job: job.round), unused)


@dataclass(frozen=True)
class FoundRound:
    """What a round was given.

    Attributes:
        setup: its document.
        bundle: how many of its tasks one task of its job runs.
    """

    setup: Json
    bundle: int
    tasks: Sequence[ShardTask]


def find_setup(store: Bucket, identity: SweepIdentity, round: int) -> Json | None:
    """Return the document of a round's setup; None if it is gone from the bucket.

    Raises:
        OutcomeError: what is there is not this sweep's.
            CloudError: the bucket cannot be used.
    """
    try:
        return read_setup(store, identity, round)
    except WireError as error:
        raise OutcomeError(f"the setup of round {round} in gs://{store.bucket_name} is refused: {error}") from error


def find_round(store: Bucket, identity: SweepIdentity, round: int) -> FoundRound | None:
    """Return what a round was given; None if its setup is gone from the bucket. Raises as `find_setup`."""
    setup = find_setup(store, identity, round)
    if setup is None:
        return None
    tasks = list(read_shards(store, identity, round, setup["total"], setup["shard_size"]))
    return FoundRound(setup, setup["bundle"], tasks)


def find_task(
    store: Bucket, identity: SweepIdentity, rounds: Iterable[int], is_wanted: Callable[[ShardTask], bool]
) -> RoundTask | list[str]:
    """Look for a task in rounds, one after the other; return the names of all of their tasks where it is in none.

    Raises:
        OutcomeError: what is there is not this sweep's.
            CloudError: the bucket cannot be used.
    """
    names: dict[str, None] = {}
    for number in rounds:
        found = find_round(store, identity, number)
        for position, task in enumerate(found.tasks if found is not None else ()):
            assert found is not None  # it has tasks
            if is_wanted(task):
                limit = int(found.setup["log_limit"])
                address = identity.task(number, task.index)
                return RoundTask(address, task.name, task.key, position // found.bundle, limit)
            names[task.name] = None
    return list(names)


def _read_variables(name: str, variables: Mapping[str, str]) -> tuple[SweepIdentity, int] | None:
    """Return the identity and the round in a job's variables, None if another version has made them."""
    try:
        sweep_id, folder = variables[ENV_CALL_ID], variables[ENV_FOLDER]
        identity = SweepIdentity(sweep_id, bytes.fromhex(variables[ENV_KEY]), folder)
        round = int(variables[ENV_ROUND])
    except (KeyError, ValueError):
        return None
    return (identity, round) if folder == sweep_folder(name, sweep_id) else None
