"""Calls of `run()` against faults of the emulator: many at once, each with faults of its own, and what came of each."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from covalent._workflow.transportable_object import TransportableObject

from covalent_parallel_plugin import pmap
from covalent_parallel_plugin.cloud import batch as cloud_batch
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.covalent_api.graph_inputs import PickledValue
from covalent_parallel_plugin.emulator import Fault, Faults
from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor
from covalent_parallel_plugin.protocol.map_marker import items_label

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

# A hang shows as a TimeoutError instead of a verdict
CALL_SECONDS = 500.0
PROJECT = "local"
PREFIX = "covalent-parallel"


@dataclass(frozen=True)
class Case:
    """A call, what goes wrong, and what is to come of it.

    Attributes:
        function: what runs.
        items: those of a map, where `function` is one.
        faults: those of `rpc`, `attempt` and `job` strike this call's jobs only, those of `storage` only its objects.
        options: of the executor.
        value: what is returned, where `error` is None.
        error: the class that is raised.
        words: what its message has to hold.
        jobs: the states in which its jobs end, by their names.
        attempts: how often the last job's task ran; None if that may vary.
        left: the objects that stay, by their names in the call's folder.
    """

    function: Callable[..., Any]
    faults: Sequence[Fault] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    value: Any = 7
    error: type[Exception] | None = None
    words: Sequence[str] = ()
    jobs: Sequence[str] = ("SUCCEEDED",)
    attempts: int | None = None
    left: Sequence[str] = ()
    items: Sequence[Any] | None = None


@dataclass(frozen=True)
class Job:
    """A job as it is found after the call's end; `runs` counts how often its task began to run."""

    state: str
    labels: Mapping[str, str]
    runs: int


@dataclass(frozen=True)
class Ran:
    """What came of a call: a value or an error, its jobs, its objects that are left, how often each fault struck."""

    value: Any
    error: BaseException | None
    jobs: Sequence[Job]
    objects: Sequence[str]
    consumed: Sequence[int]

    @property
    def text(self) -> str:
        """The whole message."""
        return str(self.error)


@contextmanager
def environment_of(emulator: Emulator) -> Iterator[None]:
    """This process's clients find the emulator."""
    with pytest.MonkeyPatch.context() as patch:
        for name, address in emulator.environment.items():
            patch.setenv(name, address)
        yield


def run_cases(emulator: Emulator, bucket: str, cases: Mapping[str, Case], cache_dir: Path) -> dict[str, Ran]:
    """Run all of them at once; a case's name is part of its dispatch's id, so its faults find it."""
    ids = {name: f"{name}-{uuid.uuid4().hex[:8]}" for name in cases}
    faults = {
        name: [_own(fault, number, ids[name]) for number, fault in enumerate(case.faults)]
        for name, case in cases.items()
    }
    emulator.faults.set(Faults(tuple(fault for own in faults.values() for fault in own)))
    with environment_of(emulator):
        try:
            ended = asyncio.run(_run_all(cases, ids, bucket, cache_dir))
        finally:
            consumed = emulator.faults.consumed
            emulator.faults.set(Faults())
        projects = {case.options.get("project_id", PROJECT) for case in cases.values()}
        jobs = asyncio.run(_jobs(emulator.environment["BATCH_EMULATOR_HOST"], projects))
        names = ObjectStore.shared(PROJECT, bucket).names(f"{PREFIX}/")
    return {
        name: Ran(
            *ended[name],
            jobs=[job for job_id, job in jobs.items() if job_id.startswith(f"covalent-{ids[name]}-")],
            objects=[found for found in names if f"/{ids[name]}/" in found],
            consumed=[consumed[fault.name] for fault in faults[name]],
        )
        for name in cases
    }


def call(case: Case, bucket: str, cache_dir: Path, dispatch_id: str, node: int = 0) -> Any:
    """The coroutine of `run()`."""
    common = {
        "project_id": PROJECT,
        "bucket_name": bucket,
        "poll_freq": 0.2,
        "time_limit": 60,
        "cache_dir": str(cache_dir),
    }
    executor = GCPBatchExecutor(**common | dict(case.options))
    function, args = case.function, []
    if case.items is not None:
        function = pmap(case.function)._electron.electron_object.function
        args = [TransportableObject(PickledValue(list(case.items), items_label(len(case.items))))]
    return executor.run(function, args, {}, {"dispatch_id": dispatch_id, "node_id": node})


async def _run_all(
    cases: Mapping[str, Case], ids: Mapping[str, str], bucket: str, cache_dir: Path
) -> dict[str, tuple[Any, BaseException | None]]:
    async def one(name: str) -> tuple[Any, BaseException | None]:
        try:
            result = await asyncio.wait_for(call(cases[name], bucket, cache_dir, ids[name]), CALL_SECONDS)
        except Exception as error:
            return None, error
        return result.get_deserialized(), None

    return dict(zip(cases, await asyncio.gather(*map(one, cases)), strict=True))


async def _jobs(address: str, projects: Iterable[str]) -> dict[str, Job]:
    """All jobs of some projects by their ids, oldest first."""
    batch = cloud_batch.BatchApi(cloud_batch.connect(address))
    try:
        found = {}
        jobs = [job for project in projects for job in await batch.list(f"projects/{project}/locations/us-east1")]
        for job in sorted(jobs, key=lambda job: job.created_seconds):
            task = await batch.task(job.name)
            events = task.events if task is not None else ()
            runs = sum("to RUNNING" in event.description for event in events)
            found[job.name.rsplit("/", 1)[1]] = Job(job.state, job.labels, runs)
        return found
    finally:
        await batch.close()


def _own(fault: Fault, number: int, dispatch_id: str) -> Fault:
    """The fault, narrowed to one call."""
    name = f"{dispatch_id} {number}"
    if fault.family == "storage":
        return replace(fault, name=name, object=f"{PREFIX}/{dispatch_id}/{fault.object}")
    if fault.family == "logging":
        return replace(fault, name=name)
    return replace(fault, name=name, job=f"covalent-{dispatch_id}-*")


def struck(kind: str, **fields: object) -> Fault:
    """An attempt is struck."""
    return Fault(f"attempt.{kind}", **fields)  # type: ignore[arg-type]  # one of several types, by name


def refused(method: str, code: str, **fields: object) -> Fault:
    """A call of Batch is refused."""
    return Fault("rpc.error", method=method, code=code, **fields)  # type: ignore[arg-type]  # as above


def http(status: int, request: str, name: str, **fields: object) -> Fault:
    """A request to Cloud Storage is refused."""
    return Fault("storage.error", code=status, request=request, object=name, **fields)  # type: ignore[arg-type]  # as above
