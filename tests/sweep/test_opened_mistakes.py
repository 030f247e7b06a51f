"""A file's own mistakes and those of its tasks, all of them at once, and what is no mistake where others are."""

from __future__ import annotations

from pathlib import Path

import pytest

from covalent_parallel_plugin.sweep.mistakes import SweepFileError
from covalent_parallel_plugin.sweep.opened_sweep import FileRequest, OpenedSweep, SavedInput


def mistakes(folder: Path, text: str, rows: str = "") -> list[str]:
    """What is shown of a file that is opened, beside rows.csv; without the folder's name."""
    file = folder / "sweep.yaml"
    file.write_text(text)
    (folder / "rows.csv").write_text(rows)
    with pytest.raises(SweepFileError) as caught:
        OpenedSweep.open(FileRequest(file), {}, SavedInput())
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_those_of_the_tasks_stand_beside_those_of_the_file(tmp_path: Path) -> None:
    text = """\
name: No_name
command: echo {x} {repeat}
parameters:
  gain: [1, 2]
  i: {start: 1, stop: 1}
repeat: 0
task_name: "{gian}"
files: [nothing.txt]
"""
    found = mistakes(tmp_path, text)
    assert [line.split(": ")[0] for line in found] == [f"sweep.yaml:{place}" for place in (
        "1:7", "2:15", "5:6", "6:9", "7:12", "8:9"
    )]  # fmt: skip
    assert "command: {x} is no parameter: there are {gain}, {i}, {repeat}," in found[1]
    assert "task_name: {gian} is no parameter: did you mean {gain}?" in found[4]


def test_names_that_are_taken_twice_stand_beside_others(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "command: echo {g}\nconfig: xml\nparameters: {g: [1, 2]}\ntask_name: t\n") == [
        "sweep.yaml:2:9: config = 'xml' is none of json, yaml: use one of them",
        "sweep.yaml:4:12: task 0 (g=1) and task 1 (g=2) are both named t: name in `task_name` what tells them apart",
    ]


def test_an_exclude_that_matches_nothing_stands_beside_another_grids_mistake(tmp_path: Path) -> None:
    text = """\
command: echo {g}
grids:
- {parameters: {g: []}}
- {parameters: {g: [1, 2]}, exclude: {g: 3}}
"""
    assert mistakes(tmp_path, text) == [
        "sweep.yaml:3:20: the axis 'g' has 0 values: write one at least, or leave 'g' out",
        "sweep.yaml:4:38: exclude 'g: 3' matches no combination of g (2 values): correct it",
    ]


def test_names_of_rows_are_known_where_a_row_is_wrong(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "command: echo {g} {i} {x}\nparameters: {file: rows.csv}\n", "g,i\n1\n")
    assert [line.split(": ")[0] for line in found] == ["sweep.yaml:1:23", "rows.csv:2:1"]


@pytest.mark.parametrize(
    "text",
    [
        "parameters: [g]",
        "parameters: {1g: 1}",
        "parameters: {file: rows.txt}",
        "parameters: {file: rows.csv}",
        "parametres: {g: 1}",
        "variables: {g: 1}",
        "parameters: {g: 1}\ngrids: [{}]",
        "grids: [5, {parameters: {}}]",
        "grids: [{parametres: {g: 1}}]",
    ],
)
def test_a_placeholder_is_no_mistake_where_its_parameter_could_not_be_read(tmp_path: Path, text: str) -> None:
    assert not [line for line in mistakes(tmp_path, f"command: echo {{g}}\n{text}\n") if "{g} is no parameter" in line]


def test_names_are_not_compared_where_values_are_missing(tmp_path: Path) -> None:
    text = "command: echo {g}\nparameters: {g: [1, 2], i: [1, []]}\ntask_name: t\nrepeat: 2\n"
    assert mistakes(tmp_path, text) == [
        "sweep.yaml:2:32: an entry of 'i' is a list: a list holds plain values only",
    ]
