"""What is asked of an emulator before a sweep: does it run what is in an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from covalent_parallel_plugin.cloud.emulator_runtime import require_containers
from covalent_parallel_plugin.emulator import Emulator, ProcessRuntime
from covalent_parallel_plugin.emulator.model.runtime_interface import BARE_VM, ResourceLimits, VmSpec
from covalent_parallel_plugin.emulator.storage.server import StorageServer
from covalent_parallel_plugin.errors import ParallelError


class OtherRuntime:
    """Runs images in a way of its own."""

    def __init__(self) -> None:
        self._processes = ProcessRuntime()
        self.task_users, self.release, self.close = (
            self._processes.task_users,
            self._processes.release,
            self._processes.close,
        )

    def open(self, attempt: str, limits: ResourceLimits, vm: VmSpec = BARE_VM) -> object:
        raise NotImplementedError


def test_an_emulator_whose_tasks_are_processes_is_refused_with_the_remedy(emulator: Emulator) -> None:
    with pytest.raises(ParallelError) as refused:
        require_containers(emulator.environment)
    for part in (emulator.environment["BATCH_EMULATOR_HOST"], "--runtime podman", "--local", "needs containers"):
        assert part in str(refused.value)


def test_one_that_runs_images_is_not() -> None:
    with Emulator(runtime=OtherRuntime(), logging_port=None) as running:  # type: ignore[arg-type]  # starts nothing
        require_containers(running.environment)


def test_google_and_an_emulator_of_storage_alone_are_not_asked() -> None:
    require_containers({})
    require_containers({"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"})


def test_what_does_not_answer_is_left_to_the_requests_that_follow(tmp_path: Path) -> None:
    require_containers({"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1", "BATCH_EMULATOR_HOST": "127.0.0.1:1"})
    with StorageServer(data_dir=tmp_path) as server:
        there = {"STORAGE_EMULATOR_HOST": server.address, "BATCH_EMULATOR_HOST": "127.0.0.1:1"}
        require_containers(there)
        require_containers({**there, "STORAGE_EMULATOR_HOST": f"{server.address}/nothing"})


def test_no_proxy_is_asked(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(ParallelError, match="needs containers"):
        require_containers(emulator.environment)
