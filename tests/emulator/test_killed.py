"""An emulator that is killed: its tasks end with it, and its folders go, at the latest when the next one starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport

COMMAND = [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()"]
SECONDS = 60
# In the task's group, in a session of its own, without the task's variables, both; and one that ignores what it is told
TASK = (
    "trap '' TERM HUP; sleep 600 & setsid sleep 600 & env -i sleep 600 & env -i setsid sleep 600 &"
    " echo $$ > {ready}; sleep 600"
)


FREE_PORTS = ("--storage-port=0", "--batch-port=0", "--logging-port=0")


class Emulated:
    """The command in a session of its own, with a folder for temporary files of the test's."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.process = subprocess.Popen(
            [*COMMAND, "emulator", "--runtime=process", "--quiet", *FREE_PORTS],
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # The tests themselves may run under nohup
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # before any thread
        )
        assert self.process.stdout is not None
        lines = list(iter(lambda: self.process.stdout.readline().rstrip("\n"), "ready"))
        self.variables = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export"))

    def run(self, name: str) -> None:
        """Start a task; return once it runs."""
        ready = self.folder / f"ready-{name}"
        runnable = batch_v1.Runnable(script=batch_v1.Runnable.Script(text=TASK.format(ready=ready)))
        group = batch_v1.TaskGroup(task_spec=batch_v1.TaskSpec(runnables=[runnable]))
        with grpc.insecure_channel(self.variables["BATCH_EMULATOR_HOST"]) as channel:
            client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
            client.create_job(
                parent="projects/p/locations/us-east1", job=batch_v1.Job(task_groups=[group]), job_id=name
            )
        wait_until(lambda: ready.exists() and ready.read_text().strip() != "")

    @property
    def folders(self) -> list[Path]:
        return sorted(self.folder.glob("cpe-*"))

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=SECONDS)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_of(folder: Path) -> list[int]:
    """List the processes that run in a folder, which is those of its emulator's tasks."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if path.readlink().is_relative_to(folder):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def watchdog_of(process: subprocess.Popen[str]) -> int:
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    (found,) = (
        int(pid)
        for path in children
        for pid in path.read_text().split()
        if "watchdog" in Path(f"/proc/{pid}/cmdline").read_text()
    )
    return found


Start = Callable[[], Emulated]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Emulated] = []

    def begin() -> Emulated:
        started.append(Emulated(tmp_path / "tmp"))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.end(signal.SIGTERM)
    for pid in processes_of(tmp_path / "tmp"):
        os.kill(pid, signal.SIGKILL)


def test_after_a_kill_no_task_lives_on_and_no_folder_stays(start: Start) -> None:
    emulator = start()
    emulator.run("one")
    emulator.run("two")
    assert len(processes_of(emulator.folder)) >= 10 and len(emulator.folders) == 2
    emulator.end(signal.SIGKILL)
    wait_until(lambda: not processes_of(emulator.folder) and not emulator.folders)


def test_a_kill_of_the_whole_group_ends_its_tasks_too(start: Start) -> None:
    emulator = start()
    emulator.run("one")
    os.killpg(emulator.process.pid, signal.SIGKILL)
    emulator.process.communicate(timeout=SECONDS)
    wait_until(lambda: not processes_of(emulator.folder) and not emulator.folders)


def test_the_next_one_clears_up_where_the_watchdog_was_killed_too_and_spares_one_that_runs(start: Start) -> None:
    lives = start()
    lives.run("lives")
    kept = lives.folders
    mine = processes_of(lives.folder)
    dies = start()
    dies.run("dies")
    os.kill(watchdog_of(dies.process), signal.SIGKILL)
    dies.end(signal.SIGKILL)
    assert len(lives.folders) == 4 and len(processes_of(lives.folder)) > len(mine)
    start()
    wait_until(lambda: len(lives.folders) == 3 and set(kept) < set(lives.folders))
    wait_until(lambda: set(processes_of(lives.folder)) == set(mine))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_comes_twice_ends_it_and_leaves_nothing(start: Start, number: signal.Signals) -> None:
    emulator = start()
    emulator.run("one")
    emulator.process.send_signal(number)
    emulator.end(number)
    assert emulator.process.returncode == 0
    assert processes_of(emulator.folder) == [] and emulator.folders == []
