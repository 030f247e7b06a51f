"""The commands of a sweep on Batch, on the emulator with machines that are threads."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from batch_sweeps import Answer, FakeMachines, by_value, on_emulator, write_file
from google.cloud import storage  # type: ignore[attr-defined]  # the package has no types
from pyarrow import parquet
from sweep_command import SweepCommand

from covalent_parallel_plugin.emulator import Emulator

Start = Callable[..., FakeMachines]
PLACE = ("--project-id", "local", "--bucket-name", "covalent")
ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}


@pytest.fixture
def on_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with on_emulator(monkeypatch.setenv) as start:
        yield start


class Slow:
    """A program that ends when it is told to, or by itself after a minute."""

    def __init__(self) -> None:
        self.seconds = 60.0

    def __call__(self, task: Mapping[str, Any], attempt: int) -> Answer:
        x = task["argv"][-1]
        return Answer(stdout=f"x is {x}\n", result={"x": int(x)}, seconds=0.0 if x in "01" else self.seconds)


def made(folder: Path, **more: Any) -> SweepCommand:
    folder.mkdir(exist_ok=True)
    write_file(folder, **more)
    return SweepCommand(folder)


def objects(prefix: str = "covalent-sweeps/") -> list[str]:
    return [blob.name for blob in storage.Client(project="local").list_blobs("covalent", prefix=prefix)]


def table(folder: Path) -> list[tuple[str, ...]]:
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    return [(row["task.name"], row["x"], row["task.status"], row.get("result.x", "")) for row in rows]


DONE = [(f"x={x}", str(x), "done", str(x)) for x in range(6)]


def test_a_run_is_on_batch_unless_it_is_local(tmp_path: Path, on_machines: Start) -> None:
    on_machines()
    sweep = made(tmp_path / "a")
    assert sweep("run", "art.yaml").stdout.endswith(f"art: 6 done; {tmp_path}/a/art/results.csv\n")
    assert table(tmp_path / "a" / "art") == DONE
    assert json.loads(sweep("status", "art", "--json").stdout)["state"] == "done"


def test_a_run_that_stops_says_why_on_lines_of_their_own(tmp_path: Path, on_machines: Start) -> None:
    on_machines(by_value({}, Answer(container_exit=125)))
    told = made(tmp_path / "a")("run", "art.yaml", status=1).stdout.splitlines()
    # An emulator has no pages of logs.
    assert any(line.startswith("Job: projects/local/") and " on the emulator at " in line for line in told), told
    assert told[-1] == f"art: 6 waiting; {tmp_path}/a/art/results.csv"


def test_an_emulator_whose_tasks_are_processes_is_refused_before_anything_is_uploaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Emulator() as emulator:
        for name, address in emulator.environment.items():
            monkeypatch.setenv(name, address)
        sweep = made(tmp_path / "a")
        told = sweep("run", "art.yaml", status=1).stderr
        assert "a sweep needs containers" in told and "`covalent-parallel dev --runtime podman -- PROGRAM`" in told
        assert "or run the sweep with --local" in told
        assert emulator.request_counts == {"emulator.runtime": 1} and emulator.rpc_counts == {}
    assert not (tmp_path / "a" / "art").exists()


def test_used_up_machine_hours_end_the_command(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({}, Answer(seconds=60)))
    sweep = made(tmp_path / "a")
    limit = ("--set", "resources.max_machine_hours=0.001")
    left = sweep("run", "art.yaml", "--detach", *limit).stdout
    assert "max_machine_hours = 0.001 is kept by nobody until `sweep run` waits for it again\n" in left
    shown = sweep("run", "art.yaml", *limit, status=1).stdout
    assert re.search(r"art: stopped: max_machine_hours: 0\.001 are used up: 0\.\d+ machine-hours were used", shown)
    assert "may be until its machines have stopped; what was delivered is kept. To go on, run again with a" in shown
    assert "--set resources.max_machine_hours=N: " in shown and set(machines.job_states()) == {"CANCELLED"}


def test_a_detached_run_goes_on_and_is_looked_at_and_gathered(tmp_path: Path, on_machines: Start) -> None:
    program = Slow()
    machines = on_machines(program)
    sweep = made(tmp_path / "a")
    told = sweep("run", "art.yaml", "--detach").stdout
    assert "art: detached: 6 waiting" in told
    assert [f"sweep {command} {tmp_path}/a/art" in told for command in ("status", "gather", "cancel")] == [True] * 3
    shown = sweep("status", "art").stdout
    assert shown.startswith("art: on Batch\n") and "running" in shown
    assert "on Batch     0 of 6 done" in sweep("list").stdout
    sweep.wait_for(lambda: machines.delivered.total() == 2, "delivery")
    assert "art: 2 done, 4 waiting" in (gathered := sweep("gather", "art").stdout)
    shown = json.loads(sweep("status", "art", "--json").stdout)
    assert shown["tasks_per_minute"] > 0
    # As many more as are not known here may have ended
    assert shown["left_seconds"] is None
    assert "has not ended" in gathered
    assert sweep("logs", "art", "x=1").stdout == "x is 1\n"
    assert "x=5: its machine is at work" in sweep("logs", "art", "x=5").stderr
    told = sweep("cancel", "art").stdout
    assert "cancelled" in told and machines.job_states() == ["CANCELLED"]
    shown = sweep("status", "art").stdout
    assert shown.startswith("art: ended on Batch\n") and "sweep gather art" in shown
    sweep("gather", "art")
    assert sweep("status", "art").stdout.startswith("art: not done\n")
    program.seconds = 0
    sweep("run", "art.yaml")
    assert table(tmp_path / "a" / "art") == DONE and machines.repeated == []


def test_status_asks_batch_also_while_a_run_waits_for_its_job(tmp_path: Path, on_machines: Start) -> None:
    program = Slow()
    machines = on_machines(program)
    sweep = made(tmp_path / "a")
    with sweep.start("run", "art.yaml") as run:
        sweep.wait_for(lambda: machines.started.total() == 6, "task that runs")
        shown = json.loads(sweep("status", "art", "--json").stdout)
        assert (shown["state"], shown["counts"].get("running")) == ("running", 4)
        assert shown["machine_hours"] > 0 and ": running: " in shown["jobs"][0]
        run.terminate()
        run.communicate(timeout=60)
    assert machines.job_states() == ["CANCELLED"]


def test_a_sweep_of_another_machine_is_found_by_its_name(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(by_value({"4": Answer(exit=3, stdout="no\n", seconds=0.01)}))
    made(tmp_path / "a")("run", "art.yaml", "--detach")
    machines.wait_for_jobs()
    (tmp_path / "b").mkdir()
    other = SweepCommand(tmp_path / "b")
    assert "give --project-id" in other("status", "art", status=1).stderr
    shown = json.loads(other("status", "art", "--json", *PLACE).stdout)
    assert (shown["state"], shown["tasks"], shown["counts"]) == ("not done", 6, {"done": 5, "failed": 1})
    assert shown["tasks_per_minute"] > 0 and shown["machine_hours"] > 0 and shown["left_seconds"] is None
    told = other("gather", "art", *PLACE, "--out", "art", "--out", "art.parquet").stdout
    assert "art: 5 done, 1 failed" in told and "art/results.csv art.parquet" in told
    assert parquet.read_table(tmp_path / "b" / "art.parquet").column("result.x").to_pylist() == [0, 1, 2, 3, None, 5]
    best = json.loads(other("best", "--by", "result.x", "--max", "-n", "2", "--json").stdout)
    assert [row["task.name"] for row in best] == ["x=5", "x=3"]
    assert other("best", "--by", "x", "-n", "1").stdout == "task.name  x\nx=0        0\n"
    rows = table(tmp_path / "b" / "art")
    assert rows == [*DONE[:4], ("x=4", "4", "failed", ""), DONE[5]]
    assert other("logs", "art", "x=4").stdout == "no\n"
    assert json.loads((tmp_path / "b" / "art" / "x=3" / "task.json").read_text())["parameters"] == {"x": 3}
    # It is a sweep's folder like any other
    assert other("status").stdout.startswith("art: not done\n")
    assert "without its file" in other("show", "art", "x=1", status=2).stderr
    machines.program = by_value({})
    other("run", str(tmp_path / "a" / "art.yaml"))
    assert table(tmp_path / "b" / "art") == DONE
    assert machines.started == {**{f"x={x}": 1 for x in range(6)}, "x=4": 2}


def test_a_sweep_whose_job_is_gone_is_said_to_be_so(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines()
    sweep = made(tmp_path / "a")
    sweep("run", "art.yaml", "--detach")
    machines.wait_for_jobs()
    machines.delete_jobs()
    other = made(tmp_path / "b")
    for command in ("status", "gather", "cancel"):
        told = other(command, "art", *PLACE, status=1).stderr
        assert "Batch has no job of it" in told and "their key went with the job" in told
    assert "gone" in sweep("status", "art").stdout
    sweep("gather", "art")
    assert table(tmp_path / "a" / "art") == DONE
    assert sweep("status", "art").stdout.startswith("art: done\n")


def test_cancel_from_another_machine_ends_the_job(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(Slow())
    made(tmp_path / "a")("run", "art.yaml", "--detach")
    (tmp_path / "b").mkdir()
    other = SweepCommand(tmp_path / "b")
    assert "art is cancelled" in other("cancel", "art", *PLACE).stdout
    assert machines.job_states() == ["CANCELLED"]
    assert "art is not running" in other("cancel", "art", *PLACE).stdout


def test_cancel_ends_a_run_and_its_job(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(Slow())
    sweep = made(tmp_path / "a")
    running = sweep.start("run", "art.yaml")
    sweep.wait_for(lambda: machines.started.total() == 6, "start")
    assert "is cancelled" in sweep("cancel", "art").stdout
    out, _ = running.communicate(timeout=60)
    assert (running.returncode, machines.job_states()) == (130, ["CANCELLED"])
    assert "art: interrupted: 2 done, 4 cancelled" in out
    # What a task had written by then is there, and so is when it ran
    assert sweep("logs", "art", "x=4").stdout == "x is 4\n"
    (row,) = [row for row in sweep.rows() if row["x"] == 4]
    assert (row["task.status"], row["task.machine"]) == ("cancelled", "vm") and row["task.started"]


def test_outputs_stay_in_the_bucket_until_they_are_gathered(tmp_path: Path, on_machines: Start) -> None:
    on_machines()
    sweep = made(tmp_path / "a")
    sweep("run", "art.yaml", "--no-download")
    assert table(tmp_path / "a" / "art") == DONE and not (tmp_path / "a" / "art" / "x=1").exists()
    assert "6 are done" in sweep("run", "art.yaml").stdout
    assert sweep("logs", "art", "x=1").stdout == "x is 1\n"
    sweep("gather", "art")
    assert sweep("logs", "art", "x=1").stdout == "x is 1\n" and table(tmp_path / "a" / "art") == DONE


def test_clean_removes_the_folder_and_what_is_in_the_bucket(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(program := Slow())
    sweep = made(tmp_path / "a")
    sweep("run", "art.yaml", "--detach")
    assert "left alone" in sweep("clean", "art", "--yes").stdout
    assert objects() and (tmp_path / "a" / "art").exists()
    sweep("cancel", "art")
    program.seconds = 0
    assert "gs://covalent/covalent-sweeps/art/" in sweep("clean", "art").stdout and objects()
    sweep("clean", "art", "--yes")
    assert objects() == [] and not (tmp_path / "a" / "art").exists()
    assert machines.job_states() == ["CANCELLED"]


def test_clean_removes_a_sweep_of_another_machine_from_the_bucket(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines(Slow())
    made(tmp_path / "a")("run", "art.yaml", "--detach")
    (tmp_path / "b").mkdir()
    other = SweepCommand(tmp_path / "b")
    assert "left alone" in other("clean", "art", "--yes", *PLACE).stdout and objects()
    other("cancel", "art", *PLACE)
    machines.wait_for_jobs()
    assert "removed" in other("clean", "art", "--yes", *PLACE).stdout and objects() == []
    assert "has nothing of it either" in other("clean", "art", "--yes", *PLACE, status=1).stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_without_a_terminal_cancels(tmp_path: Path, on_machines: Start, number: int) -> None:
    machines = on_machines(Slow())
    sweep = made(tmp_path / "a")
    running = sweep.start("run", "art.yaml")
    sweep.wait_for(lambda: machines.started.total() == 6, "start")
    os.kill(running.pid, number)
    running.communicate(timeout=60)
    assert (running.returncode, machines.job_states()) == (130, ["CANCELLED"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--local", "--detach"), "--detach is for runs on Batch"),
        (("--local", "--no-download"), "--no-download is for runs on Batch"),
        (("--follow",), "--follow prints what tasks on this machine write"),
    ],
)
def test_options_that_mean_nothing_where_tasks_run_are_refused(tmp_path: Path, words: Any, text: str) -> None:
    assert text in made(tmp_path / "a")("run", "art.yaml", *words, status=2).stderr


def test_what_batch_needs_is_missing(tmp_path: Path) -> None:
    sweep = SweepCommand(tmp_path)
    sweep.write("name: art\ncommand: echo {x}\nparameters: {x: [1]}\n")
    told = sweep("run", "art.yaml", status=2).stderr
    for part in ("image is missing", "bucket_name is missing", "project_id is missing", "--local"):
        assert part in told
