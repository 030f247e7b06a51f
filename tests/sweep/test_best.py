"""`sweep best`: the tasks with the least or greatest value in a column."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sweep_command import SweepCommand

from covalent_parallel_plugin.sweep.records.best import UnknownColumnError, best_records
from covalent_parallel_plugin.sweep.records.record import Record

FILE = """\
name: art
command: [sh, -c, '
  echo "{\\"score\\": $0, \\"label\\": \\"s$0\\", \\"deep\\": {\\"neg\\": -$0}}" >r.json; test $0 != 3', "{i}"]
parameters: {i: [2, 10, 3, 7], mode: fast}
result: r.json
"""


@pytest.fixture
def sweep(tmp_path: Path) -> SweepCommand:
    return SweepCommand(tmp_path)


def record(name: str, status: str = "done", **columns: object) -> Record:
    return Record(
        index=0, name=name, parameters={}, status=status, exit=0, signal=None, seconds=1.0, attempts=1, machine="here",
        result=None, reason="", folder=Path(name), row={"task.name": name, **columns},
    )  # fmt: skip


def names(records: list[Record], is_max: bool = False, count: int = 9) -> list[str]:
    return [each.name for each in best_records(iter(records), "x", is_max, count)]


def test_the_least_come_first_and_equal_ones_stay_in_order() -> None:
    records = [record("a", x=2), record("b", x=1.5), record("c", x=2.0), record("d", x=-1), record("e", x=10**400)]
    assert names(records) == ["d", "b", "a", "c", "e"]
    assert names(records, is_max=True) == ["e", "a", "c", "b", "d"]
    assert names(records, count=2) == ["d", "b"]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf"), "nan", "3", True, [1], {}])
def test_what_is_no_number_does_not_count(value: object) -> None:
    assert names([record("a", x=value), record("b"), record("c", x=1)]) == ["c"]


def test_what_is_not_done_does_not_count() -> None:
    assert names([record("a", status, x=1) for status in ("failed", "waiting", "no-result")]) == []


@pytest.mark.parametrize(
    ("column", "hint"),
    [
        ("losss", "did you mean 'loss' or 'loss.val'?"),
        ("?", "it has c1 c2 c3 c4 c5 c6 loss loss.val and 2 more"),
    ],
)
def test_an_unknown_column_is_a_mistake_that_names_the_nearest(column: str, hint: str) -> None:
    columns = {f"c{number}": number for number in range(7)}
    records = [record("a", **columns), record("b", **{"loss": 1, "loss.val": 2})]
    with pytest.raises(UnknownColumnError) as raised:
        best_records(records, column, False, 1)
    assert str(raised.value) == f"{column!r} is no column of the table: {hint}"


def test_the_command_shows_tasks_values_and_parameters(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    sweep("run", "art.yaml", "--local", status=1)
    assert sweep("best", "--by", "score").stdout.splitlines() == [
        "task.name  score  i   mode",
        "i=2        2      2   fast",
        "i=7        7      7   fast",
        "i=10       10     10  fast",
    ]
    assert sweep("best", "art", "--by", "deep.neg", "-n", "1").stdout.split()[-4:] == ["i=10", "-10", "10", "fast"]
    best = json.loads(sweep("best", "art", "--by", "score", "--max", "-n", "2", "--json").stdout)
    rows = {row["task.name"]: row for row in sweep.rows()}
    assert best == [rows["i=10"], rows["i=7"]]
    # A parameter and what the table says itself are columns like others
    assert sweep("best", "--by", "i").stdout.splitlines()[0].split() == ["task.name", "i", "mode"]
    assert len(sweep("best", "--by", "task.seconds").stdout.splitlines()) == 4


def test_its_mistakes(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    assert "there is no sweep 'art'" in sweep("best", "art", "--by", "score", status=1).stderr
    sweep("run", "art.yaml", "--local", status=1)
    assert sweep("best", "--by", "scor", status=2).stderr == (
        "'scor' is no column of the table: did you mean 'score'?\n"
    )
    assert sweep("best", "--by", "label", status=1).stderr == "Error: no task that is done has a number in 'label'\n"
    assert "--by" in sweep("best", status=2).stderr
    assert "-n" in sweep("best", "--by", "score", "-n", "0", status=2).stderr
