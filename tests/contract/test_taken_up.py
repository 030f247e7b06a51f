"""Calls of resumed dispatches: what an earlier dispatch's server left when it was killed is taken up, and removed."""

from __future__ import annotations

import asyncio
import platform
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest

from covalent_parallel_plugin.batch.cancellation import Cancellation, CancelledCall
from covalent_parallel_plugin.batch.deferred_deletion import DeferredDeletion
from covalent_parallel_plugin.batch.runner_archive import stage_runner
from covalent_parallel_plugin.batch.trace import TraceFile, read_trace, trace_path
from covalent_parallel_plugin.batch.trace_recorder import TraceRecorder
from covalent_parallel_plugin.cloud import Services
from covalent_parallel_plugin.cloud.batch import BatchApi, JobStatus, connect
from covalent_parallel_plugin.cloud.logging import LogReader
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.electron.call import Call, Map, earlier_identities, new_identity, with_sha256
from covalent_parallel_plugin.electron.earlier_calls import find_earlier
from covalent_parallel_plugin.electron.electron_job import electron_job, map_job, owner_of
from covalent_parallel_plugin.electron.electron_run import ElectronRun
from covalent_parallel_plugin.electron.map.map_run import MapRun
from covalent_parallel_plugin.electron.map.stored_map import continued
from covalent_parallel_plugin.electron.server_secret import ServerSecret
from covalent_parallel_plugin.electron.traceback_source import SourceText
from covalent_parallel_plugin.electron.verdict import Failure, Value
from covalent_parallel_plugin.emulator import Fault, Faults
from covalent_parallel_plugin.errors import NoCapacityError
from covalent_parallel_plugin.settings import Settings

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

# The tasks cannot import the tests
cloudpickle.register_pickle_by_value(sys.modules[__name__])

PARENT = "projects/local/locations/us-east1"
WAIT_SECONDS = 180.0


