"""Runs of a sweep on Batch that were killed, or begun in another folder: nothing that was delivered runs again."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import batch_sweeps
import pytest
from batch_sweeps import Answer, BatchSweep, FakeMachines, by_value, on_emulator, write_file

from covalent_parallel_plugin.batch.job_names import LABEL_SWEEP
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.emulator import Fault, Faults
from covalent_parallel_plugin.sweep.batch.batch_run import BatchRunner
from covalent_parallel_plugin.sweep.batch.found_sweep import find_on_batch
from covalent_parallel_plugin.sweep.batch.gathered_sweep import SweepGathering
from covalent_parallel_plugin.sweep.batch.sweep_key import kept_identity
from covalent_parallel_plugin.sweep.plan import RunRequest
from covalent_parallel_plugin.sweep.records.journal import State

Start = Callable[..., FakeMachines]
SECONDS = 120


@pytest.fixture
def on_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with on_emulator(monkeypatch.setenv) as start:
        yield start


def start_run(path: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, batch_sweeps.__file__, path, out])


def kill_once(process: subprocess.Popen[bytes], is_so: Callable[[], object]) -> None:
    """Kill the process without a warning as soon as something is so."""
    until = time.monotonic() + SECONDS
    try:
        while not is_so():
            assert process.poll() is None, "the run has ended"
            assert time.monotonic() < until, "it does not become so"
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def has_event(out: Path, kind: str) -> Callable[[], bool]:
    path = out / "journal.jsonl"
    return lambda: path.exists() and f'"event":"{kind}"' in path.read_text()


@pytest.mark.parametrize("moment", ["round", "job", "end"])
def test_a_run_that_was_killed_goes_on_in_its_folder(tmp_path: Path, on_machines: Start, moment: str) -> None:
    machines = on_machines(by_value({str(x): Answer() for x in range(4)}, Answer(seconds=1.5)))
    sweep = BatchSweep(write_file(tmp_path, tasks=12), tmp_path / "out")
    is_so = {
        "round": has_event(sweep.out, "round"),
        "job": lambda: machines.rpcs["CreateJob"],
        "end": has_event(sweep.out, "end"),
    }
    kill_once(start_run(sweep.path, sweep.out), is_so[moment])
    sweep.run()
    assert sweep.statuses() == {"done": 12}
    assert machines.repeated == []
    assert machines.started == {f"x={x}": 1 for x in range(12)}


def test_a_run_that_was_killed_goes_on_in_another_folder(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({str(x): Answer() for x in range(4)}, Answer(seconds=1.5)), tasks_at_once=4)
    path = write_file(tmp_path, tasks=12)
    kill_once(start_run(path, tmp_path / "out"), has_event(tmp_path / "out", "end"))
    other = BatchSweep(path, tmp_path / "other")
    other.run()
    assert any("was run in another folder" in line for line in other.moved)
    assert other.statuses() == {"done": 12}
    assert machines.started == {f"x={x}": 1 for x in range(12)}
    assert State.read(other.out / "journal.jsonl").sweep_id == State.read(tmp_path / "out/journal.jsonl").sweep_id
    other.run()
    assert (other.plan.to_run, machines.rpcs["CreateJob"]) == (0, 1)


def test_in_another_folder_only_what_is_missing_is_submitted(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({"1": Answer(exit=3)}))
    first = BatchSweep(write_file(tmp_path, tasks=4), tmp_path / "out")
    first.run()
    machines.program = by_value({})
    other = BatchSweep(write_file(tmp_path, tasks=6), tmp_path / "other")
    other.run()
    assert other.statuses() == {"done": 6}
    assert machines.started == {"x=0": 1, "x=1": 2, "x=2": 1, "x=3": 1, "x=4": 1, "x=5": 1}
    assert [event["round"] for event in other.events("round")] == [0, 1]
    again = BatchSweep(other.path, tmp_path / "again")
    again.run(RunRequest(is_again=True))
    assert machines.started.total() == 7 + 6


def test_a_task_that_was_renamed_is_adopted_by_its_key(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines()
    BatchSweep(write_file(tmp_path, tasks=2), tmp_path / "out").run()
    other = BatchSweep(write_file(tmp_path, tasks=2, more="task_name: t{x}"), tmp_path / "other")
    other.run()
    assert other.statuses() == {"done": 2}
    assert machines.started.total() == 2
    assert (other.out / "t1" / "stdout.txt").read_text() == "x is 1\n"


def test_tasks_that_are_not_the_files_any_more_are_not_adopted(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines()
    BatchSweep(write_file(tmp_path, tasks=2), tmp_path / "out").run()
    path = write_file(tmp_path, tasks=2)
    path.write_text(path.read_text().replace('"-x"', '"-y"'))
    other = BatchSweep(path, tmp_path / "other")
    other.run()
    assert (other.statuses(), machines.started.total()) == ({"done": 2}, 4)


def test_a_job_that_is_gone_is_said_and_what_it_delivered_gathered(tmp_path: Path, on_machines: Start) -> None:
    gate = threading.Event()
    machines = on_machines(by_value({"0": Answer(), "1": Answer()}, Answer(gate=gate)))
    sweep = BatchSweep(write_file(tmp_path, tasks=4), tmp_path / "out")

    def wait_for(is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + SECONDS
        while not is_so() and time.monotonic() < until:
            time.sleep(0.05)

    def looks() -> int:
        return machines.rpcs["GetJob"] + machines.rpcs["ListJobs"]

    def delete() -> None:
        wait_for(lambda: machines.delivered.total() >= 2)
        # A job that the run has not seen yet may be one that Batch does not find yet
        before = looks()
        wait_for(lambda: looks() >= before + 2)
        machines.delete_jobs()

    deleting = threading.Thread(target=delete)
    deleting.start()
    end = sweep.run()
    deleting.join()
    gate.set()
    assert "somebody deleted it" in end.stopped
    assert sweep.statuses() == {"done": 2, "waiting": 2}
    sweep.run()
    assert sweep.statuses() == {"done": 4}
    assert machines.repeated == []


def test_the_key_of_a_folder_is_read_from_its_job_if_it_is_lost(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines()
    sweep = BatchSweep(write_file(tmp_path, tasks=2), tmp_path / "out")
    sweep.run(ready=BatchRunner.detach)
    key = (sweep.out / ".key").read_text()
    (sweep.out / ".key").unlink()
    sweep.run()
    assert (sweep.out / ".key").read_text() == key
    assert (sweep.statuses(), machines.started.total()) == ({"done": 2}, 2)


def test_a_job_of_another_version_is_named_and_not_used(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines()
    first = BatchSweep(write_file(tmp_path, tasks=2), tmp_path / "out")
    first.run()
    machines.submit_other({LABEL_SWEEP: "art"})
    other = BatchSweep(first.path, tmp_path / "other")
    other.run()
    assert any("another version" in line for line in other.moved)
    assert (other.statuses(), machines.started.total()) == ({"done": 2}, 2)


def test_a_sweep_is_found_by_its_name(tmp_path: Path, on_machines: Start) -> None:
    on_machines()
    sweep = BatchSweep(write_file(tmp_path, tasks=2), tmp_path / "out")
    settings = sweep.opened().file.settings
    assert find_on_batch("art", settings) is None
    sweep.run()
    found = find_on_batch("art", settings)
    assert found is not None
    assert found.identity.key.hex() == (sweep.out / ".key").read_text()
    assert [(job.round, job.status.state) for job in found.jobs] == [(0, "SUCCEEDED")]
    assert find_on_batch("another", settings) is None


def test_a_run_in_chaos_is_complete_and_runs_nothing_twice(tmp_path: Path, on_machines: Start) -> None:
    rules = (
        Fault("rpc.error", rate=0.1, code="UNAVAILABLE"),
        Fault("attempt.preempt", rate=1 / 3, attempt="0"),
        Fault("storage.error", rate=0.05, code=503),
    )
    machines = on_machines(faults=Faults(rules, seed=5))
    sweep = BatchSweep(write_file(tmp_path, tasks=150, retries=3), tmp_path / "out")
    end = sweep.run()
    assert (end.stopped, sweep.statuses()) == ("", {"done": 150})
    assert [row["x"] for row in sweep.rows()] == list(range(150))
    assert machines.repeated == []


def test_requests_are_few(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({}, Answer(seconds=0.05)), tasks_at_once=32)
    path = write_file(tmp_path, tasks=1000)
    path.write_text(path.read_text().replace("poll_freq: 0.5", "poll_freq: 5"))
    before = dict(machines.emulator.request_counts)
    started = time.monotonic()
    BatchSweep(path, tmp_path / "out").run()
    # One look in five seconds; the run takes half a minute
    more_looks = max(0.0, time.monotonic() - started - 30) / 5
    assert machines.rpcs.total() <= 0.02 * 1000 + more_looks
    own = {kind: count - before.get(kind, 0) for kind, count in machines.emulator.request_counts.items()}
    # Each machine here reads its setup and its shard, and writes its outcome
    assert sum(own.values()) - 3 * 1000 <= 20 + 1000 / 50 + 2 * more_looks, own


def test_nothing_but_the_sweeps_objects_is_written(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines()
    BatchSweep(write_file(tmp_path, tasks=2), tmp_path / "out").run()
    found = {blob.name.split("/")[0] for blob in machines.storage.list_blobs("covalent")}
    assert found == {"covalent-sweeps", "covalent-parallel-runner"}


def test_an_earlier_round_does_not_take_the_place_of_a_later_one(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({"1": Answer(exit=3)}))
    sweep = BatchSweep(write_file(tmp_path, tasks=2), tmp_path / "out", download=False)
    sweep.run()
    machines.program = by_value({})
    sweep.run()
    opened = sweep.opened()
    settings = opened.file.settings
    identity = kept_identity(opened.out, "art", sweep.events("open")[0]["id"])
    assert identity is not None
    store = ObjectStore.shared(settings.project_id, settings.bucket_name)
    with opened.out.hold("art") as journal:
        gathering = SweepGathering(opened.out, journal, identity, settings, store)
        gathering.gather([0])
        assert {name: end.status for name, end in journal.state.ends.items()} == {"x=0": "done", "x=1": "done"}
        assert {name: end.is_here for name, end in journal.state.ends.items()} == {"x=0": True, "x=1": False}
