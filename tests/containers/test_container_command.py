"""`covalent-parallel emulator` with containers: what it says, and what a killed one leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from container_jobs import PARENT, waited
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport

from covalent_parallel_plugin.containers.cleanup import list_containers, list_volumes
from covalent_parallel_plugin.containers.engine import ContainerEngine
from covalent_parallel_plugin.emulator import ContainerRuntime
from covalent_parallel_plugin.emulator.model.runtime_interface import Command, ResourceLimits

pytestmark = pytest.mark.containers

FREE_PORTS = ("--storage-port=0", "--batch-port=0", "--logging-port=0")
COMMAND = [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "emulator", *FREE_PORTS]


@pytest.fixture
def command(engine: str) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen([*COMMAND, f"--runtime={engine}"], stdout=subprocess.PIPE, text=True)
    yield running
    running.kill()
    running.communicate(timeout=60)


def first_lines(running: subprocess.Popen[str]) -> list[str]:
    assert running.stdout is not None
    lines = [""]
    while lines[-1] != "ready":
        lines.append(running.stdout.readline().rstrip("\n"))
        assert running.poll() is None, lines
    return lines[1:]


def test_it_says_what_tasks_run_as(command: subprocess.Popen[str], engine: str) -> None:
    assert f"# Tasks run as containers of {engine}" in first_lines(command)


@pytest.mark.parametrize("has_watchdog", [True, False])
def test_what_a_killed_emulator_left_is_removed_by_its_watchdog_or_when_the_next_one_starts(
    command: subprocess.Popen[str], engine: str, image: str, has_watchdog: bool
) -> None:
    lines = first_lines(command)
    address = next(line.partition("=")[2] for line in lines if line.startswith("export BATCH_EMULATOR_HOST="))
    container = batch_v1.Runnable.Container(
        image_uri=image, entrypoint="sleep", commands=["600"], volumes=["packages:/mnt/packages"]
    )
    spec = batch_v1.TaskSpec(runnables=[batch_v1.Runnable(container=container)])
    with grpc.insecure_channel(address) as channel:
        client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
        client.create_job(parent=PARENT, job=batch_v1.Job(task_groups=[batch_v1.TaskGroup(task_spec=spec)]))
    there = ContainerEngine(engine)

    def left() -> list[str]:
        everything = [*list_containers(there), *list_volumes(there)]
        return [name for name, owner in everything if f"_{command.pid}_" in owner]

    waited(left, lambda names: len(names) == 2)
    if not has_watchdog:
        os.kill(watchdog_of(command), signal.SIGKILL)
    command.send_signal(signal.SIGKILL)
    command.wait(60)
    if not has_watchdog:
        assert len(left()) == 2
        ContainerRuntime(engine).close()
    waited(left, lambda names: names == [])


def watchdog_of(process: subprocess.Popen[str]) -> int:
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    pids = [int(pid) for path in children for pid in path.read_text().split()]
    (found,) = (pid for pid in pids if "watchdog" in Path(f"/proc/{pid}/cmdline").read_text())
    return found


def test_a_container_whose_monitor_was_killed_is_removed_with_its_task(engine: str, image: str) -> None:
    if engine != "podman":
        pytest.skip("only podman's containers have a monitor each")
    runtime = ContainerRuntime(engine)
    workspace = runtime.open("uid-group0-0-0", ResourceLimits())
    process = workspace.start(Command(image=image, entrypoint="sh", arguments=("-c", "echo up; sleep 600")))
    (name,) = waited(
        lambda: [name for name, owner in list_containers(runtime.engine) if owner == runtime.owner], lambda names: names
    )
    pid_file = waited(
        lambda: runtime.engine.call("inspect", "--format={{.ConmonPidFile}}", name).stdout.strip(),
        lambda path: path and Path(path).exists() and Path(path).read_text(),
    )
    waited(lambda: reads(process.stdout), lambda text: text == b"up\n")
    os.kill(int(Path(pid_file).read_text()), signal.SIGKILL)
    process.kill()
    assert waited(process.poll, lambda code: code is not None) == 137
    process.close()
    assert list_containers(runtime.engine) == []
    runtime.close()


def reads(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 100)
    except BlockingIOError:
        return b""