class Workflow:
    """One electron of a dispatch whose server is killed, and of the dispatches that continue it.

    Its function writes a line into the file `ran` as it begins, and waits for the file `go` before it ends.
    """

    def __init__(self, emulator: Emulator, store: ObjectStore, folder: Path) -> None:
        self.emulator = emulator
        self.address = emulator.environment["BATCH_EMULATOR_HOST"]
        self.store = store
        self.folder = folder
        self.settings = Settings(
            bucket_name="covalent", project_id="local", poll_freq=0.1, retries=1, max_parallel=1,
            cache_dir=str(folder / "cache"),
        )  # fmt: skip
        self.secret = ServerSecret.random()
        self.dispatches = [str(uuid.uuid4())]
        self.pickles: dict[str, bytes] = {}
        self.map: Map | None = None
        self.deletion: DeferredDeletion | None = None
        self.cancelled = Cancellation()
        self.batch: BatchApi
        # Until the latest dispatch ends
        self.aside: Callable[[], Awaitable[None]] | None = None

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        async def connected() -> Any:
            self.batch = BatchApi(connect(self.address), patience_seconds=5)
            try:
                return await work()
            finally:
                await self.batch.close()

        return asyncio.run(connected())

    def call_of(self, dispatch_id: str) -> Call:
        call = Call(dispatch_id, 3, "train", platform.python_version(), "0.240.0", map=self.map)
        call = replace(call, args=1) if self.map is not None else call
        position = self.dispatches.index(dispatch_id)
        return replace(with_sha256(call, self.pickles), lineage=tuple(reversed(self.dispatches[: position + 1])))

    def electron(self, function: Callable[[Path], Any]) -> None:
        folder = self.folder
        self.pickles = {"function": cloudpickle.dumps(lambda: function(folder))}

    def mapped(self, function: Callable[[Path, int], Any], items: int) -> None:
        folder = self.folder
        self.map = Map(items)
        self.pickles = {
            "function": cloudpickle.dumps(lambda item: function(folder, item)),
            "arg0": cloudpickle.dumps(range(items)),
        }

    async def send(self, number: int = 1, lost: Sequence[int] | None = None) -> str:
        """Stage and submit as the first dispatch's server did before it was killed; returns the job's name."""
        call = self.call_of(self.dispatches[0])
        identity = new_identity(call, (), self.secret)
        await stage_runner(self.store)
        self.store.put(identity.object_name, call.sealed(identity, self.pickles, ()))
        if call.map is None:
            job = electron_job(self.settings, call, identity)
        else:
            job = map_job(self.settings, call, identity, number - 1, lost)
        owner = owner_of(call, identity)
        name = owner.job_ids(number)[0]
        await self.batch.create(PARENT, job, name, str(uuid.uuid4()))
        return f"{PARENT}/jobs/{name}"

    async def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, "it did not come to this"
            await asyncio.sleep(0.05)

    async def until_state(self, name: str, *states: str) -> JobStatus:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            job = await self.batch.get(name)
            if job is not None and job.state in states:
                return job
            assert time.monotonic() < deadline, f"the job is {job}"
            await asyncio.sleep(0.05)

    async def until_gone(self, name: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            if await self.batch.get(name) is None:
                return
            assert time.monotonic() < deadline, "the job is not deleted"
            await asyncio.sleep(0.05)

    async def resume(self) -> Any:
        """Run the electron in another dispatch, which continues those before, as Covalent's server has it run."""
        self.dispatches.append(str(uuid.uuid4()))
        call = self.call_of(self.dispatches[-1])
        identity = new_identity(call, (), self.secret)
        services = Services(self.batch, self.store, LogReader.shared("local"))
        identities = earlier_identities(call, (), self.secret)
        earlier = await find_earlier(call, identities, PARENT, services)
        if earlier.taken is not None:
            call, identity = earlier.taken.call, earlier.taken.identity
        trace = TraceRecorder(TraceFile(self.folder, self.dispatches[-1]), 3)
        trace.begin("train")

        async def source() -> SourceText:
            return SourceText()

        settings, cancelled, run = self.settings, self.cancelled, ElectronRun
        common = (services, cancelled, source, trace)
        runner: ElectronRun | MapRun
        if self.map is None:
            runner = run(call, identity, settings, *common, earlier, self.deletion)
        else:
            call, runs = continued(call, earlier.left, self.store, ())
            runner = MapRun(call, identity, settings, *common, runs, False, earlier, self.deletion)
        beside = asyncio.ensure_future(self.aside()) if self.aside is not None else None
        ended = await runner.run(dict(self.pickles))
        await trace.end(None)
        if beside is not None:
            await beside
        return ended

    def records(self) -> list[Mapping[str, Any]]:
        """What the trace of the latest dispatch has."""
        from covalent_parallel_plugin.batch.trace_writer import WRITER

        assert WRITER.flush(WAIT_SECONDS)
        return read_trace(trace_path(self.folder, self.dispatches[-1])).records

    def jobs(self) -> list[str]:
        """The ids of all jobs of all dispatches, without what stands for these."""

        async def listed() -> list[str]:
            ids = [job.name.rsplit("/", 1)[-1] for job in await self.batch.list(PARENT)]
            return sorted(
                name.replace(dispatch, str(index))
                for name in ids
                for index, dispatch in enumerate(self.dispatches)
                if dispatch in name
            )

        return list(self.run(listed))

    @property
    def left(self) -> list[str]:
        return [name for each in self.dispatches for name in self.store.names(f"covalent-parallel/{each}/")]

    @property
    def began(self) -> list[str]:
        ran = self.folder / "ran"
        return ran.read_text().split() if ran.exists() else []

    def go(self) -> None:
        (self.folder / "go").touch()


@pytest.fixture
def workflow(on_emulator: Emulator, store: ObjectStore, tmp_path: Path) -> Iterator[Workflow]:
    found = Workflow(on_emulator, store, tmp_path)
    yield found
    found.go()


def waits(folder: Path, item: int = 0) -> int:
    """Note the start, and end once there is a file `go`, or one of the item's own."""
    import time

    with (folder / "ran").open("a") as file:
        file.write(f"{item}\n")
    print("began", item, flush=True)
    until = time.monotonic() + 180
    while time.monotonic() < until and not ((folder / "go").exists() or (folder / f"go-{item}").exists()):
        time.sleep(0.02)
    return item * item + 7


def fails_first(folder: Path) -> int:
    with (folder / "ran").open("a") as file:
        file.write("0\n")
    if len((folder / "ran").read_text()) == 2:
        raise ValueError("the first time")
    return 7


def value_of(ended: Any) -> Any:
    assert isinstance(ended, Value), ended
    return cloudpickle.loads(ended.outcome.pickle)


def test_a_job_that_runs_is_gone_on_with_and_nothing_is_left(
    workflow: Workflow, caplog: pytest.LogCaptureFixture
) -> None:
    workflow.electron(waits)

    async def work() -> Any:
        job = await workflow.send()
        await workflow.until_state(job, "RUNNING")
        await workflow.until(lambda: workflow.began == ["0"])
        workflow.go()
        return await workflow.resume()

    ended = workflow.run(work)
    assert value_of(ended) == 7 and ended.outcome.stdout == "began 0\n"
    assert workflow.began == ["0"] and workflow.jobs() == ["covalent-0-3"] and workflow.left == []
    first, second = workflow.dispatches
    told = f"electron 'train' (node 3 of dispatch {second}): taken up again, its job covalent-{first}-3 is RUNNING"
    assert told in caplog.text
    submitted, attempt, *_ = workflow.records()
    assert submitted["kind"] == "submitted" and submitted["taken_up"] and submitted["round"] == 0
    assert submitted["job"] == f"{PARENT}/jobs/covalent-{first}-3" and submitted["node"] == 3
    assert attempt["kind"] == "attempt" and attempt["end"] == "value"
    times = [attempt["t"][name] for name in ("submitted", "scheduled", "running", "ran_from", "ran_to", "collected")]
    assert times == sorted(times) and times[0] == submitted["t"]["submitted"]


@pytest.mark.parametrize("job_is", ["there", "deleted"])
def test_a_value_that_is_there_is_collected_without_a_job(workflow: Workflow, job_is: str) -> None:
    workflow.electron(waits)
    workflow.go()

    async def work() -> Any:
        job = await workflow.send()
        await workflow.until_state(job, "SUCCEEDED")
        if job_is == "deleted":
            await workflow.batch.delete(job)
            await workflow.until_gone(job)
        return await workflow.resume()

    assert value_of(workflow.run(work)) == 7
    assert workflow.began == ["0"] and workflow.left == []
    assert workflow.jobs() == (["covalent-0-3"] if job_is == "there" else [])
    assert workflow.records()[0]["taken_up"]


@pytest.mark.parametrize("end", ["raised", "cancelled", "its outcome was deleted", "its outcome was replaced"])
def test_a_job_without_a_value_runs_anew_and_nothing_is_left(workflow: Workflow, end: str) -> None:
    workflow.electron(fails_first if end == "raised" else waits)
    if end != "cancelled":
        workflow.go()

    async def work() -> Any:
        job = await workflow.send()
        if end == "cancelled":
            await workflow.until(lambda: workflow.began == ["0"])
            await workflow.batch.cancel(job)

            async def go_on() -> None:
                await workflow.until_state(job, "CANCELLED")
                workflow.go()

            workflow.aside = go_on
            return await workflow.resume()
        await workflow.until_state(job, "SUCCEEDED", "FAILED")
        outcome = next((name for name in workflow.left if name.endswith("/outcome-0")), None)
        if end.startswith("its outcome was"):
            assert outcome is not None and workflow.store.delete(outcome)
        if end.endswith("replaced") and outcome is not None:
            workflow.store.put(outcome, b"a value of somebody else's, which nobody sealed for this call" * 9)
        return await workflow.resume()

    assert value_of(workflow.run(work)) == 7
    assert workflow.began == ["0", "0"] and workflow.left == []
    assert workflow.jobs() == ["covalent-0-3", "covalent-1-3"]
    assert "taken_up" not in workflow.records()[0]


@pytest.mark.parametrize("items", [0, 2])
def test_a_job_that_was_called_with_something_else_is_ended_and_the_electron_runs_anew(
    workflow: Workflow, items: int
) -> None:
    send: Callable[[Callable[..., Any]], None] = workflow.electron
    if items:
        send = partial(workflow.mapped, items=items)
    send(waits)

    async def go_on() -> None:
        await workflow.until_state(job, "CANCELLED", "FAILED")
        workflow.go()

    async def work() -> Any:
        nonlocal job
        job = await workflow.send()
        await workflow.until(lambda: workflow.began == ["0"])
        send(lambda *given: waits(*given) + 1)
        workflow.aside = go_on
        return await workflow.resume()

    job = ""
    assert value_of(workflow.run(work)) == ([8, 9] if items else 8)
    assert workflow.jobs() == ["covalent-0-3", "covalent-1-3"] and workflow.left == []


def test_after_two_kills_in_a_row_the_first_dispatch_s_second_job_is_gone_on_with(workflow: Workflow) -> None:
    workflow.electron(waits)

    async def work() -> Any:
        first = await workflow.send()
        await workflow.until(lambda: workflow.began == ["0"])
        await workflow.batch.cancel(first)
        await workflow.until_state(first, "CANCELLED")
        # As after `spot_fallback`
        await workflow.send(2)
        await workflow.until(lambda: workflow.began == ["0", "0"])
        # Of a dispatch in between whose server died before it had looked for anything
        workflow.dispatches.append(str(uuid.uuid4()))
        workflow.go()
        return await workflow.resume()

    assert value_of(workflow.run(work)) == 7
    assert workflow.began == ["0", "0"] and workflow.left == []
    first, second = workflow.jobs()
    assert first == "covalent-0-3" and second.startswith("covalent-0-3r") and second.endswith("2")
    assert workflow.records()[0]["round"] == 1


def test_a_cancellation_ends_the_earlier_dispatch_s_job(workflow: Workflow) -> None:
    workflow.electron(waits)

    async def cancel() -> None:
        await asyncio.sleep(0)
        workflow.cancelled.set()

    workflow.aside = cancel

    async def work() -> Any:
        job = await workflow.send()
        await workflow.until(lambda: workflow.began == ["0"])
        with pytest.raises(CancelledCall):
            await workflow.resume()
        return await workflow.until_state(job, "CANCELLED", "FAILED")

    assert workflow.run(work)
    assert workflow.jobs() == ["covalent-0-3"] and workflow.left == []


def test_the_time_in_the_queue_goes_on(workflow: Workflow) -> None:
    """It waited for longer than the limit before its server was killed."""
    workflow.electron(waits)
    workflow.emulator.faults.set(Faults((Fault("job.no_capacity"),)))

    async def work() -> Any:
        job = await workflow.send()
        status = await workflow.until_state(job, "QUEUED", "SCHEDULED")
        await workflow.until(lambda: time.time() > status.created_seconds + 2)
        workflow.settings = replace(workflow.settings, queue_limit=2.0)
        return await workflow.resume()

    try:
        ended = workflow.run(work)
    finally:
        workflow.emulator.faults.set(Faults())
    assert isinstance(ended, Failure) and isinstance(ended.error, NoCapacityError)
    assert workflow.began == [] and workflow.jobs() == ["covalent-0-3"] and workflow.left == []


VALUES = [item * item + 7 for item in range(6)]


def test_a_map_s_job_that_runs_is_gone_on_with(workflow: Workflow) -> None:
    workflow.mapped(waits, 6)

    async def work() -> Any:
        await workflow.send()
        await workflow.until(lambda: workflow.began == ["0"])
        workflow.go()
        return await workflow.resume()

    ended = workflow.run(work)
    assert value_of(ended) == VALUES
    assert sorted(workflow.began) == list("012345") and workflow.left == []
    assert workflow.jobs() == ["covalent-0-3"]
    assert ended.outcome.stdout.endswith("began 5\n6 items: 6 returned; 1 task\n")
    submitted, *others = workflow.records()
    assert submitted["taken_up"] and submitted["tasks"] == 1 and submitted["items"] == 6
    assert sorted(index for each in others if each["kind"] == "items" for index in each["index"]) == list(range(6))


def test_a_map_that_ended_needs_no_job(workflow: Workflow) -> None:
    workflow.mapped(waits, 6)
    workflow.go()

    async def work() -> Any:
        job = await workflow.send()
        await workflow.until_state(job, "SUCCEEDED")
        return await workflow.resume()

    ended = workflow.run(work)
    assert value_of(ended) == VALUES and "began 5\n" in ended.outcome.stdout
    assert sorted(workflow.began) == list("012345") and workflow.jobs() == ["covalent-0-3"] and workflow.left == []


async def cancelled_after_its_first_item(workflow: Workflow) -> None:
    """Send a map's job, and have it cancelled while its second item runs."""
    (workflow.folder / "go-0").touch()
    job = await workflow.send()
    await workflow.until(lambda: workflow.began == ["0", "1"])
    await workflow.batch.cancel(job)
    await workflow.until_state(job, "CANCELLED")


def test_only_what_a_map_s_cancelled_job_did_not_deliver_runs_anew(workflow: Workflow) -> None:
    workflow.mapped(waits, 6)

    async def work() -> Any:
        await cancelled_after_its_first_item(workflow)
        workflow.go()
        return await workflow.resume()

    ended = workflow.run(work)
    assert value_of(ended) == VALUES
    assert workflow.began.count("0") == 1 and set(workflow.began) == set("012345")
    assert ended.outcome.stdout.endswith("6 items: 6 returned, 1 of them in an earlier run; 1 task\n")
    assert workflow.jobs() == ["covalent-0-3", "covalent-1-3"] and workflow.left == []


def test_a_map_s_second_job_is_gone_on_with_after_what_the_first_one_delivered(workflow: Workflow) -> None:
    workflow.mapped(waits, 6)

    async def work() -> Any:
        await cancelled_after_its_first_item(workflow)
        await workflow.send(2, [1, 2, 3, 4, 5])
        await workflow.until(lambda: workflow.began == ["0", "1", "1"])
        workflow.go()
        return await workflow.resume()

    ended = workflow.run(work)
    assert value_of(ended) == VALUES and workflow.left == []
    assert workflow.began.count("0") == 1 and len(workflow.jobs()) == 2
    assert ended.outcome.stdout.splitlines()[-1].startswith("6 items: 6 returned; 2 tasks in 2 jobs")
    assert workflow.records()[0]["round"] == 1 and workflow.records()[0]["items"] == 5


def test_what_returned_stays_until_its_value_may_be_stored(workflow: Workflow) -> None:
    """A server that is killed in between loses nothing: another dispatch finds the value again."""
    workflow.electron(waits)
    workflow.go()
    workflow.deletion = DeferredDeletion(seconds=600.0)

    async def work() -> Any:
        await workflow.until_state(await workflow.send(), "SUCCEEDED")
        first = value_of(await workflow.resume())
        stayed = [name.rsplit("/", 1)[-1] for name in workflow.left]
        again = value_of(await workflow.resume())
        return first, again, stayed

    first, again, stayed = workflow.run(work)
    assert first == again == 7 and {"call", "outcome-0"} <= set(stayed)
    assert workflow.began == ["0"] and workflow.jobs() == ["covalent-0-3"]
    assert workflow.left
    assert workflow.deletion.flush(WAIT_SECONDS) and workflow.left == []


def test_what_did_not_return_is_deleted_at_once(workflow: Workflow) -> None:
    workflow.electron(fails_first)
    workflow.deletion = DeferredDeletion(seconds=600.0)
    ended = workflow.run(workflow.resume)
    assert isinstance(ended, Failure) and workflow.left == [] and not workflow.deletion.is_waiting
