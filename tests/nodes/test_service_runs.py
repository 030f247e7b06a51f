"""A node through `run()`, with no Google there, nor an emulator: what needs neither cannot miss them."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from covalent._shared_files.exceptions import TaskCancelledError
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor.utils.wrappers import wrapper_fn

from covalent_parallel_plugin.covalent_api.builtin_nodes.run_node import WORKERS
from covalent_parallel_plugin.errors import RemoteTraceback
from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor


class Slow:
    """Its items take their time."""

    def __getitem__(self, key: Any) -> Any:
        time.sleep(600)


cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GCPBatchExecutor:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("BATCH_EMULATOR_HOST", address)
    monkeypatch.setenv("LOGGING_EMULATOR_HOST", address)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{address}")
    return GCPBatchExecutor(project_id="local", bucket_name="nowhere", cache_dir=str(tmp_path))


def metadata() -> dict[str, Any]:
    return {"dispatch_id": str(uuid.uuid4()), "node_id": 0}


async def run(executor: GCPBatchExecutor, function: Any, *args: Any, described: dict[str, Any] | None = None) -> Any:
    given = [TransportableObject(value) for value in args]
    return await executor.run(partial(wrapper_fn, function, [], []), given, {}, described or metadata())


@pytest.mark.parametrize(
    ("word", "args", "value"), [("list", (1, "a"), [1, "a"]), ("item", ([1, 2], 1), 2), ("sum", (1, 2), 3)]
)
def test_a_node_needs_no_service(
    executor: GCPBatchExecutor, function_of: Any, word: str, args: tuple[Any, ...], value: object
) -> None:
    result = asyncio.run(run(executor, function_of(word), *args))
    assert isinstance(result, TransportableObject)
    assert TransportableObject.deserialize(result.serialize()).get_deserialized() == value


def test_an_exception_is_raised_as_itself_with_the_remote_traceback(
    executor: GCPBatchExecutor, function_of: Any
) -> None:
    with pytest.raises(KeyError) as caught:
        asyncio.run(run(executor, function_of("item"), {"a": 1}, "b"))
    assert caught.value.args == ("b",)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "return e[key]" in str(caught.value.__cause__)


def stop_by_cancelling(executor: GCPBatchExecutor, described: dict[str, Any], task: asyncio.Task[Any]) -> Any:
    return executor.cancel(described, None)


async def stop_with_the_server(executor: GCPBatchExecutor, described: dict[str, Any], task: asyncio.Task[Any]) -> None:
    task.cancel()


@pytest.mark.parametrize(
    ("stop", "error"), [(stop_by_cancelling, TaskCancelledError), (stop_with_the_server, asyncio.CancelledError)]
)
def test_a_node_that_is_stopped_leaves_no_process(
    executor: GCPBatchExecutor, function_of: Any, stop: Callable[..., Any], error: type[BaseException]
) -> None:
    async def stopped() -> None:
        described = metadata()
        task = asyncio.ensure_future(run(executor, function_of("item"), Slow(), 0, described=described))
        await asyncio.sleep(1)
        await stop(executor, described, task)
        with pytest.raises(error):
            await task

    WORKERS.close()
    asyncio.run(stopped())
    assert WORKERS.process_ids == []
