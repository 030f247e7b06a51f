"""The records of a sweep that was run or gathered, from its folder alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .opened_sweep import OpenedSweep
from .records.journal import State
from .records.out_folder import COPY, OutFolder
from .records.record import Record
from .records.table import AFTER, BEFORE, JSON_FILE, parameter_names, read_records


def stored_records(out: OutFolder, environment: Mapping[str, str], state: State | None = None) -> Iterator[Record]:
    """Read the records of all tasks, in the order of the sweep's file; `state` where its journal was read already.

    Raises:
        ParallelError: the sweep has not run, or its file has mistakes now. OSError: the folder cannot be read.
    """
    if (out.path / COPY).exists():
        state = state or State.read(out.journal_path)
        opened = OpenedSweep.reopen(out, environment, state)
        yield from read_records(out, opened.pinned_tasks(state.pinned), parameter_names(opened.file.grids), state)
    else:
        # Gathered without its file: the table is all that says which parameters a task had
        yield from (_record(out, row) for row in json.loads((out.path / JSON_FILE).read_bytes()))


def _record(out: OutFolder, row: dict[str, Any]) -> Record:
    names = list(row)
    parameters = names[len(BEFORE) : names.index(AFTER[0])]
    return Record(
        index=row["task.index"],
        name=row["task.name"],
        parameters={name: row[name] for name in parameters},
        status=row["task.status"],
        exit=row["task.exit"],
        signal=row["task.signal"],
        seconds=row["task.seconds"],
        attempts=row["task.attempts"] or 0,
        machine=row["task.machine"] or "",
        result={name: row[name] for name in names[names.index(AFTER[-1]) + 1 :]} or None,
        reason="",
        folder=out.task_folder(row["task.name"]),
        row=row,
    )
