"""Parallel coordinates of a sweep: an axis for each parameter and one for a result, a line for each task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from .effects import ResultColumns
from .value_axis import MOST_SINGLE, Bins, ValueAxis, mean, number, number_text, value_text
from .value_colours import ValueColours

# More tasks than that are drawn in bands
MOST_LINES = 500
MOST_PARAMETERS = 9
WIDTH, LEFT, RIGHT = 1204, 74, 74
TOP, HEIGHT = 40, 300
# Where lines go that have no value on an axis
NO_VALUE = TOP + HEIGHT + 26
BOTTOM = NO_VALUE + 16
NAME_LENGTH, TICK_LENGTH = 18, 14
# Which part of the gap between single values their lines may fill
SPREAD = 0.35
BAND_WIDTH = 16.0


@dataclass(frozen=True, slots=True)
class _Axis:
    name: str
    x: float
    scale: ValueAxis
    values: Sequence[object]
    room: float

    def y(self, value: object, spread: float = 0.0) -> float:
        place = self.scale.place(value)
        return NO_VALUE if place is None else TOP + HEIGHT * (1 - place) - spread * self.room


def _room(scale: ValueAxis) -> float:
    """Return how far (px) lines of one value may be apart, so that they do not all lie on each other."""
    values: Sequence[object] = list(scale.categories) or scale.distinct
    if len(values) > MOST_SINGLE:
        return 0.0
    places = [place for value in values if (place := scale.place(value)) is not None]
    return HEIGHT * SPREAD * min([*(after - before for before, after in pairwise(places)), 0.25])


def parallel_coordinates(columns: ResultColumns) -> Markup:
    """Return the chart, with a sentence on what it leaves out; empty where no parameter varies."""
    shown, by, count = columns.strongest(MOST_PARAMETERS), columns.by, len(columns.table.rows)
    if not shown:
        return Markup("")
    names = [*shown, by]
    step = (WIDTH - LEFT - RIGHT) / (len(names) - 1)
    axes = [
        _Axis(name, LEFT + step * place, columns.axes[name], columns.values[name], _room(columns.axes[name]))
        for place, name in enumerate(names)
    ]
    colours = ValueColours(columns.axes[by])
    lines = _lines(columns, axes, colours) if count <= MOST_LINES else _bands(columns, axes, colours)
    label = f"{by} over {', '.join(shown)}, {count:,} tasks; the table of results has the values"
    drawn = Markup("").join([lines, *map(_axis, axes)])
    return Markup(
        '{}<div class="scroll" tabindex="0" role="region" aria-label="Parallel coordinates">'
        '<svg class="parallel" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg></div>{}'
    ).format(colours.legend(by), WIDTH, BOTTOM, label, drawn, _note(columns, shown))


def _lines(columns: ResultColumns, axes: Sequence[_Axis], colours: ValueColours) -> Markup:
    table, result = columns.table, axes[-1]
    drawn = []
    for task, row in enumerate(table.rows):
        value, place = row.get(result.name), columns.places[task]
        spread = 0.0 if place is None else place - 0.5
        points = " ".join(
            f"{axis.x:.0f},{axis.y(row.get(axis.name), spread if axis is not result else 0.0):.1f}" for axis in axes
        )
        name = table.names[task] if table.names else f"task {task}"
        told = ", ".join(f"{axis.name} {value_text(row.get(axis.name), 40) or 'none'}" for axis in axes)
        drawn.append((-1.0 if place is None else place, colours.level(value), points, f"{name}: {told}"))
    # Those without a value below all others
    drawn.sort(key=lambda line: line[0] >= 0)
    dense = "" if len(drawn) <= 60 else " dense"
    return Markup('<g class="lines{}">{}</g>').format(
        dense,
        Markup("").join(
            Markup('<polyline class="{}" points="{}"><title>{}</title></polyline>').format(level, points, title)
            for _, level, points, title in drawn
        ),
    )


def _bands(columns: ResultColumns, axes: Sequence[_Axis], colours: ValueColours) -> Markup:
    """Draw between neighbours one line for all tasks that share their bins: as wide as they are many."""
    results = [number(value) for value in axes[-1].values]
    bins = [columns.bins.get(axis.name) or axis.scale.bins(axis.values) for axis in axes]
    heights = {axis.name: [axis.y(value) for value in axis.values] for axis in axes}
    drawn = []
    for (left, left_bins), (right, right_bins) in pairwise(zip(axes, bins, strict=True)):
        groups: dict[tuple[int | None, int | None], list[int]] = defaultdict(list)
        for task, pair in enumerate(zip(left_bins.places, right_bins.places, strict=True)):
            groups[pair].append(task)
        most = max(map(len, groups.values()))
        for (first, second), tasks in groups.items():
            found = [value for task in tasks if (value := results[task]) is not None]
            average = mean(found) if found else None
            title = f"{_bin(left, left_bins, first)}, {_bin(right, right_bins, second)}: {len(tasks):,} tasks"
            title += "" if average is None else f", {axes[-1].name} {number_text(average)} on average"
            y1, y2 = (mean([heights[axis.name][task] for task in tasks]) for axis in (left, right))
            width = max(BAND_WIDTH * len(tasks) / most, 0.8)
            ends = f'x1="{left.x:.0f}" y1="{y1:.1f}" x2="{right.x:.0f}" y2="{y2:.1f}" stroke-width="{width:.1f}"'
            line = Markup('<line class="{}" {}><title>{}</title></line>')
            drawn.append(line.format(colours.level(average), Markup(ends), title))
    return Markup('<g class="lines bands">{}</g>').format(Markup("").join(drawn))


def _bin(axis: _Axis, bins: Bins, place: int | None) -> str:
    return f"{axis.name} {'none' if place is None else value_text(bins.texts[place], 40)}"


def _axis(axis: _Axis) -> Markup:
    ticks = [(TOP + HEIGHT * (1 - place), text) for place, text in axis.scale.ticks()]
    if any(axis.scale.place(value) is None for value in axis.values):
        ticks.append((NO_VALUE, "none"))
    marks = [
        Markup(
            '<path class="axis" d="M{:.0f} {:.1f}h6"/>'
            '<text class="tick halo" x="{:.0f}" y="{:.1f}">{}<title>{}</title></text>'
        ).format(axis.x - 3, y, axis.x + 7, y + 4, value_text(text, TICK_LENGTH), text)
        for y, text in ticks
    ]
    unit = " (log)" if axis.scale.is_log else ""
    return Markup(
        '<g><text class="label" x="{0:.0f}" y="18" text-anchor="middle">{1}<title>{2}</title></text>'
        '<path class="axis" d="M{0:.0f} {3}V{4}"/>{5}</g>'
    ).format(axis.x, value_text(axis.name, NAME_LENGTH) + unit, axis.name, TOP, TOP + HEIGHT, Markup("").join(marks))


def _note(columns: ResultColumns, shown: Sequence[str]) -> Markup:
    table, varied = columns.table, columns.varying
    notes = []
    if len(table.rows) > MOST_LINES:
        notes.append(
            f"{len(table.rows):,} tasks are more than {MOST_LINES}, too many to draw one by one: a band is all tasks of"
            " two neighbouring ranges, as wide as they are many, in the colour of their mean."
        )
    if len(varied) > len(shown):
        notes.append(f"The {len(shown)} parameters that explain most, of {len(varied)} that vary.")
    constant = [name for name in table.parameters if name not in varied]
    if constant:
        values = {name: next((value for value in columns.values[name] if value is not None), None) for name in constant}
        told = ", ".join(f"{name} = {value_text(value, 40)}" for name, value in values.items())
        notes.append(f"The same everywhere: {told}.")
    return Markup('<p class="note">{}</p>').format(escape(" ".join(notes))) if notes else Markup("")
