"""What is wrong with tasks, and what is odd about them, before any of them starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from by_hand import grid, sweep_file

from covalent_parallel_plugin.programs.core_schema import ParameterValue
from covalent_parallel_plugin.sweep.combinations import Grid
from covalent_parallel_plugin.sweep.mistakes import mistake_line
from covalent_parallel_plugin.sweep.tasks import Pinned, SweepTasks

SWEEPS = (
    "{sweep.config}, {sweep.config_object}, {sweep.count}, {sweep.folder}, {sweep.id}, {sweep.index}, {sweep.name},"
    " {sweep.prefix}, {sweep.result_object}, {sweep.task}"
)


def check(
    folder: Path, grids: Sequence[Grid], command: Sequence[str] = (), **changes: Any
) -> tuple[list[str], list[str]]:
    mistakes, warnings = SweepTasks(sweep_file(folder, grids, command, **changes), Pinned()).check()
    return [f"{mistake.location}: {mistake.text}" for mistake in mistakes], [
        mistake_line("sweep.yaml", warning) for warning in warnings
    ]


def mistakes(folder: Path, grids: Sequence[Grid], command: Sequence[str] = (), **changes: Any) -> list[str]:
    return check(folder, grids, command, **changes)[0]


def test_what_is_right_has_neither(tmp_path: Path) -> None:
    command = ["{g}", "{i}", "{repeat}", "{sweep.folder}", "{inputs.faces}", '{"json": 1}', "{ print $1 }", "{{x}}"]
    grids = [grid({"g": [1, 2], "i": 3}, repeat=2, task_name="{g}-{i}-{repeat}-{sweep.index}-{sweep.name}")]
    assert check(tmp_path, grids, command, inputs={"faces": "gs://b/f"}, config="json") == ([], [])


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gain", "{gain} is not a parameter: did you mean {again}? {{gain}} is the text {gain}"),
        (
            "x",
            f"{{x}} is not a parameter: there are {{again}}, {{inputs.faces}}, {SWEEPS}; {{{{x}}}} is the text {{x}}",
        ),
        ("sweep.tsak", "there is no {sweep.tsak}: did you mean {sweep.task}? {{sweep.tsak}} is the text {sweep.tsak}"),
        (
            "inputs.face",
            "{inputs.face}: there is no input 'face': did you mean {inputs.faces}?"
            " {{inputs.face}} is the text {inputs.face}",
        ),
    ],
)
def test_a_placeholder_without_a_parameter_is_named_with_the_nearest(tmp_path: Path, name: str, why: str) -> None:
    found = mistakes(
        tmp_path,
        [grid({"again": 1})],
        ["{again}", f"-x={{{name}}}"],
        entrypoint=[f"{{{name}}}"],
        environment={"MODE": f"{{{name}}}"},
        inputs={"faces": "gs://b/f"},
    )
    assert found == [f"4:1: command: {why}", f"1:1: entrypoint: {why}", f"5:1: environment: MODE: {why}"]


def test_a_repetition_needs_repeat(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, [grid({"rep": 1})], ["{repeat}"])
    assert found == (
        "4:1: command: {repeat} is available only with `repeat`, how often each combination runs:"
        " did you mean {rep}? {{repeat}} is the text {repeat}"
    )


def test_the_grid_that_lacks_a_parameter_is_named(tmp_path: Path) -> None:
    grids = [grid({"g": [1, 2], "size": 1}), grid({"g": [3, 4], "sized": 1}, line=7)]
    assert mistakes(tmp_path, grids, ["{g}", "{size}", "{sized}"]) == [
        "4:1: command: {size} is not a parameter in the grid of line 7: did you mean {sized}? {{size}} is the"
        " text {size}",
        "4:1: command: {sized} is not a parameter in the grid of line 1: did you mean {size}?"
        " {{sized}} is the text {sized}",
    ]


def test_a_name_takes_what_is_known_before_the_run(tmp_path: Path) -> None:
    grids = [grid({"g": [1, 2]}, task_name="{gg}{sweep.id}{inputs.faces}")]
    found = mistakes(tmp_path, grids, ["{g}"], inputs={"faces": "gs://b/f"})
    assert found == [
        "3:1: task_name: {gg} is not a parameter: did you mean {g}? {{gg}} is the text {gg}",
        "3:1: task_name: {sweep.id} is not known yet when tasks are named: did you mean {sweep.index}?"
        " {{sweep.id}} is the text {sweep.id}",
        "3:1: task_name: {inputs.faces} is not known yet when tasks are named: there are {g}, {sweep.index},"
        " {sweep.name}; {{inputs.faces}} is the text {inputs.faces}",
    ]


def test_two_tasks_of_one_name_are_both_named(tmp_path: Path) -> None:
    grids = [grid({"g": [1, 2], "i": [5, 6]}, task_name="size{g}", line=1)]
    assert mistakes(tmp_path, grids, ["{g}{i}"]) == [
        "3:1: task 0 (g=1, i=5) and task 1 (g=1, i=6) are both named size1: name in `task_name` what tells them apart",
        "3:1: task 2 (g=2, i=5) and task 3 (g=2, i=6) are both named size2: name in `task_name` what tells them apart",
    ]


def test_two_grids_may_not_name_their_tasks_alike(tmp_path: Path) -> None:
    grids = [grid({"g": [1, 2]}), grid({"g": [2, 3]}, line=7)]
    assert mistakes(tmp_path, grids, ["{g}"]) == [
        "7:3: task 1 (g=2) and task 2 (g=2) are both named g=2: write a `task_name` that tells them apart"
    ]


def test_case_alone_does_not_tell_names_apart(tmp_path: Path) -> None:
    assert mistakes(tmp_path, [grid({"g": ["a", "A"]})], ["{g}"]) == [
        "1:3: task 0 (g=a) and task 1 (g=A) are named g=a and g=A, which differ in case only:"
        " write a `task_name` that tells them apart"
    ]


def test_repetitions_are_told_apart_by_their_number(tmp_path: Path) -> None:
    assert mistakes(tmp_path, [grid({"g": 1}, repeat=3, task_name="x")], ["{g}"]) == [
        "3:1: task 0 (g=1, repeat=0) and task 1 (g=1, repeat=1) are both named x:"
        " name in `task_name` what tells them apart, such as {repeat}"
    ]


def test_ten_names_that_are_taken_twice_are_enough(tmp_path: Path) -> None:
    grids = [grid({"g": list(range(50)), "i": [1, 2, 3]}, task_name="{g}")]
    assert len(mistakes(tmp_path, grids, ["{g}{i}"])) == 10


def test_json_has_no_infinity(tmp_path: Path) -> None:
    grids = [
        grid(
            {"g": [ParameterValue(".inf", float("inf")), ParameterValue("1", 1), ParameterValue(".nan", float("nan"))]}
        )
    ]
    assert mistakes(tmp_path, grids, ["{g}"], config="json") == [
        "2:5: parameter g is .inf, which JSON does not have: write `config: yaml`",
        "2:5: parameter g is .nan, which JSON does not have: write `config: yaml`",
    ]
    assert check(tmp_path, grids, ["{g}"], config="yaml") == ([], [])


def test_a_parameter_that_nothing_uses_is_a_warning(tmp_path: Path) -> None:
    grids = [grid({"g": [1, 2], "h": 1, "t": 1, "j": 1, "n": 1}, task_name="{g}{n}")]
    (tmp_path / "x.template").write_text("{t}")
    (tmp_path / "y.j2").write_text("{{ j }}")
    files = ["x.template", "y.j2"]
    found = check(tmp_path, grids, ["{g}"], files=files)
    assert found == ([], ["sweep.yaml:2:6: the parameter h is used nowhere: write {h} where it belongs"])
    for changes in ({"flags": "joined"}, {"config": "json"}, {"environment": {"X": "{h}"}}, {"entrypoint": ["{h}"]}):
        assert check(tmp_path, grids, ["{g}"], files=files, **changes) == ([], [])


def test_a_placeholder_in_a_template_that_is_near_a_parameter_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "x.template").write_text("{rate} {raet} {sweep.tsak} {quite_another_thing} {{raet}}")
    assert check(tmp_path, [grid({"rate": 1})], files=["x.template"]) == (
        [],
        [
            "sweep.yaml:6:1: files: x.template: {raet} is not a parameter and stays: did you mean {rate}?",
            "sweep.yaml:6:1: files: x.template: {sweep.tsak} is not a parameter and stays: did you mean {sweep.task}?",
        ],
    )


def test_a_jinja_template_that_can_be_filled_in_has_no_warning(tmp_path: Path) -> None:
    (tmp_path / "x.j2").write_text("{{ sweep.task }} {% if gg is defined %}{{ gg }}{% endif %} {{ g }}")
    assert check(tmp_path, [grid({"g": 1})], files=["x.j2"]) == ([], [])


def test_a_jinja_template_is_tried(tmp_path: Path) -> None:
    (tmp_path / "x.j2").write_text("{{ sweep.count|int - 1 }} {{ inputs.faces }} {{ gg }}")
    assert mistakes(tmp_path, [grid({"g": 1})], ["{g}"], files=["x.j2"], inputs={"faces": "gs://b/f"}) == [
        "6:1: files: x.j2 cannot be filled in: UndefinedError: 'gg' is undefined; it may use g, inputs.faces,"
        " sweep.name, sweep.id, sweep.task, sweep.index, sweep.count, sweep.folder, sweep.prefix, sweep.config,"
        " sweep.config_object, sweep.result_object"
    ]


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    grids = [grid({"g": [1, 2], "i": [1, 2]}, task_name="{g}")]
    found = mistakes(tmp_path, grids, ["{x}"], environment={"A": "{y}"}, files=["no"])
    assert [text.split(": ")[1] for text in found] == [
        *("command", "environment", "files"),
        "task 0 (g=1, i=1) and task 1 (g=1, i=2) are both named 1",
        "task 2 (g=2, i=1) and task 3 (g=2, i=2) are both named 2",
    ]
