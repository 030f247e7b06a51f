"""How fast tasks end, how long the rest may take, and the machine-hours used, as `status` and `list` show them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from sweep_command import SweepCommand

from covalent_parallel_plugin.programs.verdict import TaskEnd
from covalent_parallel_plugin.sweep.combinations import Combination
from covalent_parallel_plugin.sweep.records.journal import end_event, pinned_event
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder
from covalent_parallel_plugin.sweep.records.pace import Pace
from covalent_parallel_plugin.sweep.sweep_status import PaceReport, SweepStatus
from covalent_parallel_plugin.sweep.tasks import Pinned, SweepTask


@pytest.fixture
def sweep(tmp_path: Path) -> SweepCommand:
    return SweepCommand(tmp_path)


def run_event(count: int, to_run: int) -> dict[str, object]:
    event = {"event": "run", "count": count, "to_run": to_run, "pinned": pinned_event(Pinned()), "stale": []}
    return event | {"local": True}


def end(index: int, started: float, ended: float, status: str = "done", **more: object) -> dict[str, object]:
    task = SweepTask(Combination(index, 0, {}, None), f"i={index}", "k")
    made = TaskEnd(status, 0, None, ended - started, 1, None, "here", started, ended)  # type: ignore[arg-type]
    return end_event(task, made, {}) | more


def pace_of(folder: Path, *events: dict[str, object], is_held: bool = False) -> PaceReport:
    out = OutFolder(folder / "art")
    with out.hold("art") as journal:
        for event in events:
            journal.append(event)
        if is_held:
            return SweepStatus.read(out).pace
    return SweepStatus.read(out).pace


def test_nothing_is_said_where_nothing_is_known(tmp_path: Path) -> None:
    assert pace_of(tmp_path) == PaceReport(None, None, 0)
    assert Pace().per_minute(100.0) is None
    lost = Pace()
    lost.add(0, 0)
    assert lost.per_minute(100.0) is None
    assert PaceReport(None, None, 0).texts() == ("", "", "")


def test_of_a_run_that_ended_all_but_the_time_left(tmp_path: Path) -> None:
    ends = [end(0, 100, 130), end(1, 100, 160, "failed"), end(2, 130, 220), end(3, 100, 500, "cancelled")]
    pace = pace_of(tmp_path, run_event(5, 5), *ends)
    assert pace == PaceReport(60 * 3 / 120, None, pytest.approx((30 + 60 + 90 + 400) / 3600))


def test_of_a_run_that_goes_on_the_time_left_too(tmp_path: Path) -> None:
    now = time.time()
    ends = [end(0, now - 60, now - 30), end(1, now - 60, now - 1)]
    # Of ten tasks eight run now; the others are done
    pace = pace_of(tmp_path, run_event(10, 8), *ends, is_held=True)
    # A busy machine reads it later
    assert pace.tasks_per_minute is not None and pace.left_seconds is not None
    assert 0 < pace.tasks_per_minute <= 2
    assert pace.left_seconds == pytest.approx(60 * 6 / pace.tasks_per_minute, rel=0.2)


def test_the_rate_is_of_the_last_run_that_ran_something_and_the_hours_of_all(tmp_path: Path) -> None:
    first, second = [end(0, 100, 160)], [end(1, 1000, 1010), end(2, 1010, 1020)]
    pace = pace_of(tmp_path, run_event(3, 3), *first, run_event(3, 2), *second, run_event(3, 0))
    assert pace == PaceReport(6, None, pytest.approx(80 / 3600))
    again = pace_of(tmp_path, end(1, 1000, 1010, is_read_again=True), end(2, 2000, 2010, used_seconds=100.0))
    assert again.machine_hours == pytest.approx(180 / 3600)


@pytest.mark.parametrize(
    ("pace", "texts"),
    [
        (PaceReport(0.01234, 3723, 1234.5678), ("0.012 a minute", "1h02m03s left", "1,235 machine-hours")),
        (PaceReport(1234.5, 0, 0.00021), ("1,234 a minute", "0s left", "0.001 machine-hours")),
    ],
)
def test_how_it_is_written(pace: PaceReport, texts: tuple[str, ...]) -> None:
    assert pace.texts() == texts


def test_status_and_list_show_it(sweep: SweepCommand) -> None:
    sweep.write(
        "name: art\ncommand: [sh, -c, 'sleep 0.$0; exit $(( 75 * (SWEEP_ATTEMPT == 0) ))', '{i}']\n"
        "parameters: {i: [2, 3]}\nretries: 1\nretry_on: [75]\n"
    )
    sweep("run", "art.yaml", "--local")
    found = json.loads(sweep("status", "--json").stdout)
    assert found["tasks_per_minute"] > 0 and found["left_seconds"] is None
    # The attempts that were not the last count, too
    assert found["machine_hours"] >= 2 * (0.2 + 0.3) / 3600
    shown = r"\S+ a minute,? +0\.\d+ machine-hours"
    assert re.search(f"^pace     {shown}$", sweep("status").stdout, re.MULTILINE)
    assert re.search(f"2 of 2 done +{shown} +{re.escape(str(sweep.folder))}/art$", sweep("list").stdout)
