"""`max_machine_hours` of a sweep on Batch: over all of its rounds and runs, and what is said once they are used up."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_sweeps import Answer, BatchSweep, FakeMachines, by_value, on_emulator, write_file

from covalent_parallel_plugin.cloud.batch import Event, JobStatus
from covalent_parallel_plugin.sweep.batch.batch_run import BatchRunner
from covalent_parallel_plugin.sweep.batch.machine_use import MachineUse
from covalent_parallel_plugin.sweep.batch.poll_pace import PollPace
from covalent_parallel_plugin.sweep.plan import RunRequest
from covalent_parallel_plugin.sweep.records.journal import State, round_end_event

Start = Callable[..., FakeMachines]


@pytest.fixture
def on_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with on_emulator(monkeypatch.setenv) as start:
        yield start


def limited(folder: Path, hours: float, tasks: int = 4) -> Path:
    path = write_file(folder, tasks=tasks, retries=0)
    path.write_text(path.read_text().replace("vcpus: 1", f"vcpus: 1, max_machine_hours: {hours}"))
    return path


def test_past_it_the_job_ends_and_what_was_delivered_is_kept(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({"0": Answer()}, Answer(seconds=60)))
    sweep = BatchSweep(limited(tmp_path, 0.002), tmp_path / "out")
    end = sweep.run()
    assert end.stopped == "max_machine_hours: 0.002 are used up" and end.overrun is not None
    assert end.overrun.used >= 0.002 and end.overrun.more > 0
    assert "to go on, run again with a higher limit than max_machine_hours = 0.002" in end.message.lower()
    assert set(machines.job_states()) == {"CANCELLED"}
    assert sweep.statuses() == {"done": 1, "cancelled": 3}
    cut_off = [event for event in sweep.events("end") if event["status"] == "cancelled"]
    assert {event["reason"] for event in cut_off} == {end.stopped}
    told = json.loads((tmp_path / "out" / "x=1" / "task.json").read_text())
    assert told["reason"] == end.stopped
    # Those that were cut off count once, as the round's
    [ended] = sweep.events("round-end")
    state = State.read(tmp_path / "out" / "journal.jsonl")
    assert state.used_hours * 3600 == pytest.approx(ended["machine_seconds"])


def test_the_next_run_counts_on_and_starts_nothing(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({"0": Answer()}, Answer(seconds=60)))
    path = limited(tmp_path, 0.002)
    sweep = BatchSweep(path, tmp_path / "out")
    sweep.run()
    end = sweep.run()
    assert end.stopped == "max_machine_hours: 0.002 are used up"
    assert machines.rpcs["CreateJob"] == 1
    machines.program = by_value({})
    path.write_text(path.read_text().replace("max_machine_hours: 0.002", "max_machine_hours: 1"))
    assert sweep.run().stopped == ""
    assert sweep.statuses() == {"done": 4}


def test_a_job_that_runs_already_counts_from_its_beginning(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({}, Answer(seconds=60)))
    sweep = BatchSweep(limited(tmp_path, 0.002), tmp_path / "out")
    assert sweep.run(ready=BatchRunner.detach).detached
    end = sweep.run()
    assert end.stopped == "max_machine_hours: 0.002 are used up"
    assert (machines.rpcs["CreateJob"], set(machines.job_states())) == (1, {"CANCELLED"})


def test_all_jobs_that_run_are_counted_and_ended(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({}, Answer(seconds=60)))
    sweep = BatchSweep(limited(tmp_path, 0.001), tmp_path / "out")
    for x in (0, 1):
        sweep.run(RunRequest(only=(f"x={x}",)), BatchRunner.detach)
    end = sweep.run(RunRequest(only=("x=0", "x=1")))
    assert end.stopped == "max_machine_hours: 0.001 are used up"
    assert (machines.rpcs["CreateJob"], set(machines.job_states())) == (2, {"CANCELLED"})
    assert sweep.statuses() == {"cancelled": 2, "waiting": 2}


def test_the_journal_keeps_what_the_machines_of_a_round_have_run(tmp_path: Path, on_machines: Start) -> None:
    on_machines(by_value({}, Answer(seconds=1.5)))
    path = write_file(tmp_path, tasks=4, more="tasks_per_machine: 4")
    sweep = BatchSweep(path, tmp_path / "out")
    sweep.run()
    [event] = sweep.events("round-end")
    state = State.read(tmp_path / "out" / "journal.jsonl")
    # One machine for four tasks of a second and a half
    assert event["machine_seconds"] == pytest.approx(state.used_hours * 3600)
    assert event["machine_seconds"] >= 1.5


class Looks:
    """A job whose machines all run, on a clock of its own."""

    def __init__(self, path: Path, state: State, hours: float) -> None:
        self.now = 1000.0
        opened = BatchSweep(limited(path, hours), path / "out").opened()
        self.use = MachineUse(opened.file, state, lambda: self.now)

    def look(self, running: int, began: float = 1000.0, state: str = "RUNNING", **counts: int) -> None:
        event = Event("Job state is set from SCHEDULED to RUNNING for job J.", began)
        self.use.note(1, JobStatus("j", "u", state, {"RUNNING": running, **counts}, (event,)))


def test_the_look_that_finds_them_used_up_comes_when_they_are(tmp_path: Path, on_machines: Start) -> None:
    on_machines()
    looks = Looks(tmp_path, State(), hours=1.0)
    pace = PollPace(100, 5.0, lambda: looks.now)
    looks.look(10)
    assert looks.use.overrun(5.0) is None
    assert looks.use.seconds_left() == 360
    for _ in range(20):
        if looks.use.overrun(5.0) is not None:
            break
        pace.note(JobStatus("j", "u", "RUNNING", {"RUNNING": 10}))
        pace.most_pause_seconds = looks.use.seconds_left() or math.inf
        looks.now += pace.pause_seconds
        looks.look(10)
    found = looks.use.overrun(5.0)
    assert found is not None
    assert (found.limit, found.more) == (1.0, 10 * 5.0 / 3600)
    assert found.used <= 1.0 + 2 * 10 * 5.0 / 3600


def test_rounds_and_runs_are_added_up(tmp_path: Path, on_machines: Start) -> None:
    on_machines()
    state = State()
    state.apply(end_of(0, 3600.0, at=(0, 0)), 0)
    assert state.used_hours == 1.0
    state.apply(round_end_event(0, "SUCCEEDED", 1800.0), 0)
    assert state.used_hours == 0.5
    state.apply(end_of(1, 900.0), 0)
    looks = Looks(tmp_path, state, hours=2.0)
    looks.now = 4600.0
    looks.look(1)
    assert looks.use.hours == 0.5 + 0.25 + 1.0
    assert looks.use.overrun(0.0) is None
    looks.now = 5500.0
    looks.look(0, state="FAILED", FAILED=1)
    assert looks.use.overrun(0.0) is not None


def end_of(index: int, seconds: float, **more: Any) -> dict[str, Any]:
    event = {"event": "end", "task": f"t{index}", "key": "k", "status": "done", "seconds": seconds, "attempts": 1}
    return event | more
