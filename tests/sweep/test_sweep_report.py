"""The report of a sweep: on this machine, on Batch with a preemption, without a trace, running, cancelled."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from batch_sweeps import Answer, BatchSweep, FakeMachines, on_emulator, write_file
from sweep_command import SweepCommand

from covalent_parallel_plugin.batch.machine_hours import machine_seconds
from covalent_parallel_plugin.batch.trace import read_trace
from covalent_parallel_plugin.results.report.model import (
    BOOT,
    CANCELLED,
    CODE,
    COMPLETED,
    FAILED,
    LOST,
    RUNNING,
    SWEEP,
    UPLOAD,
    WAITING,
    Report,
)  # fmt: skip
from covalent_parallel_plugin.results.report.sweep_report import is_sweep, sweep_report
from covalent_parallel_plugin.sweep.batch.batch_run import BatchRunner
from covalent_parallel_plugin.sweep.records.sweeps_index import UnknownSweepError

Start = Callable[..., FakeMachines]

LOCAL = """\
name: art
command: [sh, -c, '
  echo one; echo "no $0 </script><b>" >&2;
  echo "{\\"loss\\": $0.5, \\"tag\\": \\"t$0\\"}" >r.json; test $0 != 3', '{i}']
parameters: {i: [2, 3, 10], mode: fast}
result: r.json
max_parallel: 1
"""


@pytest.fixture
def on_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Start]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with on_emulator(monkeypatch.setenv) as start:
        yield start


def report(sweep: SweepCommand, name: str = "art") -> Report:
    return sweep_report(name, environment=sweep.environment, here=sweep.folder)


def phases_follow_each_other(found: Report) -> bool:
    spans = [attempt.spans for electron in found.electrons for attempt in electron.attempts]
    return all(a.end == b.begin and a.seconds > 0 for own in spans for a, b in pairwise(own))


def test_a_run_on_this_machine(tmp_path: Path) -> None:
    sweep = SweepCommand(tmp_path)
    sweep.write(LOCAL)
    sweep("run", "art.yaml", "--local", status=1)
    found = report(sweep)
    assert (found.kind, found.name, found.state, found.missing, found.machines) == ("sweep", "art", FAILED, (), ())
    [electron] = found.electrons
    assert (electron.kind, electron.title, electron.machine_seconds) == (SWEEP, "art", 0.0)
    assert [(each.name, each.end, each.exit_code, each.on_machine) for each in electron.attempts] == [
        ("i=2", "value", 0, None),
        ("i=3", "exception", 1, None),
        ("i=10", "value", 0, None),
    ]
    ends = [attempt.spans[-1].end for attempt in electron.attempts]
    assert found.began is not None and found.ended is not None and found.began <= min(ends) <= max(ends) <= found.ended
    # One at a time: each waits for those before it
    waits = [attempt.seconds(WAITING) for attempt in electron.attempts]
    assert waits == sorted(waits) and all(attempt.seconds(CODE) > 0 for attempt in electron.attempts)
    assert phases_follow_each_other(found)
    [path] = sorted((tmp_path / "data").rglob("*.jsonl"))
    ran = [record["t"]["ran_to"] - record["t"]["ran_from"] for record in read_trace(path).records if "task" in record]
    assert sum(each.seconds(CODE) for each in electron.attempts) == pytest.approx(sum(ran), abs=0.01)
    table = found.results
    assert table is not None and (table.parameters, table.results) == (("i", "mode"), ("loss", "tag", "task.seconds"))
    assert [(row["i"], row["mode"], row["loss"], row["tag"]) for row in table.rows] == [
        (2, "fast", 2.5, "t2"), (3, "fast", None, None), (10, "fast", 10.5, "t10"),
    ]  # fmt: skip
    assert (table.names, table.statuses) == (("i=2", "i=3", "i=10"), ("done", "failed", "done"))
    [failed] = found.failed_tasks
    assert (failed.name, failed.ending, failed.message) == ("i=3", "failed, exit 1", "no 3 </script><b>")
    assert failed.command == "covalent-parallel sweep logs art i=3 --both" and failed.last_lines == "no 3 </script><b>"
    assert sweep(*failed.command.split()[2:]).stdout == "one\n"
    assert electron.failure is not None and "1 of 3 tasks are not done; the first one: i=3" in electron.failure.message
    # Where Covalent is not installed, too
    code = (
        "import sys; from covalent_parallel_plugin.results.report.sweep_report import sweep_report;"
        " print(sweep_report('art').state, [name for name in sys.modules if name.split('.')[0] == 'covalent'])"
    )
    words = [sys.executable, "-c", code]
    shown = subprocess.run(words, env=sweep.environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout == "failed []\n"
    # By its folder and its id as well, and known to be a sweep
    assert {report(sweep, name).id for name in ("art", str(tmp_path / "art"), found.id)} == {found.id}
    assert [is_sweep(name, sweep.environment, tmp_path) for name in ("art", found.id, "arts")] == [True, True, False]
    with pytest.raises(UnknownSweepError, match=r"there is no sweep 'arts'.*: art"):
        report(sweep, "arts")
    # Those that failed alike are shown once
    path = sweep.write(LOCAL.replace("no $0", "no").replace("test $0 != 3", "false"))
    sweep("run", path, "--local", status=1)
    [failed] = report(sweep).failed_tasks
    assert (failed.name, failed.message, failed.alike) == ("i=2", "no </script><b>", 2)
    # Run again: its attempts count, days between the runs do not
    sweep.write(LOCAL.replace("test $0 != 3", "true"))
    sweep("run", "art.yaml", "--local")
    again = report(sweep)
    assert (again.state, len(again.electrons[0].attempts), again.failed_tasks) == (COMPLETED, 9, ())
    assert phases_follow_each_other(again)
    assert {each.round for each in again.electrons[0].attempts} == {0, 1, 2}


def test_what_is_known_without_a_trace(tmp_path: Path) -> None:
    sweep = SweepCommand(tmp_path)
    sweep.write(LOCAL + "resources: {trace: false}\n")
    sweep("plan", "art.yaml", "--local")
    sweep("run", "art.yaml", "--local", status=1)
    found = report(sweep)
    attempts = found.electrons[0].attempts
    assert [(each.name, each.end, each.machine_seconds) for each in attempts] == [
        ("i=2", "value", 0.0), ("i=3", "exception", 0.0), ("i=10", "value", 0.0),
    ]  # fmt: skip
    assert all([span.phase for span in each.spans] in ([CODE], []) for each in attempts)
    assert len(found.missing) == 1 and "no attempt of 3 tasks, as with `trace: false`" in found.missing[0]
    assert found.results is not None and len(found.results.rows) == 3


def test_a_trace_that_is_cut_and_has_unknown_records(tmp_path: Path) -> None:
    sweep = SweepCommand(tmp_path)
    sweep.write(LOCAL)
    sweep("run", "art.yaml", "--local", "--only", "i=2")
    [path] = sorted((tmp_path / "data").rglob("*.jsonl"))
    path.write_text(
        path.read_text() + '{"v":1,"kind":"later","node":null}\n{"v":1,"kind":"attempt","node":null}\n{"v":'
    )
    found = report(sweep)
    assert [each.name for each in found.electrons[0].attempts] == ["i=2"]
    assert any("3 lines of the trace are left out" in each for each in found.missing)


def test_on_batch_with_a_preemption_the_machine_seconds_are_the_emulators(tmp_path: Path, on_machines: Start) -> None:
    def program(task: Any, attempt: int) -> Answer:
        if task["argv"][-1] == "0" and not attempt:
            return Answer(container_exit=50001, seconds=2)
        return Answer(seconds=2, result={"loss": 1.5})

    machines = on_machines(program)
    sweep = BatchSweep(write_file(tmp_path, tasks=4), tmp_path / "out")
    sweep.run()
    found = sweep_report(str(sweep.out), here=tmp_path)
    [electron] = found.electrons
    assert (found.state, len(electron.attempts)) == (COMPLETED, 5)
    assert sorted((each.task, each.number, each.end) for each in electron.attempts)[:2] == [
        (0, 0, "preempted"), (0, 1, "value"),
    ]  # fmt: skip
    assert phases_follow_each_other(found) and electron.job.endswith("-0") and electron.asked.vcpus == 1
    [lost] = [each for each in electron.attempts if each.seconds(LOST)]
    assert lost.end == "preempted" and lost.seconds(LOST) == pytest.approx(2, abs=1.5)
    [path] = (tmp_path / "data").rglob("*.jsonl")
    assert electron.machine_seconds == pytest.approx(machine_seconds(read_trace(path).records), abs=0.01)
    # From when Batch starts a machine's thread to its first line it takes a moment, on a busy machine
    counted = machines.emulator.counts["vm_seconds"]
    assert electron.machine_seconds == pytest.approx(counted, rel=0.05, abs=0.5 * len(electron.attempts))
    assert sum(each.seconds for each in found.machines) == pytest.approx(electron.machine_seconds)
    assert found.results is not None and found.results.rows[0]["loss"] == 1.5


def test_a_detached_one_runs_until_it_is_gathered(tmp_path: Path, on_machines: Start) -> None:
    machines = on_machines()
    sweep = BatchSweep(write_file(tmp_path, tasks=3), tmp_path / "out")
    sweep.run(ready=BatchRunner.detach)
    machines.wait_for_jobs()
    found = sweep_report(str(sweep.out), here=tmp_path)
    assert (found.state, found.ended, found.electrons[0].attempts) == (RUNNING, None, ())
    assert any("`covalent-parallel sweep gather art`" in each for each in found.missing)
    assert any("3 tasks had not ended" in each for each in found.missing)
    sweep.run()
    found = sweep_report(str(sweep.out), here=tmp_path)
    assert (found.state, len(found.electrons[0].attempts)) == (COMPLETED, 3)
    assert all(each.seconds(UPLOAD) >= 0 and each.seconds(BOOT) >= 0 for each in found.electrons[0].attempts)


def test_one_that_was_cancelled(tmp_path: Path) -> None:
    sweep = SweepCommand(tmp_path)
    sweep.write("name: art\ncommand: [sleep, '{s}']\nparameters: {s: [0, 100, 101]}\nmax_parallel: 2\n")
    run = sweep.start("run", "art.yaml", "--local")
    sweep.wait_for(lambda: len(sweep.events("end")) == 1 and len(sweep.started()) == 3, "third task")
    found = report(sweep)
    assert (found.state, found.ended, found.is_running) == (RUNNING, None, True)
    assert [each.name for each in found.electrons[0].attempts] == ["s=0"]
    assert any("2 tasks had not ended when this was made" in each for each in found.missing)
    sweep("cancel", "art")
    run.communicate(timeout=180)
    found = report(sweep)
    assert found.state == CANCELLED and sorted(each.end for each in found.electrons[0].attempts) == [
        "cancelled", "cancelled", "value",
    ]  # fmt: skip
