"""The trace of a sweep: its jobs, attempts and runs, on Batch and on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_sweeps import Answer, BatchSweep, FakeMachines, by_value, on_emulator, write_file
from sweep_command import SweepCommand

from covalent_parallel_plugin.batch.attempt_times import TIMES
from covalent_parallel_plugin.batch.trace import TraceFile, read_trace, trace_path
from covalent_parallel_plugin.cloud.job_status import Event, JobStatus, TaskStatus
from covalent_parallel_plugin.sweep.batch.batch_run import BatchRunner
from covalent_parallel_plugin.sweep.batch.round_attempts import RoundAttempts
from covalent_parallel_plugin.sweep.combinations import Combination
from covalent_parallel_plugin.sweep.records.journal import State
from covalent_parallel_plugin.sweep.records.sweep_trace import SweepTrace
from covalent_parallel_plugin.sweep.tasks import SweepTask

Start = Callable[..., FakeMachines]
Json = dict[str, Any]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "covalent-parallel" / "traces"


@pytest.fixture
def on_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with on_emulator(monkeypatch.setenv) as start:
        yield start


def records(data: Path, out: Path) -> dict[str, list[Json]]:
    trace = read_trace(trace_path(data, State.read(out / "journal.jsonl").sweep_id))
    assert trace.skipped == 0 and {record["node"] for record in trace.records} <= {None}
    found: dict[str, list[Json]] = {"submitted": [], "attempt": [], "ended": []}
    for record in trace.records:
        found[record["kind"]].append(record)
    return found


def in_order(times: Json) -> bool:
    seen = [times[name] for name in TIMES if times.get(name) is not None]
    return seen == sorted(seen)


def test_a_run_on_batch(tmp_path: Path, data: Path, on_machines: Start) -> None:
    on_machines(by_value({"2": Answer(exit=3)}))
    sweep = BatchSweep(write_file(tmp_path, tasks=3), tmp_path / "out")
    sweep.run()
    found = records(data, sweep.out)
    [submitted] = found["submitted"]
    assert submitted["job"].endswith("-0") and (submitted["round"], submitted["tasks"], submitted["items"]) == (
        0,
        3,
        None,
    )
    assert submitted["asked"]["vcpus"] == 1 and submitted["asked"]["image"].startswith("127.0.0.1:9/art")
    attempts = sorted(found["attempt"], key=lambda record: record["task"])
    assert [(each["task"], each["name"], each["attempt"], each["end"]) for each in attempts] == [
        (0, "x=0", 0, "done"),
        (1, "x=1", 0, "done"),
        (2, "x=2", 0, "failed"),
    ]
    for each in attempts:
        assert set(each["t"]) == set(TIMES) and in_order(each["t"])
        assert None not in (each["t"]["entered"], each["t"]["submitted"], each["t"]["ran_from"], each["t"]["collected"])
        assert set(each["machine"]) == {"type", "zone", "instance", "spot"} and each["machine"]["spot"] is False
    assert [(ended["verdict"], ended["counts"]) for ended in found["ended"]] == [("failed", {"done": 2, "failed": 1})]


def test_why_a_job_waited_is_recorded_once_for_each_cause(tmp_path: Path) -> None:
    file = TraceFile(tmp_path, "s")
    attempts = RoundAttempts(SweepTrace(file), round=2)
    quota, capacity = Event("CODE_GCE_QUOTA_EXCEEDED", 5.0), Event("ZONE_RESOURCE_POOL_EXHAUSTED", 6.0)
    for events in ([], [quota], [quota, quota], [quota, quota, capacity]):
        attempts.note_job(JobStatus("j", "u", "QUEUED", events=events))
    assert file.path is not None
    waited = read_trace(file.path).records
    assert [(each["kind"], each["node"], each["round"], each["cause"]) for each in waited] == [
        ("waited", None, 2, "quota"),
        ("waited", None, 2, "capacity"),
    ]


def test_an_attempt_that_was_lost_is_told_by_batch(tmp_path: Path, data: Path, on_machines: Start) -> None:
    def program(task: Any, attempt: int) -> Answer:
        return Answer(container_exit=50001) if task["argv"][-1] == "0" and not attempt else Answer()

    on_machines(program)
    sweep = BatchSweep(write_file(tmp_path, tasks=2), tmp_path / "out")
    sweep.run()
    attempts = [(each["task"], each["attempt"], each["end"]) for each in records(data, sweep.out)["attempt"]]
    assert sorted(attempts) == [(0, 0, "preempted"), (0, 1, "done"), (1, 0, "done")]


def test_attempts_that_were_cut_off_are_cancelled_whether_they_reported_or_not(
    tmp_path: Path, data: Path, on_machines: Start
) -> None:
    on_machines(by_value({"0": Answer(seconds=60, is_mute=True)}, Answer(seconds=60)))
    path = write_file(tmp_path, tasks=2, retries=0)
    path.write_text(path.read_text().replace("vcpus: 1", "vcpus: 1, max_machine_hours: 0.0003"))
    sweep = BatchSweep(path, tmp_path / "out")
    assert "are used up" in sweep.run().stopped
    found = records(data, sweep.out)["attempt"]
    assert sorted((each["task"], each["end"]) for each in found) == [(0, "cancelled"), (1, "cancelled")]
    assert all(in_order(each["t"]) and each["machine"]["instance"] for each in found)


def test_each_attempt_is_recorded_once_also_where_a_run_is_gone_on_with(
    tmp_path: Path, data: Path, on_machines: Start
) -> None:
    machines = on_machines()
    sweep = BatchSweep(write_file(tmp_path, tasks=3), tmp_path / "out")
    sweep.run(ready=BatchRunner.detach)
    machines.wait_for_jobs()
    sweep.run()
    sweep.run()
    found = records(data, sweep.out)
    assert sorted(each["task"] for each in found["attempt"]) == [0, 1, 2]
    assert [ended["verdict"] for ended in found["ended"]] == ["detached", "done", "done"]


def test_there_is_none_where_none_is_wanted(tmp_path: Path, data: Path, on_machines: Start) -> None:
    on_machines()
    path = write_file(tmp_path, tasks=1)
    path.write_text(path.read_text().replace("vcpus: 1", "vcpus: 1, trace: false"))
    sweep = BatchSweep(path, tmp_path / "out")
    sweep.run()
    assert sweep.statuses() == {"done": 1} and not data.exists()


def test_one_that_cannot_be_written_fails_nothing(
    tmp_path: Path, data: Path, on_machines: Start, caplog: pytest.LogCaptureFixture
) -> None:
    on_machines()
    data.parent.parent.mkdir()
    data.parent.write_text("no folder")
    sweep = BatchSweep(write_file(tmp_path, tasks=2), tmp_path / "out")
    with caplog.at_level(logging.WARNING):
        sweep.run()
    assert sweep.statuses() == {"done": 2}


def test_a_run_on_this_machine(tmp_path: Path) -> None:
    sweep = SweepCommand(tmp_path)
    sweep.write(
        "name: art\ncommand: [sh, -c, 'test $0 = 3 && exit 1; exit $(( 75 * (SWEEP_ATTEMPT == 0) ))', '{i}']\n"
        "parameters: {i: [2, 3]}\nretries: 1\nretry_on: [75]\nmax_parallel: 1\n"
    )
    sweep("run", "art.yaml", "--local", status=1)
    [path] = sorted(tmp_path.rglob("covalent-parallel/traces/*.jsonl"))
    assert path.stat().st_mode & 0o777 == 0o600
    found = read_trace(path).records
    attempts = [record for record in found if record["kind"] == "attempt"]
    assert [(each["task"], each["attempt"], each["end"], each["exit_code"]) for each in attempts] == [
        (0, 0, "failed", 75),
        (0, 1, "done", 0),
        (1, 0, "failed", 1),
    ]
    for each in attempts:
        assert in_order(each["t"]) and each["t"]["began"] and each["cpu_seconds"] is not None
        assert set(each["machine"].values()) == {None}
    assert [record["verdict"] for record in found if record["kind"] == "ended"] == ["failed"]


def told(*changes: tuple[str, float, int | None]) -> TaskStatus:
    events = tuple(
        Event(f"Task state is updated from {change} on zones/us-east1-b/instances/17 with exit code.", seconds, code)
        for change, seconds, code in changes
    )
    return TaskStatus(0, "SUCCEEDED", events)


def row(index: int, attempt: int, began: float, **measured: object) -> Json:
    times = {"began": began, "fetched": began + 1, "ran_from": began + 2, "ran_to": began + 8, "delivered": began + 9}
    fields: Json = {"index": index, "round": 0, "attempt": attempt, "status": "done", "exit": 0}
    return fields | {"started": began + 1, "ended": began + 8, "measured": {"times": times, **measured}}


def test_machines_are_held_once_however_many_tasks_share_one() -> None:
    attempts = RoundAttempts(SweepTrace(clock=lambda: 1000.0), 0)
    attempts.note_job(JobStatus("j", "u", "RUNNING"))
    machine = {"type": "e2-standard-4", "zone": "us-east1-b", "instance": "17", "spot": True}
    for index in range(4):
        attempts.delivered(f"x={index}", row(index, 0, 100.0 + index, machine=machine))
    assert attempts.machine_seconds == 12.0
    task = SweepTask(Combination(4, 0, {}, None), "x=4", "k")
    lost = told(
        ("PENDING to ASSIGNED", 90.0, None), ("ASSIGNED to RUNNING", 95.0, None), ("RUNNING to FAILED", 130.0, 50001)
    )
    attempts.lost([(4, task)], lost)
    attempts.lost([(4, task)], lost)
    assert attempts.machine_seconds == 35.0
    attempts.delivered("x=5", row(5, 0, 100.0))
    assert attempts.machine_seconds is None


def test_what_a_row_tells_and_is_no_time_or_machine_counts_as_not_seen() -> None:
    attempts = RoundAttempts(SweepTrace(), 0)
    fields = row(0, 0, 100.0, machine="none")
    fields["measured"]["times"] = {"began": "early", "ran_from": float("nan"), "ran_to": True}
    attempts.delivered("x=0", fields)
    attempts.delivered("x=1", {**row(1, 0, 100.0), "measured": {"times": [1]}})
    assert attempts.machine_seconds is None
