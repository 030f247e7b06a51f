"""`run()` called without a Covalent server, on the emulator."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from covalent._shared_files.exceptions import TaskCancelledError, TaskRuntimeError
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor.utils.wrappers import wrapper_fn
from google.cloud import batch_v1

from covalent_parallel_plugin.batch.job_names import LABEL_DISPATCH, LABEL_NODE, LABEL_OWNER, OWNER, job_id_for
from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.covalent_api.private_configuration import private_environment
from covalent_parallel_plugin.emulator import Fault, Faults
from covalent_parallel_plugin.errors import (
    ElectronError,
    NoOutcomeError,
    RemoteTraceback,
    SettingsError,
    TaskKilledError,
)
from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor
from covalent_parallel_plugin.protocol.environment import ENV_LIVE

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

pytestmark = pytest.mark.usefixtures("services")


@pytest.fixture
def make_executor(cache_dir: Path) -> Callable[..., GCPBatchExecutor]:
    def make(**options: Any) -> GCPBatchExecutor:
        common = {"project_id": "local", "bucket_name": "covalent", "poll_freq": 0.1, "cache_dir": str(cache_dir)}
        return GCPBatchExecutor(**common | options)

    return make


def metadata(dispatch_id: str = "") -> dict[str, Any]:
    return {"dispatch_id": dispatch_id or str(uuid.uuid4()), "node_id": 0, "results_dir": "/nowhere"}


def run(executor: GCPBatchExecutor, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return asyncio.run(executor.run(function, list(args), kwargs, metadata()))


def test_a_plain_function_gives_a_transportable_object_of_its_value(
    make_executor: Callable[..., GCPBatchExecutor],
) -> None:
    result = run(make_executor(), lambda a, *, b: a + b, 1, b=2)
    assert isinstance(result, TransportableObject)
    assert result.get_deserialized() == 3


def test_two_hundred_megabytes_come_back(make_executor: Callable[..., GCPBatchExecutor], cache_dir: Path) -> None:
    result = run(make_executor(), lambda: bytes(range(256)) * (200 * 4096))
    digest = hashlib.sha256(result.get_deserialized()).hexdigest()
    assert digest == hashlib.sha256(bytes(range(256)) * (200 * 4096)).hexdigest()
    assert list(cache_dir.iterdir()) == []


def test_a_large_argument_leaves_nothing_in_cache_dir(
    make_executor: Callable[..., GCPBatchExecutor], cache_dir: Path
) -> None:
    assert run(make_executor(), len, b"x" * 9_000_000).get_deserialized() == 9_000_000
    assert list(cache_dir.iterdir()) == []


def test_a_builtin_exception_is_raised_as_itself_with_the_remote_traceback(
    make_executor: Callable[..., GCPBatchExecutor],
) -> None:
    def fails() -> None:
        raise KeyError("missing", 7)

    with pytest.raises(KeyError) as caught:
        run(make_executor(), fails)
    assert caught.value.args == ("missing", 7)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert 'raise KeyError("missing", 7)' in str(caught.value.__cause__)


def test_another_exception_is_raised_as_electron_error(make_executor: Callable[..., GCPBatchExecutor]) -> None:
    class ModelDiverged(Exception):
        pass

    def fails() -> None:
        raise ModelDiverged("after step 7")

    with pytest.raises(ElectronError, match=r"ModelDiverged: after step 7") as caught:
        run(make_executor(), fails)
    assert caught.value.message == "after step 7"


def test_a_death_is_a_task_killed_error(make_executor: Callable[..., GCPBatchExecutor]) -> None:
    with pytest.raises(TaskKilledError, match="exit status 3"):
        run(make_executor(), lambda: os._exit(3))


@pytest.mark.parametrize("variable", ["PYTHONHOME", "PYTHONIOENCODING"])
def test_a_python_that_cannot_start_is_reported_with_its_words(
    make_executor: Callable[..., GCPBatchExecutor], variable: str
) -> None:
    with pytest.raises(NoOutcomeError, match="its Python ended before") as caught:
        run(make_executor(environment={variable: "/nowhere"}), os.getpid)
    assert "such variables in `environment`" in str(caught.value)


def test_missing_options_are_refused_before_anything_is_uploaded(services: Emulator, cache_dir: Path) -> None:
    before = sum(services.request_counts.values())
    with pytest.raises(SettingsError) as caught:
        run(GCPBatchExecutor(cache_dir=str(cache_dir)), len, [])
    assert [mistake.split(" ")[0] for mistake in caught.value.mistakes] == ["bucket_name", "project_id"]
    assert sum(services.request_counts.values()) == before


def wrapped(function: Callable[..., Any]) -> Any:
    return partial(wrapper_fn, TransportableObject(function), [], [])


def executed(executor: GCPBatchExecutor, function: Any, args: list[Any], tmp_path: Path) -> Any:
    """As Covalent's server calls it."""

    async def execute() -> Any:
        executor._init_runtime()
        return await executor._execute(function, args, {}, str(uuid.uuid4()), str(tmp_path), 0)

    return asyncio.run(execute())


