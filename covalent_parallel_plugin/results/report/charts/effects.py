"""Which result of a sweep is shown, and how much of its variance each parameter explains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ..model import ResultTable
from .value_axis import ValueAxis


def column(table: ResultTable, name: str) -> list[object]:
    """Return the values of a column, in the order of the tasks."""
    return [row.get(name) for row in table.rows]


def number_results(table: ResultTable) -> list[str]:
    """Return the results that are numbers, in their order."""
    axes = {name: ValueAxis.of(column(table, name)) for name in table.results}
    return [name for name, axis in axes.items() if axis.distinct]


def varying(table: ResultTable) -> dict[str, ValueAxis]:
    """Return the parameters that have more than one value, in their order."""
    axes = {name: ValueAxis.of(column(table, name)) for name in table.parameters}
    return {name: axis for name, axis in axes.items() if not axis.is_single}


def effects(table: ResultTable, by: str) -> dict[str, float]:
    """Return for each parameter that varies which share of a result's variance it explains, from 0 to 1.

    Each by itself, as omega squared: of a parameter that has another value in each task that is 0, and not 1.
    Numbers with many values are taken in bins.
    """
    axis = ValueAxis.of(column(table, by))
    places = [axis.place(value) for value in column(table, by)]
    return {
        name: _explained(each.bins(column(table, name)).places, places) for name, each in varying(table).items()
    }


def strongest(shares: dict[str, float], count: int) -> list[str]:
    """Return so many parameters with the largest effect, in the order of the table; of equal ones the first."""
    chosen = sorted(shares, key=lambda name: -shares[name])[:count]
    return [name for name in shares if name in chosen]


def _explained(groups: Sequence[int | None], values: Sequence[float | None]) -> float:
    grouped: dict[int, list[float]] = defaultdict(list)
    for group, value in zip(groups, values, strict=True):
        if group is not None and value is not None:
            grouped[group].append(value)
    count = sum(map(len, grouped.values()))
    if count <= len(grouped):
        return 0.0
    mean = sum(map(sum, grouped.values())) / count
    between = sum(len(each) * (sum(each) / len(each) - mean) ** 2 for each in grouped.values())
    total = sum((value - mean) ** 2 for each in grouped.values() for value in each)
    within = (total - between) / (count - len(grouped))
    if total + within <= 1e-15:
        return 0.0
    return min(max((between - (len(grouped) - 1) * within) / (total + within), 0.0), 1.0)
