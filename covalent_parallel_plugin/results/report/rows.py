"""A report's attempts, or its items, as rows, the same ones as CSV and in JSON.

docs/reference/report.md has the columns.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence

from .document import DIGITS, document, writable
from .model import PHASES, Electron, Report, TaskAttempt

ATTEMPT_COLUMNS = (
    "id", "node", "electron", "round", "task", "name", "attempt", "end", "exit_code", "began", "ended", "seconds",
    *(f"{phase}_seconds" for phase in PHASES), "machine_from", "machine_to", "machine_seconds", "machine_type", "spot",
    "zone", "instance", "cpu_seconds", "peak_bytes",
)  # fmt: skip
ITEM_COLUMNS = ("id", "node", "electron", "round", "task", "item", "end", "began", "ended", "seconds")
# Of a text a spreadsheet would take these for the begin of a formula
# (https://owasp.org/www-community/attacks/CSV_Injection)
FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")
# What a terminal obeys, and many readers of CSV refuse
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

Cell = str | int | float | bool | None


def columns(of_items: bool) -> tuple[str, ...]:
    """Return the names of the columns, in order."""
    return ITEM_COLUMNS if of_items else ATTEMPT_COLUMNS


def rows(report: Report, of_items: bool) -> Iterator[tuple[Cell, ...]]:
    """Yield a row for each attempt, or for each item that ran; None where something is not known."""
    for electron in report.electrons:
        for row in _item_rows(electron) if of_items else map(_attempt_row, electron.attempts):
            yield tuple(_cell(each) for each in (report.id, electron.node, electron.name, *row))


def csv_lines(report: Report, of_items: bool) -> Iterator[str]:
    """Yield the rows as RFC 4180 has them, with a line of headings."""
    yield ",".join(columns(of_items)) + "\r\n"
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows(report, of_items):
        writer.writerow([_csv_cell(cell) for cell in row])
        yield text.getvalue()
        text.seek(0)
        text.truncate()


def json_lines(report: Report, of_items: bool) -> Iterator[str]:
    """Yield the report as JSON, version 1, with its rows in "rows", one on each line."""
    names = columns(of_items)
    yield json.dumps(document(report, items=of_items), allow_nan=False)[:-1] + ', "rows": ['
    before = "\n"
    for row in rows(report, of_items):
        yield before + json.dumps(dict(zip(names, row, strict=True)), allow_nan=False)
        before = ",\n"
    yield "\n]}\n"


def _attempt_row(attempt: TaskAttempt) -> Sequence[Cell]:
    began, ended = (attempt.spans[0].begin, attempt.spans[-1].end) if attempt.spans else (None, None)
    machine, on_machine = attempt.machine, attempt.on_machine or (None, None)
    return (
        attempt.round, attempt.task, attempt.name, attempt.number, attempt.end, attempt.exit_code, began, ended,
        None if began is None or ended is None else ended - began, *map(attempt.seconds, PHASES), *on_machine,
        attempt.machine_seconds, machine.type, machine.spot, machine.zone, machine.instance, attempt.cpu_seconds,
        attempt.peak_bytes,
    )  # fmt: skip


def _item_rows(electron: Electron) -> Iterator[Sequence[Cell]]:
    items = electron.items
    if items is not None:
        in_columns = (items.round, items.task, items.index, items.end, items.begin, items.took)
        for round_, task, index, end, begin, took in zip(*in_columns, strict=True):
            yield round_, task, index, end, begin, begin + took, took


def _cell(cell: Cell) -> Cell:
    if isinstance(cell, float):
        return round(cell, DIGITS) if math.isfinite(cell) else None
    return writable(cell) or None if isinstance(cell, str) else cell


def _csv_cell(cell: Cell) -> Cell:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if not isinstance(cell, str):
        return cell
    cell = CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), cell)
    return f"'{cell}" if cell.startswith(FORMULA_BEGINS) else cell
