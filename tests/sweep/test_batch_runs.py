"""Runs of a sweep on Batch: rounds, retries, limits, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_sweeps import Answer, BatchSweep, FakeMachines, by_value, on_emulator, write_file

from covalent_parallel_plugin.emulator import Fault, Faults
from covalent_parallel_plugin.sweep.batch.batch_run import BatchRunner
from covalent_parallel_plugin.sweep.plan import RunRequest

Start = Callable[..., FakeMachines]


@pytest.fixture
def on_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with on_emulator(monkeypatch.setenv) as start:
        yield start


def test_a_sweep_runs_in_one_job_and_its_table_is_complete(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines()
    sweep = BatchSweep(write_file(tmp_path), tmp_path / "out")
    end = sweep.run()
    assert (end.cancelled, end.stopped, end.detached) == (False, "", False)
    assert sweep.statuses() == {"done": 6}
    assert [row["x"] for row in sweep.rows()] == list(range(6))
    assert (tmp_path / "out" / "x=3" / "stdout.txt").read_text() == "x is 3\n"
    described = json.loads((tmp_path / "out" / "x=3" / "task.json").read_text())
    assert (described["arguments"], described["parameters"]) == (["-x", "3"], {"x": 3})
    assert machines.rpcs["CreateJob"] == 1
    assert (tmp_path / "out" / ".key").stat().st_mode & 0o777 == 0o600


def test_what_is_done_does_not_run_again_and_what_failed_does(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({"2": Answer(exit=3)}))
    sweep = BatchSweep(write_file(tmp_path), tmp_path / "out")
    sweep.run()
    assert sweep.statuses() == {"done": 5, "failed": 1}
    machines.program = by_value({})
    sweep.run()
    assert sweep.statuses() == {"done": 6}
    assert machines.started["x=2"] == 2
    assert machines.started.total() == 7
    assert next(row for row in sweep.rows() if row["x"] == 2)["task.attempts"] == 2
    sweep.run()
    assert (sweep.plan.to_run, machines.started.total()) == (0, 7)
    sweep.run(RunRequest(is_again=True))
    assert machines.started.total() == 13


def test_an_exit_status_of_retry_on_is_tried_again_by_batch(tmp_path: Path, on_machines: Start) -> None:
    def program(task: Any, attempt: int) -> Answer:
        return Answer(exit=9 if attempt < 1 else 0)

    machines = on_machines(program)
    sweep = BatchSweep(write_file(tmp_path, tasks=2, more="retry_on: [9]"), tmp_path / "out")
    sweep.run()
    assert sweep.statuses() == {"done": 2}
    assert machines.rpcs["CreateJob"] == 1
    assert [row["task.attempts"] for row in sweep.rows()] == [2, 2]


def test_tasks_that_are_lost_too_often_run_in_another_round(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(faults=Faults((Fault("attempt.preempt", task="1-2", job="*-0", before_run=True),)))
    sweep = BatchSweep(write_file(tmp_path), tmp_path / "out")
    end = sweep.run()
    assert (end.stopped, sweep.statuses()) == ("", {"done": 6})
    assert [event["tasks"] for event in sweep.events("round")] == [6, 2]
    assert machines.started.total() == 6


def test_lost_tasks_are_given_up_after_as_many_rounds_as_retries(tmp_path: Path, on_machines: Start) -> None:
    on_machines(faults=Faults((Fault("attempt.preempt", task="0", before_run=True),)))
    sweep = BatchSweep(write_file(tmp_path, tasks=2), tmp_path / "out")
    sweep.run()
    # In the second round the task that is always lost is the only one
    assert sweep.statuses() == {"lost": 1, "done": 1}
    assert len(sweep.events("round")) == 2
    [lost] = [end for end in sweep.events("end") if end["status"] == "lost"]
    assert "preempted" in lost["reason"]


def test_spot_fallback_has_one_more_round_on_standard_machines(tmp_path: Path, on_machines: Start) -> None:
    rules = (Fault("attempt.preempt", provisioning="SPOT", task="0", before_run=True),)
    machines = on_machines(faults=Faults(rules))
    path = write_file(tmp_path, tasks=3, retries=0)
    path.write_text(path.read_text().replace("vcpus: 1", "vcpus: 1, spot: true, spot_fallback: true"))
    sweep = BatchSweep(path, tmp_path / "out")
    sweep.run()
    assert sweep.statuses() == {"done": 3}
    assert [event["tasks"] for event in sweep.events("round")] == [3, 1]
    assert machines.started.total() == 3


def test_a_container_that_is_killed_is_killed_and_no_other_task_suffers(tmp_path: Path, on_machines: Start) -> None:
    on_machines(by_value({"4": Answer(container_exit=137)}))
    sweep = BatchSweep(write_file(tmp_path), tmp_path / "out")
    sweep.run()
    assert sweep.statuses() == {"done": 5, "killed": 1}
    assert len(sweep.events("round")) == 1
    described = json.loads((tmp_path / "out" / "x=4" / "task.json").read_text())
    assert (described["status"], described["exit"], described["signal"]) == ("killed", 137, 9)


def test_the_rest_of_a_killed_bundle_runs_in_another_round(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({"1": Answer(container_exit=137)}))
    sweep = BatchSweep(write_file(tmp_path, tasks=7, more="bundle: 3"), tmp_path / "out")
    sweep.run()
    assert sweep.statuses() == {"done": 6, "killed": 1}
    assert [event["tasks"] for event in sweep.events("round")] == [7, 1]
    assert machines.started == {f"x={x}": 1 for x in range(7)}


@pytest.mark.parametrize(("code", "key"), [(125, "`image`"), (126, "`workdir`"), (127, "`workdir`")])
def test_an_image_that_does_not_start_stops_the_run_and_tasks_stay_waiting(
    tmp_path: Path, on_machines: Start, code: int, key: str
) -> None:
    on_machines(by_value({}, Answer(container_exit=code)))
    sweep = BatchSweep(write_file(tmp_path, tasks=3), tmp_path / "out")
    end = sweep.run()
    assert sweep.statuses() == {"waiting": 3}
    assert f"sweep 'art' ended with exit code {code}: the container could not be started" in end.stopped
    assert key in end.stopped
    # of electrons alone
    assert "container_image_uri" not in end.stopped and "python3" not in end.stopped
    assert len(sweep.events("round")) == len(sweep.events("round-end")) == 1


def test_what_was_asked_for_again_and_did_not_run_is_not_done(tmp_path: Path, on_machines: Start) -> None:
    answers: dict[str, Answer] = {}
    on_machines(by_value(answers))
    sweep = BatchSweep(write_file(tmp_path, tasks=3), tmp_path / "out")
    sweep.run()
    assert sweep.outcome.not_done == 0
    answers.update({str(x): Answer(container_exit=125) for x in range(3)})
    assert sweep.run(RunRequest(is_again=True)).stopped
    assert (sweep.outcome.not_done, sweep.statuses()) == (3, {"done": 3})
    answers.clear()
    sweep.run(RunRequest(is_again=True))
    assert sweep.outcome.not_done == 0


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("job.refused"), "could not start"),
        (Fault("job.cancelled"), "somebody else cancelled"),
        (Fault("rpc.error", method="CreateJob", code="INVALID_ARGUMENT"), "could not be submitted"),
        (Fault("rpc.service_account", method="CreateJob"), "could not be submitted"),
    ],
    ids=["refused", "cancelled", "invalid", "account"],
)
def test_a_job_that_fails_as_a_whole_stops_the_run(tmp_path: Path, on_machines: Start, fault: Any, text: str) -> None:
    machines = on_machines(faults=Faults((fault,)))
    sweep = BatchSweep(write_file(tmp_path, tasks=3), tmp_path / "out")
    end = sweep.run()
    assert text in end.stopped
    assert (sweep.statuses(), machines.rpcs["CreateJob"] <= 2) == ({"waiting": 3}, True)
    assert len(sweep.events("round-end")) == 1


def test_no_capacity_within_queue_limit_stops_the_run_and_ends_its_job(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(faults=Faults((Fault("job.no_capacity"),)))
    path = write_file(tmp_path, tasks=3)
    path.write_text(path.read_text().replace("vcpus: 1", "vcpus: 1, queue_limit: 1"))
    sweep = BatchSweep(path, tmp_path / "out")
    end = sweep.run()
    assert "queue_limit of 1 s" in end.stopped
    assert sweep.statuses() == {"waiting": 3}
    assert set(machines.job_states()) == {"CANCELLED"}


def test_stop_after_ends_the_job(tmp_path: Path, on_machines: Start) -> None:
    quick = {str(x): Answer(exit=1) for x in range(3)}
    machines = on_machines(by_value(quick, Answer(seconds=60)))
    sweep = BatchSweep(write_file(tmp_path, more="stop_after: 2"), tmp_path / "out")
    end = sweep.run()
    assert end.stopped.startswith("stop_after: ")
    assert set(sweep.statuses()) == {"failed", "cancelled"}
    assert set(machines.job_states()) == {"CANCELLED"}


def test_max_machine_hours_counts_what_runs(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({}, Answer(seconds=60)))
    more = "time_limit: 1\nmax_machine_hours: 0.0006\nstop_after: 1"
    sweep = BatchSweep(write_file(tmp_path, tasks=2, more=more, retries=0), tmp_path / "out")
    end = sweep.run()
    assert end.stopped.startswith("max_machine_hours: 0.0006 are used up")
    assert set(machines.job_states()) == {"CANCELLED"}


def test_cancel_ends_the_job_and_keeps_what_was_delivered(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({"0": Answer(), "1": Answer()}, Answer(seconds=60)))
    sweep = BatchSweep(write_file(tmp_path), tmp_path / "out")
    runners: list[BatchRunner] = []

    def ready(runner: BatchRunner) -> None:
        runners.append(runner)
        cancels = [runner.cancel]
        sweep.observer.on_tick = lambda: cancels.pop()() if cancels and len(sweep.observer.ends) == 2 else None

    end = sweep.run(ready=ready)
    assert (end.cancelled, end.detached) == (True, False)
    assert sweep.statuses() == {"done": 2, "cancelled": 4}
    assert set(machines.job_states()) == {"CANCELLED"}
    assert runners[0].running == 0
    assert sweep.events("round-end")


def test_a_run_that_was_detached_is_gone_on_with(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({}, Answer(seconds=2)))
    sweep = BatchSweep(write_file(tmp_path), tmp_path / "out")
    end = sweep.run(ready=BatchRunner.detach)
    assert (end.detached, end.stopped, sweep.statuses()) == (True, "", {"waiting": 6})
    assert sweep.events("finish")[-1]["detached"]
    sweep.run()
    assert sweep.statuses() == {"done": 6}
    assert (machines.rpcs["CreateJob"], machines.started.total()) == (1, 6)


def test_what_was_detached_and_has_ended_is_gathered_without_a_job(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines()
    sweep = BatchSweep(write_file(tmp_path), tmp_path / "out")
    sweep.run(ready=BatchRunner.detach)
    machines.wait_for_jobs()
    sweep.run()
    assert (sweep.plan.to_run, sweep.statuses()) == (0, {"done": 6})
    assert machines.rpcs["CreateJob"] == 1


def test_outputs_that_are_left_in_the_bucket_count_as_done(tmp_path: Path, on_machines: Start) -> None:
    large = {"text": "x" * 9000}
    machines = on_machines(by_value({"1": Answer(stdout="y" * 9000, result=large)}))
    sweep = BatchSweep(write_file(tmp_path, tasks=3), tmp_path / "out", download=False)
    sweep.run()
    assert not (tmp_path / "out" / "x=1").exists()
    assert [row.get("text") for row in sweep.rows()] == [None, large["text"], None]
    sweep.run()
    assert (sweep.plan.to_run, machines.started.total()) == (0, 3)


def test_an_outcome_that_was_changed_is_refused_and_its_task_runs_again(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({"1": Answer(stdout="y" * 9000)}))
    sweep = BatchSweep(write_file(tmp_path, tasks=3), tmp_path / "out")
    sweep.run(ready=BatchRunner.detach)
    machines.wait_for_jobs()
    machines.change_outcome("art", 1)
    sweep.run()
    assert sweep.statuses() == {"done": 3}
    assert machines.started == {"x=0": 1, "x=1": 2, "x=2": 1}
    assert (tmp_path / "out" / "x=1" / "stdout.txt").read_text() == "y" * 9000


def test_what_the_observer_raises_ends_the_job_and_the_run(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({}, Answer(seconds=60)))
    sweep = BatchSweep(write_file(tmp_path), tmp_path / "out")

    def tick() -> None:
        if machines.started:
            raise ZeroDivisionError

    sweep.observer.on_tick = tick
    with pytest.raises(ZeroDivisionError):
        sweep.run()
    assert set(machines.job_states()) == {"CANCELLED"}


@pytest.mark.parametrize("download", [True, False])
def test_results_are_read_again_where_the_file_reads_them_elsewhere(
    tmp_path: Path, on_machines: Start, download: bool
) -> None:
    machines = on_machines()
    sweep = BatchSweep(write_file(tmp_path, tasks=3), tmp_path / "out", download=download)
    sweep.run()
    with sweep.path.open("a") as file:
        file.write("result: {stdout: 'x is (?P<found>.*)'}\n")
    sweep.run()
    assert [row["found"] for row in sweep.rows()] == [0, 1, 2]
    other = BatchSweep(sweep.path, tmp_path / "other", download=download)
    other.run()
    assert [row["found"] for row in other.rows()] == [0, 1, 2]
    assert machines.started.total() == 3


def test_results_of_a_job_that_still_runs_are_read_as_the_file_says_now(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({}, Answer(stdout="it is 7\n", seconds=1.5)))
    sweep = BatchSweep(write_file(tmp_path, tasks=2), tmp_path / "out")
    sweep.run(ready=BatchRunner.detach)
    with sweep.path.open("a") as file:
        file.write("result: {stdout: 'it is (?P<found>.*)'}\n")
    sweep.run()
    assert [row["found"] for row in sweep.rows()] == [7, 7]
    assert machines.started.total() == 2


def test_how_many_run_is_known_while_they_do(tmp_path: Path, on_machines: Start) -> None:
    on_machines(by_value({}, Answer(seconds=2)))
    sweep = BatchSweep(write_file(tmp_path, tasks=3), tmp_path / "out")
    seen = set()

    def ready(runner: BatchRunner) -> None:
        sweep.observer.on_tick = lambda: seen.add(runner.running)

    sweep.run(ready=ready)
    assert 3 in seen
