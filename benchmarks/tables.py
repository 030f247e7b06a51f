"""What was measured as tables: medians side by side, the ratio, and the bound that the ratio or the value must keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

SIGNIFICANT_DIGITS = 3


@dataclass(frozen=True)
class Bound:
    """The most that a line may show, or if `is_least` the least.

    `is_ratio` says whether that is of the ratio or of the first contender's value.
    """

    limit: float
    is_ratio: bool = False
    is_least: bool = False

    def text(self) -> str:
        return f"{'ratio' if self.is_ratio else 'value'} {'≥' if self.is_least else '≤'} {shown(self.limit)}"

    def holds(self, judged: float) -> bool:
        return judged >= self.limit if self.is_least else judged <= self.limit


@dataclass(frozen=True)
class Line:
    """One measure, with its unit in its name, and each contender's values, one per round; a contender may be absent."""

    measure: str
    values: Mapping[str, Sequence[float]]
    bound: Bound | None = None


@dataclass(frozen=True)
class Table:
    """Lines for the same contenders; `ratio` names the two whose medians are divided."""

    title: str
    contenders: Sequence[str]
    ratio: tuple[str, str]
    lines: Sequence[Line]

    def markdown(self) -> str:
        """The table in Markdown, its columns aligned."""
        ours, theirs = self.ratio
        head = ["", *self.contenders, f"{ours} / {theirs}", "must hold", ""]
        rows = [head, *([line.measure, *self._cells(line)] for line in self.lines)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        text = [_joined(rows[0], widths), "|" + "|".join(f" {dashes} " for dashes in rule) + "|"]
        return "\n".join([f"### {self.title}", "", *text, *(_joined(row, widths) for row in rows[1:])])

    def _cells(self, line: Line) -> list[str]:
        medians = {name: median(values) for name, values in line.values.items() if values}
        ratio = ratio_of(medians, self.ratio)
        cells = [shown(medians.get(name)) for name in self.contenders]
        if line.bound is None:
            return [*cells, shown(ratio), "", ""]
        judged = ratio if line.bound.is_ratio else medians.get(self.ratio[0])
        verdict = "not measured" if judged is None else "holds" if line.bound.holds(judged) else "BROKEN"
        return [*cells, shown(ratio), line.bound.text(), verdict]

    def record(self) -> dict[str, object]:
        """Everything as JSON-able values, each round's included."""
        return {
            "title": self.title,
            "ratio": list(self.ratio),
            "lines": [{"measure": line.measure, "values": dict(line.values)} for line in self.lines],
        }


def ratio_of(medians: Mapping[str, float], names: tuple[str, str]) -> float | None:
    """The quotient of two medians; None where one is missing or the divisor is 0."""
    ours, theirs = (medians.get(name) for name in names)
    return None if ours is None or not theirs else ours / theirs


def shown(number: float | None) -> str:
    """A number with three significant digits, and at most as many decimals; "–" for None."""
    if number is None:
        return "–"
    if not number:
        return "0"
    decimals = SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(abs(number)))
    text = f"{number:.{min(max(decimals, 0), SIGNIFICANT_DIGITS)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = f" {cells[0]:<{widths[0]}} "
    return (
        "|"
        + "|".join([first, *(f" {cell:>{width}} " for cell, width in zip(cells[1:], widths[1:], strict=True))])
        + "|"
    )
