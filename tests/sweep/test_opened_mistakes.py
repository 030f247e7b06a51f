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
    assert "command: {x} is not a parameter: there are {gain}, {i}, {repeat}," in found[1]
    assert "task_name: {gian} is not a parameter: did you mean {gain}?" in found[4]


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


def test_a_template_that_cannot_be_read_stands_beside_a_file_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("{% if %}")
    (tmp_path / "b.j2").write_text("{{ gg }}")
    found = mistakes(tmp_path, "command: echo {g}\nparameters: {g: 1}\nfiles: [a.j2, b.j2, nothing.txt]\n")
    assert [line.split(": ")[:2] for line in found] == [[f"sweep.yaml:3:{column}", "files"] for column in (9, 15, 21)]


def test_names_of_rows_are_known_where_a_row_is_wrong(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "command: echo {g} {i} {x}\nparameters: {file: rows.csv}\n", "g,i\n1\n")
    assert [line.split(": ")[0] for line in found] == ["sweep.yaml:1:23", "rows.csv:2:1"]


@pytest.mark.parametrize(
    "text",
    [
        "parameters: [g]",
        "parameters: {1g: 1}",
        "parameters: {<<: {g: 1}}",
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
    assert not [
        line for line in mistakes(tmp_path, f"command: echo {{g}}\n{text}\n") if "{g} is not a parameter" in line
    ]


def test_names_are_not_compared_where_values_are_missing(tmp_path: Path) -> None:
    text = "command: echo {g}\nparameters: {g: [1, 2], i: [1, []]}\ntask_name: t\nrepeat: 2\n"
    assert mistakes(tmp_path, text) == [
        "sweep.yaml:2:32: an entry of 'i' is a list: a list holds plain values only",
    ]


def opened_warnings(folder: Path, text: str, *overrides: str) -> list[str]:
    (folder / "sweep.yaml").write_text(text)
    opened = OpenedSweep.open(FileRequest(folder / "sweep.yaml", overrides), {}, SavedInput())
    return [line.replace(f"{folder}/", "") for line in opened.warnings]


def test_options_of_batch_are_named_where_they_change_nothing(tmp_path: Path) -> None:
    text = "resources: {spot: true, vcpus: 1, memory: 100, priority: 3, machine_type: n2-standard-4}\n"
    assert opened_warnings(tmp_path, f"image: a\n{text}") == [
        "sweep.yaml:2:12: resources: these have no effect on this machine: machine_type, spot, priority"
    ]
    assert opened_warnings(tmp_path, f"command: a\n{text}") == [
        "sweep.yaml:2:12: resources: these have no effect without image: memory, machine_type, spot, priority"
    ]
    # Its GPUs are passed on
    assert not opened_warnings(tmp_path, "image: a\nresources: {machine_type: a2-highgpu-1g}\n")


def test_a_warning_of_an_option_of_the_command_line_names_it(tmp_path: Path) -> None:
    assert opened_warnings(tmp_path, "command: a\n", "parameters.g=1") == [
        "sweep.yaml: --set parameters.g=1: the parameter g is used nowhere: write {g} where it belongs"
    ]


def test_of_very_many_unknown_placeholders_some_are_named(tmp_path: Path) -> None:
    words = ", ".join(f'"{{b{number}}}"' for number in range(90_000))
    found = mistakes(tmp_path, f"command: [{words}]\nparameters: {{a: 1}}\n")
    assert len(found) == 100
    assert found[0].startswith("sweep.yaml:1:11: command: {b0} is not a parameter: there are {a}, ")


def test_of_very_many_parameters_some_are_named(tmp_path: Path) -> None:
    parameters = "".join(f" k{number}: 1\n" for number in range(40_000))
    (line,) = mistakes(tmp_path, f"command: echo {{a}}\nparameters:\n{parameters}")
    assert line.endswith("{k58}, {k59}; {{a}} is the text {a}")
