"""What a sweep's page shows beside what every report does: its table of results, the charts of it, the failed tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .charts.effects import ResultColumns, number_results
from .charts.heat_map import heat_map
from .charts.parallel_coordinates import parallel_coordinates
from .charts.value_axis import number, value_text
from .model import ResultTable

# More tasks than that are in results.csv only
MOST_ROWS = 200
# Of a value's characters
CELL_LENGTH = 60


@dataclass(frozen=True, slots=True)
class ResultCell:
    """A cell of the table: its text, the whole of it where that is longer, and its number; None for other values."""

    text: str
    whole: str
    number: float | None


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A task of the table."""

    name: str
    status: str
    cells: tuple[ResultCell, ...]


@dataclass(frozen=True, slots=True)
class SweepSections:
    """The sections.

    Attributes:
        by: the result that the charts show; "" where none is a number.
        effects: parameters with the share of its variance that each explains, the largest first.
        columns: with whether all that is in them is numbers.
        note: which tasks the table leaves out; "" for none.
    """

    by: str
    lines: Markup
    heat: Markup
    effects: tuple[tuple[str, float], ...]
    columns: tuple[tuple[str, bool], ...]
    rows: tuple[ResultRow, ...]
    note: str

    @classmethod
    def of(cls, table: ResultTable) -> SweepSections:
        """Return the sections of a table; its first result that is a number is in the charts."""
        numbers = number_results(table)
        by = numbers[0] if numbers else ""
        charted = ResultColumns(table, by) if by else None
        shares = charted.effects if charted is not None else {}
        shown, note = _shown(table, by)
        columns = (*table.parameters, *table.results)
        rows = tuple(_row(table, task, columns) for task in shown)
        return cls(
            by=by,
            lines=parallel_coordinates(charted) if charted is not None else Markup(""),
            heat=heat_map(charted) if charted is not None else Markup(""),
            effects=tuple(sorted(shares.items(), key=lambda pair: -pair[1])),
            columns=tuple(
                (name, all(row.cells[at].number is not None or not row.cells[at].text for row in rows))
                for at, name in enumerate(columns)
            ),
            rows=rows,
            note=note,
        )


def _shown(table: ResultTable, by: str) -> tuple[Sequence[int], str]:
    """Return the tasks that are drawn, and a sentence on the others."""
    count = len(table.rows)
    if count <= MOST_ROWS:
        return range(count), ""
    where = f" All are in {table.folder}/results.csv." if table.folder else ""
    known = {
        task: found
        for task, value in enumerate(row.get(by) for row in table.rows)
        if (found := number(value)) is not None
    }
    if len(known) <= MOST_ROWS:
        # Few have a number: these, and the first of the others
        others = [task for task in range(count) if task not in known][: MOST_ROWS - len(known)]
        first = f"{len(known):,} with a number in {by} and the first of the others" if known else "the first ones"
        return sorted([*known, *others]), f"{MOST_ROWS:,} of {count:,} tasks: {first}.{where}"
    ordered = sorted(known, key=lambda task: known[task])
    half = MOST_ROWS // 2
    note = (
        f"{MOST_ROWS:,} of {count:,} tasks: the {half:,} with the least and the {half:,} with the greatest {by}.{where}"
    )
    return ordered[:half] + ordered[-half:], note


def _row(table: ResultTable, task: int, columns: Sequence[str]) -> ResultRow:
    row = table.rows[task]
    cells = []
    for name in columns:
        whole = value_text(row.get(name))
        text = value_text(row.get(name), CELL_LENGTH)
        cells.append(ResultCell(text, "" if text == whole else whole, number(row.get(name))))
    name = table.names[task] if table.names else str(task)
    return ResultRow(name, table.statuses[task] if table.statuses else "", tuple(cells))
