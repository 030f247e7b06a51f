"""`sweep cancel --waiting` and `--all`: what runs goes on, what waits is not started; all sweeps that run are ended."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from batch_sweeps import Answer, BatchSweep, FakeMachines, on_emulator, write_file
from sweep_command import COMMAND, SweepCommand

from covalent_parallel_plugin.sweep.batch.batch_run import BatchRunner
from covalent_parallel_plugin.sweep.local.run import DRAINED

FILE = """\
name: {name}
command: [sh, -c, 'echo begun; while ! test -e "$0"; do sleep 0.05; done', "{go}"]
parameters: {{i: {{start: 0, stop: 4}}}}
max_parallel: 2
"""
PLACE = ("--project-id", "local", "--bucket-name", "covalent")
DONE = ["done"] * 6


@pytest.fixture
def sweep(tmp_path: Path) -> SweepCommand:
    command = SweepCommand(tmp_path)
    command.write(FILE.format(name="art", go=tmp_path / "go"))
    return command


def started(sweep: SweepCommand, name: str = "art") -> subprocess.Popen[str]:
    """Start a run on this machine, two of whose tasks run until there is a file `go`."""
    running = sweep.start("run", f"{name}.yaml", "--local")
    sweep.wait_for(lambda: len(sweep.started(name)) == 2, "start of two tasks")
    return running


def test_what_runs_on_this_machine_goes_on_and_what_waits_is_not_started(sweep: SweepCommand, tmp_path: Path) -> None:
    running = started(sweep)
    told = sweep("cancel", "art", "--waiting").stdout
    lines = told.splitlines()
    assert lines[0] == f"{tmp_path}/art: nothing more is started; what runs goes on"
    assert sorted(lines[1].split()) == ["i=0", "i=1", "running:"] and len(lines) == 2
    assert running.poll() is None
    (tmp_path / "go").touch()
    out, _ = running.communicate(timeout=180)
    assert running.returncode == 1
    stopped = "art: stopped: cancel --waiting: nothing more was started: 2 done, 2 waiting;"
    assert out.splitlines()[-1].startswith(stopped)
    assert sweep.statuses() == {"i=0": "done", "i=1": "done", "i=2": "waiting", "i=3": "waiting"}
    assert sorted(sweep.started()) == ["i=0", "i=1"]
    assert not (tmp_path / "art" / ".drain").exists()
    sweep("run", "art.yaml", "--local")
    assert sorted(sweep.started()) == [f"i={i}" for i in range(4)] and set(sweep.statuses().values()) == {"done"}


def test_where_nothing_runs_that_is_said(sweep: SweepCommand, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    sweep("run", "art.yaml", "--local")
    assert sweep("cancel", "art", "--waiting").stdout == f"{tmp_path}/art is not running\n"
    assert not (tmp_path / "art" / ".drain").exists()


def test_what_was_asked_of_a_run_that_has_ended_is_not_asked_of_the_next(sweep: SweepCommand, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    sweep("run", "art.yaml", "--local", "--first", "1")
    (tmp_path / "art" / ".drain").touch()
    sweep("run", "art.yaml", "--local")
    assert not (tmp_path / "art" / ".drain").exists()


def test_all_sweeps_that_run_are_named_and_ended(sweep: SweepCommand, tmp_path: Path) -> None:
    sweep.write(FILE.format(name="pi", go=tmp_path / "go"), "pi.yaml")
    sweep.write(FILE.format(name="old", go="/"), "old.yaml")
    sweep("run", "old.yaml", "--local")
    runs = [started(sweep, name) for name in ("art", "pi")]
    told = sweep("cancel", "--all").stdout.splitlines()
    assert told == [
        f"art               running      {tmp_path}/art",
        f"pi                running      {tmp_path}/pi",
        f"{tmp_path}/art is cancelled",
        f"{tmp_path}/pi is cancelled",
    ]
    for running in runs:
        running.communicate(timeout=180)
        assert running.returncode == 130
    assert sweep("cancel", "--all", "--yes").stdout == "no sweep runs\n"
    for words in (("art",), PLACE):
        assert "--all means every sweep" in sweep("cancel", "--all", *words, status=2).stderr


def test_of_all_sweeps_what_waits_is_not_started(sweep: SweepCommand, tmp_path: Path) -> None:
    sweep.write(FILE.format(name="pi", go=tmp_path / "go"), "pi.yaml")
    runs = [started(sweep, name) for name in ("art", "pi")]
    assert sweep("cancel", "--all", "--waiting").stdout.count("nothing more is started") == 2
    (tmp_path / "go").touch()
    for running in runs:
        assert "2 done, 2 waiting" in running.communicate(timeout=180)[0]


@pytest.mark.parametrize(("words", "answer", "is_ended"), [((), "n", False), ((), "y", True), (("--yes",), "", True)])
def test_a_terminal_is_asked(
    sweep: SweepCommand, tmp_path: Path, words: tuple[str, ...], answer: str, is_ended: bool
) -> None:
    running = started(sweep)
    outer, inner = pty.openpty()
    with open(outer, "r+b", buffering=0) as terminal, open(inner, "r+b", buffering=0) as theirs:
        command = [*COMMAND, "sweep", "cancel", "--all", *words]
        asked = subprocess.Popen(
            command, cwd=tmp_path, env=sweep.environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        if answer:
            terminal.write(f"{answer}\n".encode())
        assert asked.wait(180) == (0 if is_ended else 1)
        shown = os.read(outer, 65536).decode()
    assert f"{tmp_path}/art" in shown and ("Cancel all of these?" in shown) == bool(answer)
    assert (running.poll() is None) != is_ended
    (tmp_path / "go").touch()
    running.communicate(timeout=180)


Start = Callable[..., FakeMachines]


@pytest.fixture
def on_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with on_emulator(monkeypatch.setenv) as start:
        yield start


class Held:
    """A program that goes on until it is told to end."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, task: Mapping[str, Any], attempt: int) -> Answer:
        self.go.wait(180)
        x = task["argv"][-1]
        return Answer(stdout=f"x is {x}\n", result={"x": int(x)})


