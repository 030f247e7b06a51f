"""Which result of a sweep is shown, and how much of its variance each parameter explains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ..model import ResultTable
from .value_axis import ValueAxis


def number_results(table: ResultTable) -> list[str]:
    """Return the results that are numbers, in their order."""
    return [name for name in table.results if ValueAxis.of(row.get(name) for row in table.rows).distinct]


class ResultColumns:
    """The columns of a table with their axes, and what explains one result.

    Attributes:
        by: that result.
        values: by column, in the order of the tasks.
        varying: the parameters that have more than one value, in their order.
        effects: which share of the result's variance each of them explains by itself, from 0 to 1, as omega squared:
            of one that has another value in each task that is 0, and not 1. Numbers with many values are in bins.
    """

    def __init__(self, table: ResultTable, by: str) -> None:
        self.table, self.by = table, by
        columns = (*table.parameters, by)
        self.values = {name: [row.get(name) for row in table.rows] for name in columns}
        self.axes = {name: ValueAxis.of(self.values[name]) for name in columns}
        self.varying = [name for name in table.parameters if not self.axes[name].is_single]
        self.bins = {name: self.axes[name].bins(self.values[name]) for name in self.varying}
        self.places = [self.axes[by].place(value) for value in self.values[by]]
        self.effects = {name: _explained(self.bins[name].places, self.places) for name in self.varying}

    def strongest(self, count: int) -> list[str]:
        """Return so many parameters with the largest effect, in the order of the table; of equal ones the first."""
        chosen = sorted(self.effects, key=lambda name: -self.effects[name])[:count]
        return [name for name in self.varying if name in chosen]


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
