"""results.csv and results.json: columns, types, nested results, names that collide."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin.programs.core_schema import ParameterValue
from covalent_parallel_plugin.programs.verdict import TaskEnd
from covalent_parallel_plugin.sweep.combinations import Axis, Combination, Grid
from covalent_parallel_plugin.sweep.mistakes import Location
from covalent_parallel_plugin.sweep.records.journal import State, end_event, pinned_event, start_event
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder
from covalent_parallel_plugin.sweep.records.table import csv_line, flatten, parameter_names, write_tables
from covalent_parallel_plugin.sweep.tasks import Pinned, SweepTask

HERE = Location(1, 1)
ENDING = (
    "task.status,task.exit,task.signal,task.seconds,task.attempts,task.peak_mb,task.machine,task.started,task.ended,"
    "task.folder"
)


def task(index: int, **values: ParameterValue) -> SweepTask:
    return SweepTask(Combination(index, 0, values, None), f"t{index}", f"k{index}")


def write(
    folder: Path, tasks: list[SweepTask], ends: dict[int, TaskEnd], parameters: tuple[str, ...]
) -> tuple[str, Any]:
    """Write the tables of these tasks; return the CSV's text and the JSON's content."""
    out = OutFolder(folder / "out")
    with out.hold("art") as journal:
        journal.append({"event": "run", "count": len(tasks), "pinned": pinned_event(Pinned()), "stale": []})
        for one in tasks:
            if one.index in ends:
                journal.append(start_event(one, 1))
                journal.append(end_event(one, ends[one.index], {}))
        write_tables(out, tasks, parameters, journal.state)
    assert {path.name for path in out.path.iterdir()} == {"journal.jsonl", "results.csv", "results.json"}
    return (out.path / "results.csv").read_bytes().decode(), json.loads((out.path / "results.json").read_text())


def test_columns_and_types(tmp_path: Path) -> None:
    tasks = [
        task(0, rate=ParameterValue("1e-3", 0.001), mode=ParameterValue("on", "on"), n=ParameterValue("007", 7)),
        task(1, rate=ParameterValue("2", 2), mode=ParameterValue("~", None), n=ParameterValue("true", True)),
    ]
    end = TaskEnd("done", 0, None, 1.23456, 2, 12.34, "here", 1.5, 1732690000.25, result={"pi": 3.5, "fits": False})
    text, rows = write(tmp_path, tasks, {0: end}, ("rate", "mode", "n"))
    assert text == (
        f"task.index,task.name,rate,mode,n,{ENDING},pi,fits\r\n"
        "0,t0,0.001,on,7,done,0,,1.235,2,12.3,here,1970-01-01T00:00:01.500Z,2024-11-27T06:46:40.250Z,t0,3.5,false\r\n"
        "1,t1,2,,true,waiting,,,,,,,,,,,\r\n"
    )
    assert rows[0] == {
        "task.index": 0,
        "task.name": "t0",
        "rate": 0.001,
        "mode": "on",
        "n": 7,
        "task.status": "done",
        "task.exit": 0,
        "task.signal": None,
        "task.seconds": 1.235,
        "task.attempts": 2,
        "task.peak_mb": 12.3,
        "task.machine": "here",
        "task.started": "1970-01-01T00:00:01.500Z",
        "task.ended": "2024-11-27T06:46:40.250Z",
        "task.folder": "t0",
        "pi": 3.5,
        "fits": False,
    }
    assert rows[1]["task.status"] == "waiting" and rows[1]["n"] is True and rows[1]["mode"] is None


def test_a_sweep_without_tasks_has_tables_too(tmp_path: Path) -> None:
    assert write(tmp_path, [], {}, ()) == (f"task.index,task.name,{ENDING}\r\n", [])


def test_a_task_that_runs_again_waits(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "out")
    end = TaskEnd("failed", 2, None, 1, 1, None, "here", 1, 2)
    with out.hold("art") as journal:
        journal.append(end_event(task(0), end, {}))
        journal.append(start_event(task(0), 2))
        write_tables(out, [task(0)], (), journal.state)
    assert json.loads((out.path / "results.json").read_text())[0]["task.status"] == "waiting"


@pytest.mark.parametrize(
    ("result", "taken", "expected"),
    [
        ({"a": {"b": 1, "c": {"d": 2}}}, (), {"a.b": 1, "a.c.d": 2}),
        ({"x": 1, "y": 2}, ("x",), {"result.x": 1, "y": 2}),
        ({"task": {"status": "fine"}}, ("task.status",), {"result.task.status": "fine"}),
        ({"x": 1, "result.x": 2}, ("x",), {"result.x": 1, "result.result.x": 2}),
        ({"a.b": 1, "a": {"b": 2}}, (), {"a.b": 1, "result.a.b": 2}),
        ({"list": [1, {"n": float("inf")}], "none": {}}, (), {"list": [1, {"n": float("inf")}], "none": {}}),
    ],
)
def test_results_are_flattened(result: dict[str, Any], taken: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert flatten(result, taken) == expected


@pytest.mark.parametrize("text", ['a "b", c', "two\nlines", "cr\rhere", "ünï, ☃", " blanks ", "; $() ` '"])
def test_any_text_survives_the_csv(text: str) -> None:
    line = csv_line(["before", text, "after"])
    assert line.endswith(b"\r\n")
    assert list(csv.reader(io.StringIO(line.decode(), newline=""))) == [["before", text, "after"]]


def test_what_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    end = TaskEnd("done", 0, None, 1, 1, None, "here", 1, 2, result={"name": "\udcff", "list": ["a"]})
    text, rows = write(tmp_path, [task(0)], {0: end}, ())
    assert "\\udcff" in text and '"[""a""]"' in text
    assert rows[0]["name"] == "\udcff"


def test_parameters_stand_in_the_files_order() -> None:
    grids = [
        Grid((Axis(("b", "a"), [], HERE), Axis(("c",), [], HERE)), (), (), None, None, HERE),
        Grid((Axis(("a",), [], HERE), Axis(("d",), [], HERE)), (), (), None, None, HERE),
    ]
    assert parameter_names(grids) == ("b", "a", "c", "d")


def test_the_state_of_a_new_folder_is_empty(tmp_path: Path) -> None:
    assert OutFolder(tmp_path / "out").state("art").ends == State().ends == {}
