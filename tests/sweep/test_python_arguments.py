"""What `Sweep` takes: values of Python's and numpy's, names, paths; and every mistake, named as Python has it."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import yaml
from python_sweeps import enter

from covalent_parallel_plugin import Sweep, grid
from covalent_parallel_plugin.sweep.mistakes import SweepFileError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    enter(tmp_path, monkeypatch.setenv, monkeypatch.chdir)
    return tmp_path


class Colour(str, enum.Enum):
    RED = "red"


def mistakes_of(**arguments: Any) -> list[str]:
    """The lines of what is raised, by the constructor or by a plan."""
    try:
        Sweep(**{"command": "true", "flags": True, **arguments}).plan(local=True)
    except SweepFileError as error:
        return str(error).splitlines()
    return []


def planned(**arguments: Any) -> Any:
    return Sweep(**{"command": "true", **arguments}).plan(local=True).document


def test_rows_are_written_as_plain_values(folder: Path) -> None:
    rows = [
        {"n": numpy.int64(3), "f": numpy.float32(0.5), "b": numpy.bool_(True), "t": numpy.str_("a"), "p": Path("x/y"),
         "c": Colour.RED, "s": "1e-3", "none": None, "e": 1e-05}
    ]  # fmt: skip
    records = Sweep(command="echo {n} {f} {b} {t} {p} {c} {s} {none} {e}", parameters=rows).run(local=True, show=False)
    assert records[0].parameters == {
        "n": 3, "f": 0.5, "b": True, "t": "a", "p": "x/y", "c": "red", "s": "1e-3", "none": None, "e": 1e-05,
    }  # fmt: skip
    assert (records[0].folder / "stdout.txt").read_text() == "3 0.5 true a x/y red 1e-3 null 1e-05\n"


@pytest.mark.parametrize(
    ("axes", "values"),
    [
        ({"x": range(2), "y": numpy.array([0.5, 1e-05])}, [(0, 0.5), (0, 1e-05), (1, 0.5), (1, 1e-05)]),
        ({"x": ("1", "on"), "y": 2}, [("1", 2), ("on", 2)]),
        ({"x": {"start": 1, "stop": 3}, "y": (n for n in [7])}, [(1, 7), (2, 7)]),
    ],
)
def test_a_mapping_has_axes_and_constants(axes: dict[str, Any], values: list[Any]) -> None:
    sweep = Sweep(command="true {x} {y}", parameters=axes)
    assert [(record.parameters["x"], record.parameters["y"]) for record in sweep.records] == values


def test_any_iterable_of_rows_will_do_and_is_read_once() -> None:
    sweep = Sweep(command="true {x}", parameters=({"x": x} for x in range(3)))
    assert len(sweep.records) == 3
    assert sweep.plan(local=True).plan.total == 3


def test_a_data_frame_has_a_task_for_each_row() -> None:
    frame = pandas.DataFrame({"x": [1, 2], "y": ["a", "b"]})
    records = Sweep(command="true {x} {y}", parameters=frame).records
    assert [record.parameters for record in records] == [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]


def test_the_other_keys_are_those_of_a_file(folder: Path) -> None:
    (folder / "some.txt.template").write_text("x is {x}\n")
    (folder / "data").mkdir()
    (folder / "data" / "a").write_text("input\n")
    sweep = Sweep(
        command=["sh", "-c", "cat some.txt $DATA/a; echo $WORD"],
        name="all",
        grids=[{"parameters": {"x": [1, 2]}}, {"parameters": {"x": [3]}, "repeat": 2}],
        files=[Path("some.txt.template")],
        inputs={"data": Path("data")},
        environment={"DATA": "{inputs.data}", "WORD": "{x}"},
        resources={"vcpus": 1},
        time_limit=numpy.int64(50),
    )
    records = sweep.run(local=True, show=False)
    assert [(record.folder / "stdout.txt").read_text() for record in records] == [
        f"x is {x}\ninput\n{x}\n" for x in (1, 2, 3, 3)
    ]
    written = yaml.safe_load((folder / "all" / "sweep.yaml").read_text())
    assert written["inputs"] == {"data": "data"}
    assert written["time_limit"] == 50
    assert (folder / "all" / ".standard-input").exists() is False


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"image": "us-east1-docker.pkg.dev/p/images/my_pi:1.2"}, "my-pi"),
        ({"image": "localhost:5000/pi@sha256:" + "0" * 64}, "pi"),
        ({"command": "/usr/bin/python3.11 x.py"}, "python3-11"),
        ({"command": ["prog", "a"]}, "prog"),
        ({"command": ["{x}"], "parameters": [{"x": "true"}]}, "x"),
        ({"command": "true", "name": "mine"}, "mine"),
    ],
)
def test_a_sweep_has_a_name(arguments: dict[str, Any], name: str) -> None:
    assert planned(**{"command": "true", **arguments})["name"] == name


def test_the_folder_is_where_out_says(folder: Path) -> None:
    Sweep(command="true", out=Path("there/deep")).run(local=True, show=False)
    assert (folder / "there" / "deep" / "results.csv").exists()


def test_paths_start_in_the_folder_that_the_sweep_was_made_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "one.txt").write_text("one\n")
    sweep = Sweep(command="cat one.txt", files=["one.txt"])
    (folder / "other").mkdir()
    monkeypatch.chdir(folder / "other")
    (record,) = sweep.run(local=True, show=False)
    assert (record.folder / "stdout.txt").read_text() == "one\n"
    assert record.folder.parent == folder / "cat"


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            {"comand": "true", "name": "Some"},
            [
                "Sweep: name = 'Some' is not a valid name: use 1 to 40 of a-z, 0-9 and -, no - first",
                "Sweep: 'comand' is not a key of a sweep (did you mean 'command'?)",
            ],
        ),
        (
            {"command": "true {y}", "parameters": grid(x=[1])},
            ["Sweep: command: {y} is not a parameter: there are {x}, "],
        ),
        (
            {"parameters": {"x": {"start": 1, "stop": 1}}},
            ["Sweep: parameters: the axis 'x': start = 1, stop = 1 and step = 1 give 0 values"],
        ),
        (
            {"parameters": [{"x": 1}, {"x": date(2020, 1, 2)}, {"x": [1]}, {"y": 1, "z": 2}, 5]},
            [
                "Sweep: parameters[1]: x is datetime.date(2020, 1, 2), a date: give text, a number, True, False or",
                "Sweep: parameters[2]: x is [1], a list: give text, a number, True, False or None",
                "Sweep: parameters[3] lacks x and has y, z too: give each row the names of parameters[0], and None for",
                "Sweep: parameters[4] is 5: give a mapping of names and values, such as {'x': 1}",
            ],
        ),
        (
            {"command": ["true", 2j], "environment": {"A": object}, "nothing": 1},
            [
                "Sweep: command[1] is 2j, a complex: give text, a number, True, False or None",
                "Sweep: environment: A is <class 'object'>, a type: give text, a number, True, False or None",
                "Sweep: 'nothing' is not a key of a sweep",
            ],
        ),
        ({"parameters": []}, ["Sweep: parameters has no rows: give at least one, or leave it out"]),
        ({"parameters": [{}]}, ["Sweep: parameters[0] is empty: name a parameter and its value"]),
        ({"parameters": "rows.csv"}, ["Sweep: parameters is 'rows.csv': give rows, as grid(...) makes them"]),
        ({"parameters": {"x": ["a\0b"]}}, ["Sweep: parameters: 'a\\x00b' holds a character that no program"]),
        ({"parameters": [{"x": "a"}, {"x": "a\0b"}]}, ["Sweep: parameters[1] 'a\\x00b' holds a character that no"]),
        (
            {"parameters": [{"x y": 1}]},
            ["Sweep: parameters[0] 'x y' is not a valid parameter name: use letters, digits, _"],
        ),
        (
            {"parameters": [{"x": 1}, {"x": 2}, {"x": 1}]},
            ["Sweep: parameters: task 0 (x=1) and task 2 (x=1) are both named x=1"],
        ),
        ({"prepare": 5}, ["Sweep: prepare is 5: give a function of a task and its folder"]),
        ({"result": "x.txt"}, ["Sweep: result = 'x.txt' has an unsupported suffix"]),
        ({"files": ["gone"]}, ["Sweep: files: 'gone' does not exist in "]),
        ({"command": None}, ["Sweep: command is missing: write one, such as command: echo {g}"]),
    ],
)
def test_mistakes_name_the_argument_or_the_row(arguments: dict[str, Any], lines: list[str]) -> None:
    found = mistakes_of(**arguments)
    assert [line[: len(begin)] for line, begin in zip(found, lines, strict=True)] == lines


def test_what_batch_lacks_is_said_in_pythons_words(folder: Path) -> None:
    with pytest.raises(SweepFileError) as raised:
        Sweep(command="true").run(show=False)
    lines = str(raised.value).splitlines()
    assert "Sweep: image is missing: name one, or run the command on this machine with local=True" in lines
    assert not any("--" in line for line in lines)
    # A plan of one with an image is shown all the same
    assert "warning: Sweep: " in str(Sweep(image="some/image").plan())


def test_warnings_name_the_argument(caplog: pytest.LogCaptureFixture) -> None:
    sweep = Sweep(command="true", parameters=[{"unused": 1}])
    warning = "Sweep: parameters: the parameter unused is used nowhere: write {unused} where it belongs"
    assert sweep.plan(local=True).document["warnings"] == [warning]
    assert str(sweep.plan(local=True)).startswith(f"warning: {warning}\n")
    sweep.run(local=True, show=False)
    assert [message.getMessage() for message in caplog.records] == [warning]


def test_a_folder_of_another_sweep_is_refused_with_what_to_do(folder: Path) -> None:
    Sweep(command="true", out="one").run(local=True, show=False)
    other = Sweep(command="false", out="one")
    for ask in (lambda: other.run(local=True, show=False), lambda: other.plan(local=True), lambda: other.records):
        with pytest.raises(Exception, match="belongs to the sweep 'true', and this one is 'false': give out= another"):
            ask()
    json.loads((folder / "one" / "results.json").read_text())


@pytest.mark.parametrize("give", [lambda value: [{"x": value}], lambda value: {"x": [value]}])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\ud800", r"is 'a\ud800', which is not text in UTF-8: leave out what cannot be encoded"),
        (10**5000, "has more digits than Python writes: give it as text"),
    ],
    ids=["surrogate", "digits"],
)
def test_values_that_cannot_be_written(give: Callable[[Any], Any], value: Any, text: str) -> None:
    (line,) = mistakes_of(parameters=give(value))
    assert line.endswith(text)
    assert line.startswith("Sweep: parameters")
