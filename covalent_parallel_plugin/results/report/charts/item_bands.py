"""How long items took by their index, where they are too many to draw one by one: median, and the middle 90 in 100."""

from __future__ import annotations

from markupsafe import Markup

from ..model import Items
from .axis import LEFT, RIGHT, nice_step, number, quantile, time_step
from .words import tick_text

BANDS = 149
_HEIGHT = 130.0


def item_bands(items: Items, top: float) -> Markup:
    """Draw the median, the band from 5 to 95 in 100 and the longest, for neighbouring items together."""
    if not items.index:
        return Markup("")
    count = max(items.index) + 1
    bands: list[list[float]] = [[] for _ in range(min(BANDS, count))]
    for index, took in zip(items.index, items.took, strict=True):
        bands[index * len(bands) // count].append(took)
    longest = max(items.took) or 1.0
    bottom, width = top + _HEIGHT, (RIGHT - LEFT) / len(bands)

    def y(seconds: float) -> str:
        return number(bottom - _HEIGHT * seconds / longest)

    middle, median, most = [], [], []
    for place, lengths in enumerate(bands):
        if not lengths:
            continue
        ordered, x = sorted(lengths), number(LEFT + place * width)
        low, high = y(quantile(ordered, 0.05)), y(quantile(ordered, 0.95))
        middle.append(f"M{x} {low}V{high}h{number(width)}V{low}z")
        median.append(f"M{x} {y(quantile(ordered, 0.5))}h{number(width)}")
        most.append(f"M{number(LEFT + (place + 0.5) * width)} {y(ordered[-1])}h.1")
    return Markup(
        '{}<path class="a-asked" d="{}"/><path class="dot" d="{}"/><path class="median" d="{}"/>'
        '<text class="key" x="1062" y="{}">longest ·</text><text class="key" x="1062" y="{}">median –</text>'
        '<text class="key" x="1062" y="{}">90 in 100 ▒</text>'
    ).format(
        _axes(count, longest, top, bottom), "".join(middle), "".join(most), "".join(median),
        number(top + 14), number(top + 32), number(top + 50),
    )  # fmt: skip


def _axes(count: int, longest: float, top: float, bottom: float) -> Markup:
    parts, step = [], time_step(longest / 4)
    for place in range(int(longest / step) + 1):
        line = number(bottom - _HEIGHT * place * step / longest)
        parts.append(
            Markup(
                '<path class="grid" d="M{} {y}H{}"/>'
                '<text class="tick" x="160" y="{y}" dy="4" text-anchor="end">{}</text>'
            ).format(number(LEFT), number(RIGHT), tick_text(place * step), y=line)
        )
    across = max(int(nice_step(count / 8)), 1)
    for index in range(0, count, across):
        x = number(LEFT + (RIGHT - LEFT) * index / count)
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                x, number(bottom + 16), f"{index:,}" if index else "item 0"
            )
        )
    return Markup("").join(parts)