def test_the_servers_copies_of_the_inputs_are_blanked(
    make_executor: Callable[..., GCPBatchExecutor], tmp_path: Path
) -> None:
    function, argument = wrapped(len), TransportableObject("four")
    result, *_ = executed(make_executor(), function, [argument], tmp_path)
    assert result.get_deserialized() == 4
    assert (argument._object, argument._object_string) == ("", "")
    assert (function.args[0]._object, function.args[0]._object_string) == ("", "")


def test_a_direct_caller_keeps_the_inputs(make_executor: Callable[..., GCPBatchExecutor]) -> None:
    argument = TransportableObject("four")
    run(make_executor(), wrapped(len), argument)
    assert argument.get_deserialized() == "four"


def test_covalent_gets_task_runtime_error_and_both_streams(
    make_executor: Callable[..., GCPBatchExecutor], tmp_path: Path
) -> None:
    def fails() -> None:
        print("so far")
        raise ValueError("no")

    executor = make_executor()
    executor._task_stdout, executor._task_stderr = io.StringIO(), io.StringIO()
    with pytest.raises(TaskRuntimeError, match="no"):
        run(executor, fails)
    assert executor.task_stdout.getvalue() == "so far\n"
    assert "\nValueError: no\nJob: projects/" in executor.task_stderr.getvalue()


