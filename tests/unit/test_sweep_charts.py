"""The charts and the table of a sweep's results, over tables of many kinds."""

from __future__ import annotations

import html
import math
import random
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from covalent_parallel_plugin.results.report.charts.effects import ResultColumns
from covalent_parallel_plugin.results.report.charts.heat_map import heat_map
from covalent_parallel_plugin.results.report.charts.parallel_coordinates import MOST_LINES, parallel_coordinates
from covalent_parallel_plugin.results.report.charts.value_axis import ValueAxis, value_text
from covalent_parallel_plugin.results.report.html import page
from covalent_parallel_plugin.results.report.model import FailedTask, Report, ResultTable
from covalent_parallel_plugin.results.report.sweep_sections import MOST_ROWS, SweepSections

Row = Mapping[str, object]


def table(rows: Sequence[Row], results: Sequence[str] = ("loss",), names: Sequence[str] = ()) -> ResultTable:
    parameters = tuple(name for name in rows[0] if name not in results)
    tasks = tuple(names or (f"t{number}" for number in range(len(rows))))
    return ResultTable(parameters, tuple(results), tuple(rows), tasks, ("done",) * len(rows), "/sweeps/art")


def grid(seeds: int = 2) -> list[Row]:
    """Depth explains most of the loss, the rate some of it, the seed next to nothing."""
    return [
        {"lr": lr, "depth": depth, "seed": seed, "data": "zinc", "loss": depth + 0.5 * math.log10(lr) + 0.01 * seed}
        for lr in (0.001, 0.01, 0.1, 1.0)
        for depth in (2, 4, 6)
        for seed in range(seeds)
    ]


def parsed(markup: str) -> ET.Element:
    """Each chart is XML: what is in it is escaped, and all that is open is closed."""
    return ET.fromstring(f"<r>{markup}</r>")


def texts(markup: str, tag: str = "title") -> list[str]:
    return ["".join(each.itertext()) for each in parsed(markup).iter(tag)]


def charts(rows: Sequence[Row]) -> SweepSections:
    found = SweepSections.of(table(rows))
    parsed(found.lines), parsed(found.heat)
    page(Report("sweep", "1", "art", "completed", 1.0, results=table(rows)))
    return found


def test_a_line_for_each_task_over_the_parameters_that_vary() -> None:
    lines = parallel_coordinates(ResultColumns(table(grid()), "loss"))
    told = [text for text in texts(lines) if text.startswith("t")]
    assert len(told) == 24 and told[0] == "t0: lr 0.001, depth 2, seed 0, loss 0.5"
    assert len(list(parsed(lines).iter("polyline"))) == 24
    labels = [text for text in texts(lines, "text") if "log" in text]
    assert labels == ["lr (log)lr"] and "The same everywhere: data = zinc." in lines
    # The least and the greatest value have the first and the last colour
    levels = [each.get("class") for each in parsed(lines).iter("polyline")]
    assert levels.count("v0") and levels.count("v6") and set(levels) <= {f"v{level}" for level in range(7)}


def test_a_heat_map_over_the_two_parameters_that_explain_most() -> None:
    columns = ResultColumns(table(grid()), "loss")
    assert list(columns.effects) == ["lr", "depth", "seed"]
    assert columns.effects["depth"] > columns.effects["lr"] > 0.001 > columns.effects["seed"]
    heat = heat_map(columns)
    assert "loss by depth and lr: a cell is the mean over seed of 2 tasks." in html.unescape(heat)
    cells = [text for text in texts(heat) if "the mean of" in text]
    assert len(cells) == 12
    assert "depth 2, lr 0.01: loss 1.005, the mean of 2 tasks, from 1 to 1.01" in cells
    # The same for those who cannot see it: a table
    rows = [["".join(cell.itertext()) for cell in row] for row in parsed(heat).iter("tr")]
    assert rows[0] == ["depth \\ lr", "0.001", "0.01", "0.1", "1"] and rows[1][:2] == ["2", "0.505 (2)"]


def test_a_parameter_with_another_value_in_each_task_explains_nothing() -> None:
    rows = [{**row, "run": f"r{number}"} for number, row in enumerate(grid())]
    assert ResultColumns(table(rows), "loss").effects["run"] == 0.0


def test_values_that_are_missing_are_shown_as_missing() -> None:
    rows = [dict(row) for row in grid()]
    rows[0]["loss"] = rows[1]["loss"] = None
    rows[2]["loss"], rows[3]["loss"] = math.nan, math.inf
    rows[4]["depth"] = None
    found = charts(rows)
    assert "t0: lr 0.001, depth 2, seed 0, loss none" in texts(found.lines)
    assert "nonenone" in texts(found.lines, "text")
    assert "depth 2, lr 0.001: no loss; 2 without a number" in texts(found.heat)
    assert "a cell is the mean over seed of 1 to 2 tasks" in found.heat
    assert all(word not in found.lines for word in ("nan,", ">nan", "inf,"))
    table_ = [[cell.text for cell in row.cells] for row in found.rows[:4]]
    assert [cells[-1] for cells in table_] == ["", "", "NaN", "Infinity"]


