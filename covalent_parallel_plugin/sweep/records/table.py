"""The table of a sweep: one row per task with its parameters, how it ended and what it reported, as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import Any

from ...programs.core_schema import json_value
from ...programs.verdict import TaskEnd
from ..combinations import Grid
from ..tasks import SweepTask
from .journal import EndReader, State, reading_ends, task_end
from .out_folder import OutFolder
from .record import Record

BEFORE = ("task.index", "task.name")
AFTER = (
    "task.status",
    "task.exit",
    "task.signal",
    "task.seconds",
    "task.attempts",
    "task.peak_mb",
    "task.machine",
    "task.started",
    "task.ended",
    "task.folder",
)
CSV_FILE = "results.csv"
JSON_FILE = "results.json"

Row = dict[str, Any]


def parameter_names(grids: Iterable[Grid]) -> tuple[str, ...]:
    """Name the parameters of all grids, in the file's order."""
    return tuple(dict.fromkeys(name for grid in grids for axis in grid.axes for name in axis.names))


def write_tables(out: OutFolder, tasks: Iterable[SweepTask], parameters: Sequence[str], state: State) -> None:
    """Write results.csv and results.json: a row for each task, of those that have not ended too.

    Raises:
        OSError: they cannot be written.
    """
    columns = [*BEFORE, *parameters, *AFTER]
    taken = frozenset(columns)
    with ExitStack() as stack:
        reader = stack.enter_context(reading_ends(out.journal_path))
        columns += _result_columns(reader, state, taken)
        csv_file = stack.enter_context(out.written_aside(CSV_FILE))
        json_file = stack.enter_context(out.written_aside(JSON_FILE))
        csv_file.write(csv_line(columns))
        before = "[\n"
        for task in tasks:
            row = _row(task, parameters, _end_of(task, reader, state), taken)
            csv_file.write(csv_line([row.get(column) for column in columns]))
            json_file.write(_encoded(before + json.dumps(json_value(row), ensure_ascii=False, allow_nan=False)))
            before = ",\n"
        json_file.write(b"[]\n" if before == "[\n" else b"\n]\n")


def csv_line(cells: Iterable[Any]) -> bytes:
    """Write one record as RFC 4180 has it, in UTF-8."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_cell(cell) for cell in cells])
    return _encoded(text.getvalue())


def flatten(result: Mapping[str, Any], taken: Collection[str]) -> Row:
    """Write a result with dots for what is nested; `result.` comes before a name that another column has.

    Lists and empty objects stay values.
    """
    row: Row = {}
    for name, value in _leaves(result, ""):
        while name in taken or name in row:
            name = f"result.{name}"
        row[name] = value
    return row


def _leaves(result: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in result.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _result_columns(reader: EndReader, state: State, taken: Collection[str]) -> list[str]:
    columns: dict[str, None] = {}
    for name, end in state.ends.items():
        if name not in state.stale:
            columns.update(dict.fromkeys(flatten(reader.event(end).get("result") or {}, taken)))
    return list(columns)


def read_records(
    out: OutFolder, tasks: Iterable[SweepTask], parameters: Sequence[str], state: State
) -> Iterator[Record]:
    """Yield a record for each task, in order, of those that have not ended too. Raises OSError."""
    with ExitStack() as stack:
        # Before its first run a sweep has no journal
        reader = stack.enter_context(reading_ends(out.journal_path)) if state.ends else None
        for task in tasks:
            yield make_record(out, task, parameters, _end_of(task, reader, state))


def make_record(out: OutFolder, task: SweepTask, parameters: Sequence[str], end: TaskEnd | None) -> Record:
    """Return a task's record; `end` is None where it has not ended."""
    return Record(
        index=task.index,
        name=task.name,
        parameters={name: value.data for name, value in task.combination.values.items()},
        status="waiting" if end is None else end.status,
        exit=None if end is None else end.exit,
        signal=None if end is None else end.signal,
        seconds=None if end is None else end.seconds,
        attempts=0 if end is None else end.attempts,
        machine="" if end is None else end.machine,
        result=None if end is None else end.result,
        reason="" if end is None else end.reason,
        folder=out.task_folder(task.name),
        row=_row(task, parameters, end, frozenset((*BEFORE, *parameters, *AFTER))),
    )


def _end_of(task: SweepTask, reader: EndReader | None, state: State) -> TaskEnd | None:
    """Return how a task ended; None where it has not, or not under this file."""
    recorded = state.ends.get(task.name)
    if reader is None or recorded is None or task.name in state.stale or task.name in state.running:
        return None
    return task_end(reader.event(recorded))


def _row(task: SweepTask, parameters: Sequence[str], end: TaskEnd | None, taken: Collection[str]) -> Row:
    values = task.combination.values
    row: Row = {"task.index": task.index, "task.name": task.name}
    row |= {name: values[name].data if name in values else None for name in parameters}
    if end is None:
        return row | dict.fromkeys(AFTER) | {"task.status": "waiting"}
    return row | _ending(task, end) | flatten(end.result or {}, taken)


def _ending(task: SweepTask, end: TaskEnd) -> Row:
    return {
        "task.status": end.status,
        "task.exit": end.exit,
        "task.signal": end.signal,
        "task.seconds": round(end.seconds, 3),
        "task.attempts": end.attempts,
        "task.peak_mb": None if end.peak_mb is None else round(end.peak_mb, 1),
        "task.machine": end.machine,
        "task.started": _time(end.started),
        "task.ended": _time(end.ended),
        "task.folder": task.name,
    }


def _time(seconds: float | None) -> str | None:
    """Write a time since 1970 (s) as RFC 3339 has it, in UTC; None where there is none."""
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cell(value: Any) -> Any:
    if isinstance(value, (bool, list, dict)):
        return json.dumps(json_value(value), ensure_ascii=False)
    return "" if value is None else value


def _encoded(text: str) -> bytes:
    # What is not text in a program's output stays readable
    return text.encode("utf-8", "backslashreplace")