def test_what_a_killed_task_had_printed_precedes_the_message_that_it_was_killed(
    make_executor: Callable[..., GCPBatchExecutor],
    object_names: Callable[[], list[str]],
    left_of: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Supervisor and electron end at once, as where a container is killed or its machine is gone."""
    monkeypatch.setenv(ENV_LIVE, "0.01")
    supervisor = tmp_path / "supervisor"

    def prints(path: str) -> None:
        print("half done")
        print("with a warning", file=sys.stderr)
        Path(f"{path}.new").write_text(str(os.getppid()))
        Path(f"{path}.new").rename(path)
        time.sleep(60)

    task = metadata()
    executor = make_executor(retries=0)
    executor._task_stdout, executor._task_stderr = io.StringIO(), io.StringIO()

    def live_bytes() -> bytes:
        store, parts = ObjectStore.shared("local", "covalent"), []
        for name in object_names():
            if "/live/" in name and task["dispatch_id"] in name:
                parts.append(io.BytesIO())
                store.get(name, parts[-1])
        return b"".join(part.getvalue() for part in parts)

    async def kill() -> None:
        for _ in range(2400):
            delivered = await asyncio.to_thread(live_bytes)
            if b"half done\n" in delivered and b"with a warning\n" in delivered:
                break
            await asyncio.sleep(0.05)
        assert b"with a warning\n" in delivered
        os.killpg(os.getpgid(int(supervisor.read_text())), signal.SIGKILL)

    async def run_and_kill() -> None:
        await asyncio.gather(executor.run(prints, [str(supervisor)], {}, task), kill())

    with pytest.raises(TaskRuntimeError, match="exit code 137"):
        asyncio.run(run_and_kill())
    assert executor.task_stdout.getvalue() == "half done\n"
    assert executor.task_stderr.getvalue().startswith("with a warning\n")
    assert "exit code 137" in executor.task_stderr.getvalue()
    assert left_of(task["dispatch_id"]) == []


def test_a_node_cancelled_before_it_ran_uploads_nothing(
    make_executor: Callable[..., GCPBatchExecutor], services: Emulator
) -> None:
    task = metadata()
    before = sum(services.request_counts.values())

    async def cancel_and_run() -> None:
        assert await make_executor().cancel(task, None) is True
        await make_executor().run(len, [[]], {}, task)

    with pytest.raises(TaskCancelledError):
        asyncio.run(cancel_and_run())
    assert sum(services.request_counts.values()) == before


def test_the_jobs_of_a_dispatch_that_another_process_began_are_cancelled_with_one_list(
    make_executor: Callable[..., GCPBatchExecutor], services: Emulator, tmp_path: Path
) -> None:
    mine, other = metadata(), metadata()
    nodes = [mine | {"node_id": node} for node in range(3)]
    # Of a process that is killed nothing is left that could cancel, and its nodes are unknown here.
    code = f"""
import asyncio, time
from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor

async def run():
    executor = GCPBatchExecutor(project_id="local", bucket_name="covalent", poll_freq=0.1)
    await asyncio.gather(*(executor.run(time.sleep, [120], {{}}, task) for task in {[*nodes, other]!r}))

asyncio.run(run())
"""
    environment = private_environment(os.environ, tmp_path)
    killed = subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: all(job_state(services, task) for task in (*nodes, other)))
    finally:
        killed.kill()
        killed.wait()

    async def cancel_all() -> list[bool]:
        return await asyncio.gather(*(make_executor().cancel(task, None) for task in nodes[:2] for _ in range(20)))

    lists = services.rpc_counts.get("ListJobs", 0)
    assert asyncio.run(cancel_all()) == [True] * 40
    assert services.rpc_counts["ListJobs"] == lists + 1
    wait_until(lambda: [job_state(services, task) for task in nodes[:2]] == ["CANCELLED"] * 2)
    assert "CANCELLED" not in [job_state(services, task) for task in (nodes[2], other)]
    for task in (nodes[2], other):
        assert asyncio.run(make_executor().cancel(task, None)) is True
        wait_until(lambda task=task: job_state(services, task) == "CANCELLED")  # type: ignore[misc]


@pytest.mark.parametrize("method", ["ListJobs", "CancelJob"])
def test_a_job_of_another_process_that_cannot_be_cancelled_is_not_called_cancelled(
    make_executor: Callable[..., GCPBatchExecutor], services: Emulator, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    task = metadata()
    labels = {LABEL_OWNER: OWNER, LABEL_DISPATCH: task["dispatch_id"], LABEL_NODE: "0"}
    runnable = batch_v1.Runnable(script=batch_v1.Runnable.Script(text="sleep 120"))
    group = batch_v1.TaskGroup(task_spec=batch_v1.TaskSpec(runnables=[runnable]))
    job = batch_v1.Job(task_groups=[group], labels=labels)

    async def make_and_cancel() -> bool:
        batch = BatchApi(connect(services.environment["BATCH_EMULATOR_HOST"]))
        job_id = job_id_for(task["dispatch_id"], 0)
        await batch.create("projects/local/locations/us-east1", job, job_id, str(uuid.uuid4()))
        await batch.close()
        return await make_executor().cancel(task, None)

    services.faults.set(Faults((Fault("rpc.error", method=method, code="PERMISSION_DENIED"),)))
    try:
        assert asyncio.run(make_and_cancel()) is False
    finally:
        services.faults.set(Faults())
    assert f"`covalent-parallel clean --dispatch {task['dispatch_id']}` lists" in caplog.text
    assert asyncio.run(make_executor().cancel(task, None)) is True


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to this"
        time.sleep(0.2)


def job_state(services: Emulator, task: dict[str, Any]) -> str:
    async def asked() -> str:
        batch = BatchApi(connect(services.environment["BATCH_EMULATOR_HOST"]))
        try:
            job_id = job_id_for(task["dispatch_id"], task["node_id"])
            job = await batch.get(f"projects/local/locations/us-east1/jobs/{job_id}")
            return job.state if job is not None else ""
        finally:
            await batch.close()

    return asyncio.run(asked())


async def until_created(services: Emulator, before: int) -> None:
    for _ in range(1200):
        if services.rpc_counts.get("CreateJob", 0) > before:
            return
        await asyncio.sleep(0.05)
    pytest.fail("no job was made")


def test_a_cancelled_run_cancels_its_job_before_it_ends(
    make_executor: Callable[..., GCPBatchExecutor], services: Emulator, left_of: Callable[..., list[str]]
) -> None:
    task = metadata()
    created = services.rpc_counts.get("CreateJob", 0)
    cancels = services.rpc_counts.get("CancelJob", 0)

    async def stop_while_it_runs() -> None:
        running = asyncio.create_task(make_executor().run(time.sleep, [60], {}, task))
        await until_created(services, created)
        running.cancel()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stop_while_it_runs())
    assert services.rpc_counts["CancelJob"] == cancels + 1
    assert left_of(task["dispatch_id"]) == []


def test_a_cancelled_run_whose_clean_up_is_cancelled_as_well_cancels_its_job(
    make_executor: Callable[..., GCPBatchExecutor], services: Emulator, left_of: Callable[..., list[str]]
) -> None:
    task = metadata()
    created = services.rpc_counts.get("CreateJob", 0)

    async def stop_amid_the_clean_up() -> None:
        running = asyncio.create_task(make_executor().run(time.sleep, [60], {}, task))
        await until_created(services, created)
        # A server that stops does this: it has its electrons cancelled, and then their tasks.
        await make_executor().cancel(task, None)
        await asyncio.sleep(0.1)
        running.cancel()
        await running

    services.faults.set(Faults((Fault("rpc.latency", method="CancelJob", seconds=3),)))
    try:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(stop_amid_the_clean_up())
    finally:
        services.faults.set(Faults())
    assert job_state(services, task) == "CANCELLED"
    assert left_of(task["dispatch_id"]) == []


def test_the_same_node_run_twice_gives_both_values(make_executor: Callable[..., GCPBatchExecutor]) -> None:
    task = metadata()

    async def twice() -> list[Any]:
        executor = make_executor()
        return [await executor.run(pow, [2, exponent], {}, task) for exponent in (3, 4)]

    assert [value.get_deserialized() for value in asyncio.run(twice())] == [8, 16]


def test_forty_at_once_all_come_back(make_executor: Callable[..., GCPBatchExecutor]) -> None:
    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(make_executor().run(pow, [number, 2], {}, metadata()) for number in range(40)))

    assert [value.get_deserialized() for value in asyncio.run(all_of_them())] == [number**2 for number in range(40)]


def test_at_most_four_storage_requests_per_electron_besides_deletions(
    make_executor: Callable[..., GCPBatchExecutor], services: Emulator
) -> None:
    run(make_executor(), len, [])
    before = services.request_counts
    run(make_executor(), len, [])
    made = {kind: count - before.get(kind, 0) for kind, count in services.request_counts.items()}
    assert sum(count for kind, count in made.items() if "delete" not in kind.lower()) <= 4, made
