"""Parallel coordinates of a sweep: an axis for each parameter and one for a result, a line for each task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from ..model import ResultTable
from .effects import column, effects, strongest, varying
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
    return HEIGHT * SPREAD * min([*(after - before for before, after in zip(places, places[1:], strict=False)), 0.25])


def parallel_coordinates(table: ResultTable, by: str) -> Markup:
    """Return the chart, with a sentence on what it leaves out; empty where no parameter varies.

    Args:
        by: the result that colours the lines.
    """
    scales = varying(table)
    if not scales:
        return Markup("")
    shown = strongest(effects(table, by), MOST_PARAMETERS)
    names = [*shown, by]
    step = (WIDTH - LEFT - RIGHT) / (len(names) - 1)
    axes = []
    for place, name in enumerate(names):
        scale = scales.get(name) or ValueAxis.of(column(table, name))
        axes.append(_Axis(name, LEFT + step * place, scale, column(table, name), _room(scale)))
    colours = ValueColours(axes[-1].scale)
    is_single = len(table.rows) <= MOST_LINES
    lines = _lines(table, axes, colours) if is_single else _bands(axes, colours)
    label = f"{by} over {', '.join(shown)}, {len(table.rows):,} tasks; the table of results has the values"
    return Markup('{}<div class="scroll"><svg class="parallel" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg></div>{}').format(
        colours.legend(by), WIDTH, BOTTOM, label, lines, Markup("").join(map(_axis, axes)), _note(table, shown, len(scales), is_single)
    )  # fmt: skip


def _lines(table: ResultTable, axes: Sequence[_Axis], colours: ValueColours) -> Markup:
    result = axes[-1]
    drawn = []
    for task, row in enumerate(table.rows):
        value = row.get(result.name)
        place = result.scale.place(value)
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


def _bands(axes: Sequence[_Axis], colours: ValueColours) -> Markup:
    """Draw between neighbours one line for all tasks that share their bins: as wide as they are many."""
    results = [number(value) for value in axes[-1].values]
    bins = [axis.scale.bins(axis.values) for axis in axes]
    drawn = []
    for (left, left_bins), (right, right_bins) in zip(
        zip(axes, bins, strict=True), list(zip(axes, bins, strict=True))[1:], strict=False
    ):
        groups: dict[tuple[int | None, int | None], list[int]] = defaultdict(list)
        for task, pair in enumerate(zip(left_bins.places, right_bins.places, strict=True)):
            groups[pair].append(task)
        most = max(map(len, groups.values()))
        for (first, second), tasks in groups.items():
            found = [value for task in tasks if (value := results[task]) is not None]
            average = mean(found) if found else None
            title = f"{_bin(left, left_bins, first)}, {_bin(right, right_bins, second)}: {len(tasks):,} tasks"
            title += "" if average is None else f", {axes[-1].name} {number_text(average)} on average"
            y1, y2 = _middle(left, tasks), _middle(right, tasks)
            drawn.append(
                Markup('<line class="{}" x1="{:.0f}" y1="{:.1f}" x2="{:.0f}" y2="{:.1f}" stroke-width="{:.1f}"><title>{}</title></line>').format(
                    colours.level(average), left.x, y1, right.x, y2, max(BAND_WIDTH * len(tasks) / most, 0.8), title
                )
            )  # fmt: skip
    return Markup('<g class="lines bands">{}</g>').format(Markup("").join(drawn))


def _bin(axis: _Axis, bins: Bins, place: int | None) -> str:
    return f"{axis.name} {'none' if place is None else value_text(bins.texts[place], 40)}"


def _middle(axis: _Axis, tasks: Sequence[int]) -> float:
    """Return the mean height of tasks on an axis."""
    return sum(axis.y(axis.values[task]) for task in tasks) / len(tasks)


def _axis(axis: _Axis) -> Markup:
    ticks = [(TOP + HEIGHT * (1 - place), text) for place, text in axis.scale.ticks()]
    if any(axis.scale.place(value) is None for value in axis.values):
        ticks.append((NO_VALUE, "none"))
    marks = [
        Markup(
            '<path class="axis" d="M{:.0f} {:.1f}h6"/><text class="tick halo" x="{:.0f}" y="{:.1f}">{}<title>{}</title></text>'
        ).format(axis.x - 3, y, axis.x + 7, y + 4, value_text(text, TICK_LENGTH), text)
        for y, text in ticks
    ]
    unit = " (log)" if axis.scale.is_log else ""
    return Markup(
        '<g><text class="label" x="{0:.0f}" y="18" text-anchor="middle">{1}<title>{2}</title></text>'
        '<path class="axis" d="M{0:.0f} {3}V{4}"/>{5}</g>'
    ).format(
        axis.x, value_text(axis.name, NAME_LENGTH) + unit, axis.name, TOP, TOP + HEIGHT, Markup("").join(marks)
    )


def _note(table: ResultTable, shown: Sequence[str], varied: int, is_single: bool) -> Markup:
    notes = []
    if not is_single:
        notes.append(
            f"{len(table.rows):,} tasks are too many to draw one by one (more than {MOST_LINES}): a band is all tasks of"
            " two neighbouring ranges, as wide as they are many, in the colour of their mean."
        )
    if varied > len(shown):
        notes.append(f"The {len(shown)} parameters that explain most, of {varied} that vary.")
    constant = [name for name in table.parameters if name not in varying(table)]
    if constant:
        values = {name: next((row[name] for row in table.rows if row.get(name) is not None), None) for name in constant}
        told = ", ".join(f"{name} = {value_text(value, 40)}" for name, value in values.items())
        notes.append(f"The same everywhere: {told}.")
    return Markup('<p class="note">{}</p>').format(escape(" ".join(notes))) if notes else Markup("")
