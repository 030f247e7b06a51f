"""Names of tasks: what varies, or a pattern; legal in any folder, and never another file's there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from by_hand import grid, sweep_file, value
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.programs.core_schema import ParameterValue
from covalent_parallel_plugin.sweep.combinations import Axis, Grid, Pattern
from covalent_parallel_plugin.sweep.mistakes import Location
from covalent_parallel_plugin.sweep.names import RESERVED, legal_name, varying_parameters
from covalent_parallel_plugin.sweep.tasks import Pinned, SweepTasks

KEY = "0123456789abcdef" * 4


def names(*grids: Grid, name: str = "art") -> list[str]:
    file = sweep_file(Path("/nowhere"), grids, ["{g}"], name=name)
    return [task.name for task in SweepTasks(file, Pinned())]


def test_a_task_is_named_after_what_varies_over_the_whole_sweep() -> None:
    first = grid({"g": [1, 2], "i": 30, "n": 50})
    second = grid({"g": 10, "i": [1, 2], "n": 50})
    assert names(first, second) == ["g=1,i=30", "g=2,i=30", "g=10,i=1", "g=10,i=2"]


def test_a_parameter_that_one_grid_lacks_varies() -> None:
    assert names(grid({"g": 1, "mode": "x"}), grid({"g": [1, 2]})) == ["g=1,mode=x", "g=1", "g=2"]


def test_values_are_written_as_in_the_file() -> None:
    rates = [
        ParameterValue("1e-3", 0.001),
        ParameterValue("007", 7),
        ParameterValue("on", "on"),
        ParameterValue("~", None),
    ]
    assert names(grid({"g": rates})) == ["g=1e-3", "g=007", "g=on", "g=_"]


def test_equal_numbers_that_are_written_differently_vary() -> None:
    assert varying_parameters([grid({"g": [ParameterValue("1", 1), ParameterValue("01", 1)], "h": [2, 2]})]) == {"g"}


def test_what_an_include_has_varies() -> None:
    plain = grid({"g": [1, 2], "h": 5})
    included = Grid(
        plain.axes, (), (Pattern({"g": value(1), "h": value(6)}, Location(9, 1)),), None, None, Location(1, 1)
    )
    assert varying_parameters([included]) == {"g", "h"}


def test_zipped_parameters_vary_each() -> None:
    axis = Axis(("a", "b"), [(value(1), value(5)), (value(2), value(5))], Location(1, 1))
    assert varying_parameters([Grid((axis,), (), (), None, None, Location(1, 1))]) == {"a"}


def test_repetitions_are_named() -> None:
    assert names(grid({"g": [1, 2]}, repeat=2)) == ["g=1,repeat=0", "g=1,repeat=1", "g=2,repeat=0", "g=2,repeat=1"]
    assert names(grid({"g": 1}, repeat=2)) == ["repeat=0", "repeat=1"]
    assert names(grid({"g": [1, 2]}, repeat=1)) == ["g=1", "g=2"]


def test_a_single_task_has_the_sweeps_name() -> None:
    assert names(grid({"g": 1})) == ["art"]
    assert names(grid({}, repeat=1), name="pi") == ["pi"]


def test_a_pattern_is_filled_in() -> None:
    assert names(grid({"g": [1, 2]}, task_name="size{g}")) == ["size1", "size2"]
    assert names(grid({"g": 1}, repeat=2, task_name="{sweep.name}-{sweep.index}-{repeat}")) == ["art-0-0", "art-1-1"]
    assert names(grid({"g": 1}, task_name="{{g}}/{g}")) == ["_g__1"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a b/c\\d:é\n", "a_b_c_d___"),
        ("", "_"),
        (".", "_"),
        ("..", "_."),
        (".git", "_git"),
        ("../x", "_._x"),
        ("results.csv", "_results.csv"),
        ("Journal.JSONL", "_Journal.JSONL"),
        ("A-Za+z,0=9_.", "A-Za+z,0=9_."),
        ("x" * 100, "x" * 100),
        ("x" * 101, "x" * 91 + "-01234567"),
        ("." * 101, "_" + "." * 90 + "-01234567"),
    ],
)
def test_a_name_is_legal(text: str, name: str) -> None:
    assert legal_name(text, lambda: KEY) == name


def test_repetitions_of_a_long_name_stay_apart() -> None:
    long = [*names(grid({"g": ["x" * 200, "y" * 200]}, repeat=2))]
    assert len(set(long)) == 4
    assert all(len(name) == 100 and re.search(r",repeat=[01]-[0-9a-f]{8}$", name) for name in long)


@given(st.text(), st.sampled_from(["", ",repeat=3"]))
def test_no_name_leaves_the_sweeps_folder_or_takes_another_files(text: str, end: str) -> None:
    name = legal_name(text, lambda: KEY, end)
    assert re.fullmatch(r"[A-Za-z0-9_=,+-][A-Za-z0-9._=,+-]{0,99}", name)
    assert name.lower() not in RESERVED
    assert Path("/out", name).resolve().parent == Path("/out")


@given(st.text(min_size=101))
def test_a_cut_name_ends_with_digits_of_the_key(text: str) -> None:
    assert legal_name(text, lambda: KEY).endswith("-01234567")
