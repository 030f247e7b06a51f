"""The time axis that a report's charts share, and scales of other values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ..model import Report, Span
from .words import tick_text

# Of each chart with a time axis, in the units of its viewBox
WIDTH, LEFT, RIGHT = 1180, 168.0, 1046.0
TICKS = 9
COLUMNS = 439
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_STEPS = (
    *(1, 2, 5, 10, 15, 30, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 5 * _DAY),
)


@dataclass(frozen=True)
class TimeAxis:
    """From when to when a chart goes."""

    begin: float
    end: float

    @classmethod
    def of(cls, report: Report) -> TimeAxis | None:
        """Return the axis of a report, None if no time of it is known."""
        times = [time for time in (report.began, report.ended) if time is not None]
        times += [report.made] if report.is_running and times else []
        for electron in report.electrons:
            times += [time for time in (electron.entered, electron.ended) if time is not None]
            for attempt in electron.attempts:
                times += [attempt.spans[0].begin, attempt.spans[-1].end] if attempt.spans else []
        if not times:
            return None
        begin, end = min(times), max(times)
        return cls(begin, end if end > begin else begin + 1)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.begin

    def x(self, time: float) -> float:
        """Return where a time is."""
        return LEFT + (RIGHT - LEFT) * min(max((time - self.begin) / self.seconds, 0), 1)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Iterate over the places of the ticks with their texts."""
        step = time_step(self.seconds / TICKS)
        for number in range(int(self.seconds / step) + 1):
            yield self.x(self.begin + number * step), ("+" if number else "") + tick_text(number * step)

    def grid(self, bottom: float) -> Markup:
        """Draw the ticks, with their texts on top."""
        lines = (
            Markup('<path class="grid" d="M{0} 18V{1}"/><text class="tick" x="{0}" y="11" text-anchor="{2}">{3}</text>')
            .format(number(x), number(bottom), "middle" if place else "start", text)
            for place, (x, text) in enumerate(self.ticks())
            if x < RIGHT - 20 or not place
        )  # fmt: skip
        return Markup("").join(lines)

    def bars(self, spans: Iterable[Span], top: float, height: float) -> str:
        """Return the data of a path of one bar for each span; the shortest is still visible."""
        bars = ((self.x(span.begin), max(self.x(span.end) - self.x(span.begin), 0.7)) for span in spans)
        return "".join(
            f"M{number(x)} {number(top)}h{number(width)}v{number(height)}h-{number(width)}z" for x, width in bars
        )

    def occupied(self, intervals: Iterable[tuple[float, float]], weight: float = 1) -> list[float]:
        """Return for each column of the chart how many intervals were there, on average."""
        return occupied(((*interval, weight) for interval in intervals), self)


def occupied(intervals: Iterable[tuple[float, float, float]], axis: TimeAxis) -> list[float]:
    """Return for each column the mean of what the intervals hold: (begin, end, value)."""
    parts, steps = [0.0] * (COLUMNS + 1), [0.0] * (COLUMNS + 2)
    for begin, end, value in intervals:
        first = min(max((begin - axis.begin) / axis.seconds, 0), 1) * COLUMNS
        last = min(max((end - axis.begin) / axis.seconds, 0), 1) * COLUMNS
        low, high = int(first), int(last)
        if low == high:
            parts[low] += (last - first) * value
            continue
        parts[low] += (low + 1 - first) * value
        parts[high] += (last - high) * value
        steps[low + 1] += value
        steps[high] -= value
    held, columns = 0.0, []
    for part, step in zip(parts[:COLUMNS], steps, strict=False):
        held += step
        columns.append(max(part + held, 0.0))
    return columns


def area(low: Sequence[float], high: Sequence[float], bottom: float, scale: float) -> str:
    """Return the data of a path between two series of values by column; "" if they are the same everywhere."""
    used = [column for column, (less, more) in enumerate(zip(low, high, strict=True)) if more - less > 1e-6]
    if not used:
        return ""
    first, last = used[0], used[-1] + 1

    def steps(values: Sequence[float], columns: Iterable[int]) -> str:
        path, before = [], ""
        for column in columns:
            y = f"{bottom - values[column] * scale:.1f}"
            if y != before:
                # The column's edge that comes first on the way
                edge = column if values is high else column + 1
                path.append(f"{f'H{_EDGES[edge]}V' if before else ''}{y.removesuffix('.0')}")
                before = y
        return "".join(path)

    there, back = steps(high, range(first, last)), steps(low, range(last - 1, first - 1, -1))
    return f"M{_EDGES[first]} {there}H{_EDGES[last]}V{back}H{_EDGES[first]}z"


def number(value: float) -> str:
    """Write a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


_EDGES = [number(LEFT + column * (RIGHT - LEFT) / COLUMNS) for column in range(COLUMNS + 1)]


def time_step(least: float) -> float:
    """Return the smallest usual step of time that is not shorter."""
    if least < 1:
        return nice_step(least)
    return next((step for step in _STEPS if step >= least), _DAY * nice_step(least / _DAY))


def nice_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of 10 that is not less."""
    power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(power * times for times in (1, 2, 5, 10) if power * times >= least * (1 - 1e-9))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value that so large a share of ordered values does not exceed."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
