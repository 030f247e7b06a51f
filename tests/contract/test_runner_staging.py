"""The runner's archive in the bucket, for tasks in an image without this package: put back where somebody spoilt it."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.batch.runner_archive import restage_runner, runner_archive
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.emulator import Emulator, Fault, Faults, ProcessRuntime
from covalent_parallel_plugin.errors import NoOutcomeError
from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor

cloudpickle.register_pickle_by_value(sys.modules[__name__])

RUNNER = runner_archive()
# None for an archive that was deleted
SPOILT = {
    "deleted": None,
    "emptied": b"",
    "other": b"another",
    "as-large": bytes(len(RUNNER.data)),
    "larger": bytes(10**6),
}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    python = tmp_path_factory.mktemp("bare") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(python)], check=True)
    runtime = ProcessRuntime(python=str(python / "bin" / "python3"))
    with Emulator(buckets=("covalent",), runtime=runtime) as running:
        yield running


@dataclass(frozen=True)
class Client:
    """Sends electrons to an image without this package."""

    emulator: Emulator
    store: ObjectStore
    cache_dir: Path

    def run(self, *functions: Callable[[], Any]) -> list[Any]:
        """Run them at the same time; values or errors."""

        async def run_all() -> list[Any]:
            common = {"project_id": "local", "bucket_name": "covalent", "poll_freq": 0.2, "retries": 0}
            executor = GCPBatchExecutor(**common, cache_dir=str(self.cache_dir))
            addresses = [{"dispatch_id": str(uuid.uuid4()), "node_id": 0} for _ in functions]
            runs = [executor.run(f, [], {}, at) for f, at in zip(functions, addresses, strict=True)]
            return await asyncio.gather(*runs, return_exceptions=True)

        found = asyncio.run(run_all())
        return [one if isinstance(one, BaseException) else one.get_deserialized() for one in found]

    def spoil(self, data: bytes | None) -> None:
        """Have these bytes in the archive's place in the bucket."""
        self.store.delete(RUNNER.object_name)
        if data is not None:
            self.store.put(RUNNER.object_name, data)

    @property
    def archive(self) -> bytes:
        stored = io.BytesIO()
        self.store.get(RUNNER.object_name, stored)
        return stored.getvalue()


@pytest.fixture
def client(emulator: Emulator, store: ObjectStore, tmp_path: Path) -> Client:
    return Client(emulator, store, tmp_path)


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_runner_is_staged_again_and_the_calls_run_again(client: Client, how: str) -> None:
    assert client.run(lambda: 1) == [1]
    client.spoil(SPOILT[how])
    assert client.run(lambda: 2, lambda: 3) == [2, 3]
    assert client.archive == RUNNER.data


@pytest.mark.parametrize(
    ("kind", "how", "words"),
    [
        ("corrupt", {"keeps_hash": False}, ["exit code 76", "who else writes to covalent-parallel-runner/"]),
        ("error", {"code": 404}, ["exit code 72", "who else deletes objects under covalent-parallel-runner/"]),
        ("error", {"code": 403}, ["exit code 69", "roles/storage.objectViewer"]),
        ("error", {"code": 400}, ["exit code 68", "Private Google Access"]),
    ],
)
def test_a_runner_that_stays_away_is_told_with_the_remedy(
    client: Client, kind: str, how: dict[str, Any], words: list[str]
) -> None:
    fault = Fault(f"storage.{kind}", object="covalent-parallel-runner/*", request="objects.download", **how)
    client.emulator.faults.set(Faults((fault,)))
    try:
        (error,) = client.run(lambda: 1)
    finally:
        client.emulator.faults.set(Faults())
    assert isinstance(error, NoOutcomeError), error
    assert all(word in str(error) for word in words), error
    assert client.store.names("covalent-parallel/") == []


def test_an_archive_that_is_whole_is_not_written_again(client: Client) -> None:
    client.spoil(RUNNER.data)
    (before,) = client.store.list(RUNNER.object_name)
    asyncio.run(restage_runner(client.store))
    assert client.store.list(RUNNER.object_name) == [before]
