"""How long the items of a map took, as a histogram with the median and what 95 in 100 stay within."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from markupsafe import Markup

from .axis import nice_step, number, quantile, time_step
from .words import counted, item_duration, tick_text

BINS = 60
# Where the longest one is so many times the median, each bin is longer than the one before by the same factor
LOGARITHMIC = 40
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 510.0, 36.0, 110.0


def histogram(lengths: Sequence[float], noun: str = "item") -> Markup:
    """Draw how many of them took how long; lengths are in seconds and at least one."""
    ordered = sorted(lengths)
    median, most, longest = quantile(ordered, 0.5), quantile(ordered, 0.95), ordered[-1]
    is_logarithmic = 0 < median * LOGARITHMIC < longest
    edges = _logarithmic(max(ordered[0], longest / 1e6), longest) if is_logarithmic else _linear(longest)
    counts = [0] * (len(edges) - 1)
    for length in ordered:
        counts[min(max(bisect_right(edges, length) - 1, 0), len(counts) - 1)] += 1
    scale = _Scale(edges[0], edges[-1], is_logarithmic)
    bars = [
        Markup('<rect class="p-code" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
            number(scale.x(begin) + 0.5), number(_BOTTOM - (height := (_BOTTOM - _TOP) * count / max(counts))),
            number(max(scale.x(end) - scale.x(begin) - 1, 0.7)), number(max(height, 1)),
            f"{counted(count, noun)}{_between(item_duration(begin), item_duration(end))}",
        )
        for begin, end, count in zip(edges, edges[1:], counts, strict=False)
        if count
    ]  # fmt: skip
    words = f"median {item_duration(median)}, 95 in 100 within {item_duration(most)}, longest {item_duration(longest)}"
    return Markup(
        '<svg viewBox="0 0 530 132" class="small" role="img" aria-label="How long they took: {}">'
        '<path class="axis" d="M{} {bottom}H{}"/>{}{}{}</svg>'
    ).format(
        words, number(_LEFT), number(_RIGHT), Markup("").join(bars), _marks(scale, median, most, longest),
        scale.ticks(), bottom=number(_BOTTOM),
    )  # fmt: skip


def _between(least: str, most: str) -> str:
    return f" of {least}" if least == most else f" between {least} and {most}"


class _Scale:
    """Where a length of time is."""

    def __init__(self, least: float, most: float, is_logarithmic: bool) -> None:
        self._least, self._most, self._is_logarithmic = least, most, is_logarithmic

    def x(self, value: float) -> float:
        if self._is_logarithmic:
            share = math.log(max(value, self._least) / self._least) / math.log(self._most / self._least)
        else:
            share = (value - self._least) / (self._most - self._least)
        return _LEFT + (_RIGHT - _LEFT) * min(share, 1)

    def ticks(self) -> Markup:
        texts = (
            Markup('<text class="tick" x="{}" y="126" text-anchor="middle">{}</text>').format(
                number(self.x(value)), item_duration(value) if self._is_logarithmic else tick_text(round(value, 9))
            )
            for value in self._values()
        )
        return Markup("").join(texts)

    def _values(self) -> list[float]:
        if self._is_logarithmic:
            decades = math.log10(self._most / self._least)
            every = max(1, round(decades / 6))
            first = math.ceil(math.log10(self._least))
            return [10.0**power for power in range(first, math.floor(math.log10(self._most)) + 1, every)]
        step = time_step((self._most - self._least) / 6)
        return [place * step for place in range(int(self._most / step) + 1)]


def _linear(longest: float) -> list[float]:
    width = nice_step(longest / BINS) if longest else 1e-3
    return [width * place for place in range(int(longest / width) + 2)]


def _logarithmic(least: float, longest: float) -> list[float]:
    factor = (longest / least) ** (1 / BINS)
    return [least * factor**place for place in range(BINS)] + [longest]


def _marks(scale: _Scale, median: float, most: float, longest: float) -> Markup:
    marks = []
    for value, y, text in (
        (median, 10, f"median {item_duration(median)}"),
        (most, 26, f"95 in 100 within {item_duration(most)}"),
    ):
        x = scale.x(value)
        side, anchor = (-4, "end") if x > 360 else (4, "start")
        marks.append(
            Markup(
                '<path class="ref" d="M{x} {top}V{bottom}"/>'
                '<text class="tick strong" x="{at}" y="{y}" text-anchor="{anchor}">{text}</text>'
            ).format(
                x=number(x), top=number(y - 6), bottom=number(_BOTTOM), at=number(x + side), y=number(y + 2),
                anchor=anchor, text=text,
            )
        )  # fmt: skip
    if longest > 2 * most:
        marks.append(
            Markup('<text class="tick strong" x="{}" y="98" text-anchor="end">longest {}</text>').format(
                number(_RIGHT - 2), item_duration(longest)
            )
        )
    return Markup("").join(marks)
