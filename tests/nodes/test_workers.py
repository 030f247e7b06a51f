"""The processes that run nodes: how many there are, what they see, and that they end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.covalent_api.builtin_nodes.worker_pool import WorkerPool
from covalent_parallel_plugin.covalent_api.builtin_nodes.worker_process import (
    NodeRequest,
    WorkerFailed,
    worker_environment,
)

GONE_SECONDS = 60.0

# The functions below are those of a user's script.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def make_workers() -> Iterator[Callable[..., WorkerPool]]:
    made: list[WorkerPool] = []

    def make(**options: Any) -> WorkerPool:
        made.append(WorkerPool(**options))
        return made[-1]

    yield make
    for workers in made:
        workers.close()


def request(function: Callable[..., Any], *args: Any) -> NodeRequest:
    parts = {"function": cloudpickle.dumps(function)}
    parts |= {f"arg{index}": cloudpickle.dumps(value) for index, value in enumerate(args)}
    return NodeRequest({"args": len(args), "kwargs": []}, parts)


async def value_of(workers: WorkerPool, function: Callable[..., Any], *args: Any) -> Any:
    header, parts = await workers.ask(request(function, *args))
    assert header["kind"] == "value", header
    return cloudpickle.loads(parts["value"])


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def sleep(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_one_process_runs_one_node_after_the_other(make_workers: Callable[..., WorkerPool]) -> None:
    workers = make_workers()

    async def ask() -> list[int]:
        return [await value_of(workers, os.getpid) for _ in range(3)]

    found = asyncio.run(ask())
    assert len(set(found)) == 1
    assert found[0] != os.getpid()


def test_the_processes_outlive_an_event_loop(make_workers: Callable[..., WorkerPool]) -> None:
    workers = make_workers()
    assert asyncio.run(value_of(workers, os.getpid)) == asyncio.run(value_of(workers, os.getpid))


def test_many_nodes_at_once_share_two_processes(make_workers: Callable[..., WorkerPool]) -> None:
    workers = make_workers()

    async def ask() -> list[int]:
        return await asyncio.gather(*(value_of(workers, sleep, 0.05) for _ in range(12)))

    assert len(set(asyncio.run(ask()))) <= 2


def test_an_idle_process_ends(make_workers: Callable[..., WorkerPool]) -> None:
    workers = make_workers(idle_seconds=0.2)
    process_id = asyncio.run(value_of(workers, os.getpid))
    wait_until(lambda: not is_running(process_id))
    assert workers.process_ids == []
    assert asyncio.run(value_of(workers, os.getpid)) != process_id


def test_a_node_that_takes_too_long_is_ended_with_its_process(make_workers: Callable[..., WorkerPool]) -> None:
    workers = make_workers(time_limit_seconds=1.0)
    process_id = asyncio.run(value_of(workers, os.getpid))
    with pytest.raises(WorkerFailed, match="took too long"):
        asyncio.run(workers.ask(request(sleep, 600)))
    assert not is_running(process_id)


def test_a_process_that_ended_between_two_nodes_is_replaced(make_workers: Callable[..., WorkerPool]) -> None:
    workers = make_workers()
    process_id = asyncio.run(value_of(workers, os.getpid))
    os.kill(process_id, 9)
    # Not reaped yet, its id is there all the same.
    os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOWAIT)
    assert asyncio.run(value_of(workers, os.getpid)) != process_id


def test_a_node_that_is_cancelled_is_ended_with_its_process(make_workers: Callable[..., WorkerPool]) -> None:
    workers = make_workers()

    async def cancel() -> int:
        process_id = await value_of(workers, os.getpid)
        asked = asyncio.ensure_future(workers.ask(request(sleep, 600)))
        await asyncio.sleep(0.3)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        return process_id

    assert not is_running(asyncio.run(cancel()))
    assert workers.process_ids == []


def test_a_node_that_is_cancelled_while_it_waits_leaves_the_others_alone(
    make_workers: Callable[..., WorkerPool],
) -> None:
    workers = make_workers(most=1)

    async def cancel() -> int:
        first = asyncio.ensure_future(value_of(workers, sleep, 0.5))
        waiting = asyncio.ensure_future(workers.ask(request(sleep, 600)))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return int(await first)

    assert asyncio.run(cancel()) in workers.process_ids


def test_no_folder_and_no_process_is_left(
    make_workers: Callable[..., WorkerPool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    workers = make_workers()
    process_id = asyncio.run(value_of(workers, os.getpid))
    assert len(list(tmp_path.iterdir())) == 1
    workers.close()
    assert list(tmp_path.iterdir()) == []
    assert not is_running(process_id)


SERVER = """
import asyncio, cloudpickle, signal, sys, threading, time
from covalent_parallel_plugin.covalent_api.builtin_nodes.worker_process import NodeRequest
from covalent_parallel_plugin.covalent_api.builtin_nodes.worker_pool import WorkerPool

workers = WorkerPool()
# A shell's background processes have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def tell():
    while not workers.process_ids:
        time.sleep(0.01)
    print(workers.process_ids[0], flush=True)

threading.Thread(target=tell).start()
parts = {"function": cloudpickle.dumps(time.sleep), "arg0": cloudpickle.dumps(600)}
asyncio.run(workers.ask(NodeRequest({"args": 1, "kwargs": []}, parts)))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_ends_with_the_server_also_amid_a_node(number: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as server:
        assert server.stdout is not None
        process_id = int(server.stdout.readline())
        server.send_signal(number)
    wait_until(lambda: not is_running(process_id))
    wait_until(lambda: list(tmp_path.iterdir()) == [])


def test_a_process_sees_no_key_of_the_servers(
    make_workers: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    seen = asyncio.run(value_of(make_workers(), lambda: dict(__import__("os").environ)))
    assert "secret" not in seen.values() and "/key.json" not in seen.values()
    assert seen["HOME"] == os.environ["HOME"]


def test_covalent_writes_nothing_of_the_servers() -> None:
    found = worker_environment({"HOME": "/home/me", "COVALENT_CONFIG_DIR": "/home/me/own"}, "/own")
    assert {value for name, value in found.items() if name.endswith("DIR")} == {"/own"}


def test_a_node_cannot_take_the_streams_from_the_next_one(make_workers: Callable[..., WorkerPool]) -> None:
    workers = make_workers()

    def close_all() -> None:
        import os
        import sys

        sys.stdout.close()
        os.close(1)
        os.chdir("/")

    asyncio.run(workers.ask(request(close_all)))
    assert asyncio.run(value_of(workers, lambda: __import__("os").write(1, b"text"))) == 4


def test_a_large_node_is_not_held_in_memory(make_workers: Callable[..., WorkerPool]) -> None:
    workers = make_workers()
    size = 40_000_000
    assert asyncio.run(value_of(workers, len, bytes(size))) == size
    assert workers.process_ids == []


def test_the_loop_goes_on_meanwhile(make_workers: Callable[..., WorkerPool]) -> None:
    workers = make_workers()

    async def beats() -> int:
        asked = asyncio.ensure_future(value_of(workers, sleep, 0.5))
        count = 0
        while not asked.done():
            await asyncio.sleep(0.01)
            count += 1
        return count

    assert asyncio.run(beats()) > 3
