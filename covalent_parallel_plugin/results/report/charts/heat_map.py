"""A heat map of a sweep's result over two parameters: each cell the mean over all others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .effects import ResultColumns
from .value_axis import Bins, mean, number, number_text, value_text
from .value_colours import ValueColours

WIDTH, LEFT, TOP = 1204, 160, 44
MOST_CELL_WIDTH, CELL_HEIGHT = 150.0, 36
# A digit's width (px); texts that are wider than their cell are left out
DIGIT = 7.0
LABEL_LENGTH = 20


@dataclass(frozen=True, slots=True)
class _Cells:
    """The tasks by two parameters' bins: at (row, column) their numbers, and how many have none."""

    names: tuple[str, str]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Mapping[tuple[int, int], Sequence[float]]
    missing: Mapping[tuple[int, int], int]

    def told(self, row: int, place: int, by: str) -> str:
        """Return all that is known of a cell."""
        where = ", ".join(
            f"{name} {value_text(text, 60)}"
            for name, text in zip(self.names, (self.rows[row], self.columns[place]), strict=True)
            if name
        )
        found, missing = self.values.get((row, place), ()), self.missing.get((row, place), 0)
        none = f"; {missing:,} without a number" if missing else ""
        if not found:
            return f"{where}: no {by}{none}"
        spread = f", from {number_text(min(found))} to {number_text(max(found))}" if len(found) > 1 else ""
        return f"{where}: {by} {number_text(mean(found))}, the mean of {_tasks(len(found))}{spread}{none}"


def heat_map(columns: ResultColumns) -> Markup:
    """Return the heat map of a result over the two parameters that explain most of it; "" where none varies.

    A sentence says how many tasks a cell has, and a table has the same values for those who cannot see the colours.
    """
    by, cells = columns.by, _cells(columns)
    if cells is None:
        return Markup("")
    means = {key: mean(found) for key, found in cells.values.items()}
    if not means:
        return Markup("")
    colours = ValueColours.of(means.values())
    counts = [len(found) for found in cells.values.values()]
    width = min((WIDTH - LEFT) / len(cells.columns), MOST_CELL_WIDTH)
    drawn = [
        _cell(cells, (row, place), by, width, colours, min(counts) != max(counts))
        for row in range(len(cells.rows))
        for place in range(len(cells.columns))
    ]
    height = TOP + CELL_HEIGHT * len(cells.rows) + 4
    down, across = cells.names
    each = f"{_tasks(min(counts))}" if min(counts) == max(counts) else f"{min(counts):,} to {_tasks(max(counts))}"
    over = f"{down} and {across}" if down else across
    rest = [name for name in columns.varying if name not in cells.names]
    others = f" over {', '.join(rest)}" if rest else ""
    lead = f"{by} by {over}: a cell is the mean{others} of {each}." if max(counts) > 1 else f"{by} by {over}."
    return Markup(
        '<p class="lead">{}</p>{}<div class="scroll" tabindex="0" role="region" aria-label="Heat map">'
        '<svg class="heat" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        "{}{}</svg></div>{}"
    ).format(
        lead, colours.legend(by), WIDTH, height, f"{lead} The table below has the values.",
        _labels(cells, width), Markup("").join(drawn), _alternative(cells, means),
    )  # fmt: skip


def _cells(columns: ResultColumns) -> _Cells | None:
    pair, bins, found = columns.strongest(2), columns.bins, columns.values[columns.by]
    if not pair:
        return None
    if len(pair) == 1:
        down, across = Bins(("",), [0] * len(found)), bins[pair[0]]
        names = ("", pair[0])
    else:
        # The one with more values has the room
        low, high = sorted(pair, key=lambda name: len(bins[name].texts))
        down, across, names = bins[low], bins[high], (low, high)
    values: dict[tuple[int, int], list[float]] = defaultdict(list)
    missing: dict[tuple[int, int], int] = defaultdict(int)
    for row, place, value in zip(down.places, across.places, map(number, found), strict=True):
        if row is not None and place is not None:
            if value is None:
                missing[row, place] += 1
            else:
                values[row, place].append(value)
    return _Cells(names, down.texts, across.texts, values, missing)


def _cell(cells: _Cells, key: tuple[int, int], by: str, width: float, colours: ValueColours, has_count: bool) -> Markup:
    row, place = key
    x, y = LEFT + place * width, TOP + row * CELL_HEIGHT
    found = cells.values.get(key, ())
    text = f"{mean(found):.3g}" if found else "–"
    count = f"of {len(found):,}" if found and has_count else ""
    level = colours.level(mean(found)) if found else "none"
    shown = [(text, y + (16 if count else 22), "")] + ([(count, y + 29, " small-count")] if count else [])
    texts = Markup("").join(
        Markup('<text class="in-{}{}" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            level, kind, x + width / 2, height, each
        )
        for each, height, kind in shown
        if len(each) * DIGIT < width
    )
    return Markup('<g><title>{}</title><rect class="{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>{}</g>').format(
        cells.told(row, place, by), level, x, y, width - 2, CELL_HEIGHT - 2, texts
    )


def _labels(cells: _Cells, width: float) -> Markup:
    down, across = cells.names
    most = max(int(width / DIGIT), 3)
    texts = [
        Markup('<text class="label" x="{}" y="14">{}<title>{}</title></text>').format(
            LEFT, value_text(across, 60), across
        ),
        Markup('<text class="label" x="{}" y="{}" text-anchor="end">{}<title>{}</title></text>').format(
            LEFT - 12, TOP - 10, value_text(down, LABEL_LENGTH - 2), down
        ),
    ]
    texts += [
        Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}<title>{}</title></text>').format(
            LEFT + (place + 0.5) * width, TOP - 10, value_text(text, most), text
        )
        for place, text in enumerate(cells.columns)
    ]
    texts += [
        Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}<title>{}</title></text>').format(
            LEFT - 12, TOP + (row + 0.5) * CELL_HEIGHT + 3, value_text(text, LABEL_LENGTH), text
        )
        for row, text in enumerate(cells.rows)
    ]
    return Markup("").join(texts)


def _alternative(cells: _Cells, means: Mapping[tuple[int, int], float]) -> Markup:
    down, across = cells.names
    heads = [Markup('<th scope="col" class="n">{}</th>').format(value_text(text, 60)) for text in cells.columns]
    lines = []
    for row, text in enumerate(cells.rows):
        texts = [
            f"{number_text(means[row, place])} ({len(cells.values[row, place]):,})" if (row, place) in means else "–"
            for place in range(len(cells.columns))
        ]
        line = Markup("").join(Markup('<td class="n">{}</td>').format(each) for each in texts)
        lines.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(value_text(text, 60), line))
    corner = f"{down} \\ {across}" if down else across
    return Markup(
        "<details><summary>The same as a table</summary>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Means">'
        '<table><thead><tr><th scope="col">{}</th>{}</tr></thead><tbody>{}</tbody></table></div>'
        '<p class="note">In parentheses: of how many tasks.</p></details>'
    ).format(corner, Markup("").join(heads), Markup("").join(lines))


def _tasks(count: int) -> str:
    return f"{count:,} task{'' if count == 1 else 's'}"