def made(folder: Path) -> SweepCommand:
    folder.mkdir(exist_ok=True)
    write_file(folder, retries=0)
    return SweepCommand(folder)


def test_on_batch_a_run_ends_with_what_runs(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(program := Held(), tasks_at_once=2)
    sweep = made(tmp_path / "a")
    running = sweep.start("run", "art.yaml")
    sweep.wait_for(lambda: machines.started.total() == 2, "start of two tasks")
    told = sweep("cancel", "art", "--waiting").stdout
    assert "nothing more is started" in told and "its running tasks continue" in told
    program.go.set()
    out, _ = running.communicate(timeout=180)
    assert (running.returncode, machines.job_states()) == (1, ["SUCCEEDED"]), out
    assert "art: stopped: cancel --waiting: nothing more was started: 2 done, 4 waiting;" in out
    assert list(sweep.statuses().values()) == ["done", "done", *["waiting"] * 4]
    sweep("run", "art.yaml")
    assert list(sweep.statuses().values()) == DONE
    assert set(machines.started.values()) == {1}


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_on_batch_a_job_that_nobody_waits_for_ends_with_what_runs(
    tmp_path: Path, on_machines: Start, place: str
) -> None:
    machines = on_machines(program := Held(), tasks_at_once=2)
    sweep = made(tmp_path / "a")
    sweep("run", "art.yaml", "--detach")
    sweep.wait_for(lambda: machines.started.total() == 2, "start of two tasks")
    if place == "here":
        told = sweep("cancel", "art", "--waiting").stdout
    else:
        (tmp_path / "b").mkdir()
        told = SweepCommand(tmp_path / "b")("cancel", "art", "--waiting", *PLACE).stdout
    assert "2 running" in told and "its running tasks continue" in told
    program.go.set()
    machines.wait_for_jobs()
    assert machines.job_states() == ["SUCCEEDED"]
    assert "no task waits there" in sweep("cancel", "art", "--waiting").stdout
    assert "art: 2 done, 4 waiting" in sweep("gather", "art").stdout
    sweep("run", "art.yaml")
    assert list(sweep.statuses().values()) == DONE and set(machines.started.values()) == {1}


def test_a_run_that_is_drained_before_its_job_is_there_makes_none(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines()
    sweep = BatchSweep(write_file(tmp_path), tmp_path / "out")
    assert sweep.run(ready=lambda runner: runner.drain()).stopped == DRAINED
    assert machines.job_states() == [] and sweep.statuses() == {"waiting": 6}


def test_a_run_that_is_drained_while_its_job_is_made_takes_its_tasks_back(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(program := Held(), tasks_at_once=2)
    sweep = BatchSweep(write_file(tmp_path), tmp_path / "out")

    def ready(runner: BatchRunner) -> None:
        runner.on_round = lambda number, job: runner.drain()

    def release() -> None:
        names = [blob.name for blob in machines.storage.list_blobs("covalent", prefix="covalent-sweeps/")]
        if any("/shards-drained/" in name for name in names) and not any("/shards/" in name for name in names):
            program.go.set()

    sweep.observer.on_tick = release
    assert sweep.run(ready=ready).stopped == DRAINED
    assert machines.job_states() == ["SUCCEEDED"] and set(sweep.statuses()) <= {"done", "waiting"}
    assert machines.started.total() == sweep.statuses().get("done", 0) <= 2
    sweep.observer.on_tick = lambda: None
    assert sweep.run().stopped == "" and sweep.statuses() == {"done": 6}


def test_a_run_goes_on_with_a_job_of_which_nothing_had_begun(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(program := Held(), tasks_at_once=1)
    other, sweep = made(tmp_path / "b"), made(tmp_path / "a")
    other.write((tmp_path / "b" / "art.yaml").read_text().replace("name: art", "name: other"))
    other("run", "art.yaml", "--detach", "--first", "1")
    sweep.wait_for(lambda: machines.started.total() == 1, "start of the other sweep's task")
    sweep("run", "art.yaml", "--detach")
    sweep("cancel", "art", "--waiting")
    running = sweep.start("run", "art.yaml")
    sweep.wait_for(lambda: len(sweep.events("run")) == 2, "second run")
    program.go.set()
    out, _ = running.communicate(timeout=180)
    assert running.returncode == 0, out
    assert list(sweep.statuses().values()) == DONE and len(sweep.events("round")) == 2


def test_a_run_that_goes_on_with_such_a_job_submits_the_rest(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(program := Held(), tasks_at_once=2)
    sweep = made(tmp_path / "a")
    sweep("run", "art.yaml", "--detach")
    sweep.wait_for(lambda: machines.started.total() == 2, "start of two tasks")
    sweep("cancel", "art", "--waiting")
    running = sweep.start("run", "art.yaml")
    sweep.wait_for(lambda: len(sweep.events("run")) == 2, "second run")
    program.go.set()
    out, _ = running.communicate(timeout=180)
    assert running.returncode == 0, out
    assert list(sweep.statuses().values()) == DONE and set(machines.started.values()) == {1}
