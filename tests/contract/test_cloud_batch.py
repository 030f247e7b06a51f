"""cloud/batch.py through Google's client, in fair weather and in foul."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import pytest
from google.cloud import batch_v1

from covalent_parallel_plugin.cloud.batch import AlreadyExistsError, BatchApi, JobStatus, connect
from covalent_parallel_plugin.errors import CloudError, PermissionDeniedError, UnavailableError

if TYPE_CHECKING:
    from conftest import BatchProxy, Fault

    from covalent_parallel_plugin.emulator import Emulator

T = TypeVar("T")
PARENT = "projects/local/locations/us-east1"
TRANSIENT = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL"]


def job(text: str = "exit 0", **labels: str) -> batch_v1.Job:
    task = batch_v1.TaskSpec(runnables=[batch_v1.Runnable(script=batch_v1.Runnable.Script(text=text))])
    return batch_v1.Job(task_groups=[batch_v1.TaskGroup(task_spec=task)], labels=labels)


def new_id() -> str:
    return f"job-{uuid.uuid4()}"


def on(address: str, use: Callable[[BatchApi], Awaitable[T]], patience_seconds: float = 30) -> T:
    async def run() -> T:
        batch = BatchApi(connect(address), patience_seconds)
        try:
            return await use(batch)
        finally:
            await batch.close()

    return asyncio.run(run())


@pytest.fixture
def address(emulator: Emulator) -> str:
    return emulator.environment["BATCH_EMULATOR_HOST"]


async def create(batch: BatchApi, text: str = "exit 0", **labels: str) -> JobStatus:
    return await batch.create(PARENT, job(text, **labels), new_id(), str(uuid.uuid4()))


async def until_ended(batch: BatchApi, name: str) -> JobStatus:
    for _ in range(1200):
        status = await batch.get(name)
        if status is not None and status.is_terminal:
            return status
        await asyncio.sleep(0.1)
    pytest.fail(f"{name} has not ended")


def test_a_created_job_is_found_with_its_labels(address: str) -> None:
    async def use(batch: BatchApi) -> JobStatus | None:
        return await batch.get((await create(batch, team="blue")).name)

    found = on(address, use)
    assert found is not None
    assert found.labels["team"] == "blue"
    assert found.uid


def test_looks_ask_for_what_is_read_of_a_job_and_not_for_its_definition(proxy: BatchProxy) -> None:
    async def use(batch: BatchApi) -> tuple[JobStatus | None, list[JobStatus]]:
        made = await create(batch, team="blue")
        await until_ended(batch, made.name)
        await batch.task(made.name)
        return await batch.get(made.name), await batch.list(PARENT, f'name="{made.name}"')

    found, listed = on(proxy.address, use)
    assert found is not None and found.is_terminal and found.labels["team"] == "blue" and found.counts
    assert found in listed
    assert proxy.masks
    assert not any("task_groups" in mask for mask in proxy.masks)


def test_a_batch_that_knows_no_field_masks_is_asked_without_them(proxy: BatchProxy, fault: type[Fault]) -> None:
    proxy.faults = [fault("GetJob", grpc.StatusCode.INVALID_ARGUMENT)]

    async def use(batch: BatchApi) -> list[JobStatus | None]:
        made = await create(batch)
        return [await batch.get(made.name) for _ in range(3)]

    assert all(on(proxy.address, use))
    assert len(proxy.masks) == 1


def test_a_taken_id_is_told(address: str) -> None:
    async def use(batch: BatchApi) -> None:
        job_id = new_id()
        for _ in range(2):
            await batch.create(PARENT, job(), job_id, str(uuid.uuid4()))

    with pytest.raises(AlreadyExistsError):
        on(address, use)


def test_an_unknown_job_is_none(address: str) -> None:
    assert on(address, lambda batch: batch.get(f"{PARENT}/jobs/{new_id()}")) is None


def test_an_unknown_task_is_none(address: str) -> None:
    async def use(batch: BatchApi) -> Any:
        return await batch.task((await create(batch)).name, 7)

    assert on(address, use) is None


def test_a_failed_task_has_its_exit_code_and_events_in_order(address: str) -> None:
    async def use(batch: BatchApi) -> Any:
        ended = await until_ended(batch, (await create(batch, "exit 9")).name)
        return ended, await batch.task(ended.name)

    ended, task = on(address, use)
    assert (ended.state, task.state, task.exit_code) == ("FAILED", "FAILED", 9)
    assert ended.counts == {"FAILED": 1}
    seconds = [event.seconds for event in ended.events]
    assert seconds == sorted(seconds)


def test_all_tasks_of_a_job_are_listed_as_each_is_told_by_itself(address: str) -> None:
    async def use(batch: BatchApi) -> Any:
        made = job("exit $((BATCH_TASK_INDEX % 2))")
        made.task_groups[0].task_count = made.task_groups[0].parallelism = 12
        name = (await batch.create(PARENT, made, new_id(), str(uuid.uuid4()))).name
        await until_ended(batch, name)
        return await batch.tasks(name), [await batch.task(name, index) for index in range(12)]

    listed, alone = on(address, use)
    assert sorted(listed, key=lambda task: task.index) == alone
    assert [task.state for task in alone] == ["SUCCEEDED", "FAILED"] * 6


def test_an_unknown_job_has_no_tasks(address: str) -> None:
    assert on(address, lambda batch: batch.tasks(f"{PARENT}/jobs/{new_id()}")) == []


def test_all_pages_of_a_list_arrive_filtered(address: str) -> None:
    async def use(batch: BatchApi) -> tuple[set[str], set[str]]:
        team = new_id()
        made = await asyncio.gather(*(create(batch, team=team) for _ in range(12)))
        await create(batch, team="another")
        listed = await batch.list(PARENT, f'labels."team"="{team}"')
        return {status.name for status in made}, {status.name for status in listed}

    made, listed = on(address, use)
    assert made == listed


def test_cancelling_ends_a_job_once(address: str) -> None:
    async def use(batch: BatchApi) -> tuple[bool, JobStatus, bool]:
        name = (await create(batch, "sleep 60")).name
        first = await batch.cancel(name)
        return first, await until_ended(batch, name), await batch.cancel(name)

    first, ended, second = on(address, use)
    assert (first, ended.state, second) == (True, "CANCELLED", False)


def test_cancelling_or_deleting_what_is_not_there_is_false(address: str) -> None:
    async def use(batch: BatchApi) -> list[bool]:
        name = f"{PARENT}/jobs/{new_id()}"
        return [await batch.cancel(name), await batch.delete(name)]

    assert on(address, use) == [False, False]


def test_a_deleted_job_is_gone(address: str) -> None:
    async def use(batch: BatchApi) -> JobStatus | None:
        name = (await create(batch)).name
        await until_ended(batch, name)
        assert await batch.delete(name)
        for _ in range(600):
            if (status := await batch.get(name)) is None:
                break
            await asyncio.sleep(0.1)
        return status

    assert on(address, use) is None


@pytest.mark.parametrize("code", TRANSIENT)
def test_what_may_pass_is_tried_again_on_every_call_alike(proxy: BatchProxy, fault: type[Fault], code: str) -> None:
    methods = ["CreateJob", "GetJob", "ListJobs", "CancelJob", "DeleteJob", "GetTask"]
    proxy.faults = [fault(method, grpc.StatusCode[code], times=2) for method in methods]

    async def use(batch: BatchApi) -> list[Any]:
        name = (await create(batch, "sleep 60")).name
        return list(
            await asyncio.gather(
                batch.get(name), batch.list(PARENT), batch.cancel(name), batch.task(name), batch.delete(name)
            )
        )

    on(proxy.address, lambda batch: asyncio.wait_for(use(batch), 60))
    assert all(proxy.calls[method] >= 3 for method in methods), proxy.calls
    assert all(not left.times for left in proxy.faults)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("PERMISSION_DENIED", PermissionDeniedError), ("INVALID_ARGUMENT", CloudError), ("UNAVAILABLE", UnavailableError)],
)
def test_what_does_not_pass_is_this_packages_error(
    proxy: BatchProxy, fault: type[Fault], code: str, kind: type[CloudError]
) -> None:
    proxy.faults = [fault("CreateJob", grpc.StatusCode[code], times=1000)]
    with pytest.raises(kind, match="fails as it was told") as caught:
        on(proxy.address, create, patience_seconds=0.5)
    assert type(caught.value) is kind
    assert "create the job" in str(caught.value)


def test_a_server_that_is_not_there_is_unavailable(unused_address: str) -> None:
    with pytest.raises(UnavailableError):
        on(unused_address, lambda batch: batch.get(f"{PARENT}/jobs/x"), patience_seconds=0.5)


@pytest.fixture
def unused_address() -> str:
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{bound.getsockname()[1]}"
