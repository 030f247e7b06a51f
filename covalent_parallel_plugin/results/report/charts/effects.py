"""Which result of a sweep is shown, and how much of its variance each parameter explains."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from ..model import ResultTable
from .value_axis import ValueAxis

# So many parameters are taken one after the other
MOST_STEPS = 10
# On a scale from 0 to 1, squared: what is below comes from rounding
LEAST_VARIANCE = 1e-15


def number_results(table: ResultTable) -> list[str]:
    """Return the results that are numbers, in their order."""
    return [name for name in table.results if ValueAxis.of(row.get(name) for row in table.rows).distinct]


class ResultColumns:
    """The columns of a table with their axes, and what explains one result.

    Attributes:
        by: that result.
        values: by column, in the order of the tasks.
        varying: the parameters that have more than one value, in their order.
        effects: which share of the result's variance each of them explains, from 0 to 1, as omega squared: of one that
            has another value in each task that is 0, and not 1. Numbers with many values are taken in bins.
    """

    def __init__(self, table: ResultTable, by: str) -> None:
        self.table, self.by = table, by
        columns = (*table.parameters, by)
        self.values = {name: [row.get(name) for row in table.rows] for name in columns}
        self.axes = {name: ValueAxis.of(self.values[name]) for name in columns}
        self.varying = [name for name in table.parameters if not self.axes[name].is_single]
        self.bins = {name: self.axes[name].bins(self.values[name]) for name in self.varying}
        self.places = [self.axes[by].place(value) for value in self.values[by]]
        groups = {name: self._groups(name) for name in self.varying}
        self.effects = _shares(groups, {task: value for task, value in enumerate(self.places) if value is not None})

    def _groups(self, name: str) -> Sequence[object]:
        axis = self.axes[name]
        # Bins of categories have the rare ones together
        return self.bins[name].places if axis.is_number else [axis.place(value) for value in self.values[name]]

    def strongest(self, count: int) -> list[str]:
        """Return so many parameters with the largest effect, in the order of the table; of equal ones the first."""
        chosen = sorted(self.effects, key=lambda name: -self.effects[name])[:count]
        return [name for name in self.varying if name in chosen]


def _shares(groups: Mapping[str, Sequence[object]], values: Mapping[int, float]) -> dict[str, float]:
    """Return each parameter's share; the first is the one with the largest, each next one explains what is left."""
    found = dict.fromkeys(groups, 0.0)
    if not values:
        return found
    centre = sum(values.values()) / len(values)
    left = {task: value - centre for task, value in values.items()}
    total = sum(value**2 for value in left.values())
    rest = list(groups)
    while rest and len(groups) - len(rest) < MOST_STEPS and total > LEAST_VARIANCE:
        shares = {name: _explained(groups[name], left, total) for name in rest}
        best = max(rest, key=lambda name: shares[name])
        found |= shares
        rest.remove(best)
        means = _means(groups[best], left)
        left = {task: value - means.get(groups[best][task], 0.0) for task, value in left.items()}
    return found


def _explained(groups: Sequence[object], values: Mapping[int, float], total: float) -> float:
    """Return which share of a total sum of squares the means of groups are, without what chance makes of it."""
    sizes = Counter(groups[task] for task in values if groups[task] is not None)
    count = sum(sizes.values())
    if count <= len(sizes):
        return 0.0
    between = sum(sizes[group] * mean**2 for group, mean in _means(groups, values).items())
    within = (sum(values[task] ** 2 for task in values if groups[task] is not None) - between) / (count - len(sizes))
    return min(max((between - (len(sizes) - 1) * max(within, 0.0)) / total, 0.0), 1.0)


def _means(groups: Sequence[object], values: Mapping[int, float]) -> dict[object, float]:
    grouped: dict[object, list[float]] = defaultdict(list)
    for task, value in values.items():
        if groups[task] is not None:
            grouped[groups[task]].append(value)
    return {group: sum(each) / len(each) for group, each in grouped.items()}