@pytest.mark.parametrize(
    "rows",
    [
        [{"n": n, "loss": 1.5} for n in range(3)],
        [{"n": 1, "loss": 1.5}],
        [{"n": 1, "loss": n} for n in range(3)],
        [{"n": n, "loss": n * 1e307} for n in range(-17, 17)],
        [{"n": 10.0**n, "loss": 10.0**-n} for n in range(-300, 300, 7)],
        [{"n": n % 2 == 0, "loss": n} for n in range(6)],
        [{"n": [n, {"x": None}], "loss": n} for n in range(40)],
        [{"n": n * 10**400, "m": None, "loss": n} for n in range(4)],
        [{"n": "x" * 5000 + str(n), "loss": n} for n in range(30)],
        [{"n": n if n % 2 else str(n), "m": [math.nan, math.inf, -math.inf, 1.0][n % 4], "loss": n} for n in range(9)],
        [{"n": n, "loss": None} for n in range(3)],
        [{"n": n, "loss": "a"} for n in range(3)],
        [{"n": 5e-324 * n, "loss": 5e-324 * n} for n in range(20)],
    ],
    ids=(
        "equal",
        "one task",
        "one value",
        "largest",
        "decades",
        "booleans",
        "lists",
        "integers",
        "long texts",
        "mixed",
        "no result",
        "texts",
        "smallest",
    ),
)
def test_tables_of_all_kinds_are_drawn(rows: list[Row]) -> None:
    found = charts(rows)
    assert len(found.rows) == len(rows)
    for number in re.findall(r' [xy][12]?="([^"]*)"', found.lines + found.heat):
        assert math.isfinite(float(number))


def test_markup_in_names_and_values_stays_text() -> None:
    bad = "</script><b>\"'&{{x}}"
    rows: list[Row] = [{bad: f"{bad}{n}", "m": {bad: n}, "loss": n} for n in range(3)]
    found = charts([*rows, *rows])
    failed = FailedTask(bad, bad, bad, bad, bad)
    whole = page(Report("sweep", bad, bad, "failed", 1.0, results=table(rows, names=[bad] * 3), failed_tasks=(failed,)))
    assert not parsed(found.lines).findall(".//b") and not parsed(found.heat).findall(".//b")
    assert "<b>\"'" not in whole and bad in html.unescape(whole)
    # Those of the page itself: its data, and what sorts its tables
    assert whole.count("</script>") == 2


def test_many_tasks_are_drawn_in_bands_and_the_table_says_what_it_leaves_out() -> None:
    generator = random.Random(1)
    rows: list[Row] = [
        {"x": generator.random(), "y": generator.choice("abc"), "z": generator.randint(0, 50)} for _ in range(10_000)
    ]
    rows = [{**row, "loss": float(row["x"]) + (row["y"] == "a")} for row in rows]  # type: ignore[arg-type]
    began = time.process_time()
    found = charts(rows)
    assert time.process_time() - began < 60
    assert len(list(parsed(found.lines).iter("polyline"))) == 0
    assert len(list(parsed(found.lines).iter("line"))) < 500
    told = [int(text.split(": ")[1].split(" tasks")[0].replace(",", "")) for text in texts(found.lines) if ": " in text]
    assert sum(told) == 3 * 10_000
    assert "10,000 tasks are more than 500, too many to draw one by one" in found.lines
    assert len(found.rows) == MOST_ROWS
    values = [row.cells[-1].number for row in found.rows]
    assert values == sorted(value for value in values if value is not None) and values[0] == min(
        row["loss"]
        for row in rows  # type: ignore[type-var]
    )
    assert found.note == (
        "200 of 10,000 tasks: the 100 with the least and the 100 with the greatest loss. All are in"
        " /sweeps/art/results.csv."
    )
    few = charts(rows[: MOST_LINES + 1])
    assert "501 tasks" in few.lines and "too many" not in charts(rows[:MOST_LINES]).lines


def test_without_a_number_there_is_a_table_alone() -> None:
    found = charts([{"n": n, "loss": "low"} for n in range(3)])
    assert (found.by, found.lines, found.heat, found.note) == ("", "", "", "")
    assert [[cell.text for cell in row.cells] for row in found.rows] == [["0", "low"], ["1", "low"], ["2", "low"]]


@pytest.mark.parametrize(
    ("values", "is_log", "ticks"),
    [
        ([0.001, 0.01, 1], True, ["0.001", "0.01", "1"]),
        ([1, 2, 4], False, ["1", "2", "4"]),
        ([0, 1000], False, ["0", "1,000"]),
        ([-1, 1000], False, ["-1", "1,000"]),
        # A few values that are very small make no logarithmic axis
        ([1e-9, *(n / 100 for n in range(1, 101))], False, ["1e-09", "0.2", "0.4", "0.6", "0.8", "1"]),
        (["b", "a", "b"], False, ["b", "a"]),
        ([True, False], False, ["false", "true"]),
        ([7, 7], False, ["7"]),
        ([], False, []),
    ],
)
def test_axes(values: list[Any], is_log: bool, ticks: list[str]) -> None:
    axis = ValueAxis.of(values)
    assert (axis.is_log, [text for _, text in axis.ticks()]) == (is_log, ticks)
    places = [axis.place(value) for value in values]
    assert all(place is not None and 0 <= place <= 1 for place in places)
    bins = axis.bins(values)
    assert all(place is not None and 0 <= place < len(bins.texts) for place in bins.places)


def test_texts_of_values() -> None:
    values = [1, 1.5, 1234567.0, 1e-7, True, None, "a", [1, "é"], math.nan, 10**400 + 1]
    shown = ["1", "1.5", "1.235e+06", "1e-07", "true", "", "a", '[1, "é"]', "NaN", "1" + "0" * 8 + "…"]
    assert [value_text(value, 10) for value in values] == shown
