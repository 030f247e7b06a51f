"""A task of a sweep as Python has it: its parameters, how it ended, and what it reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...programs.verdict import Status


@dataclass(frozen=True)
class Record:
    """What is known of a task; `record["column"]` is the value of a column of the table.

    Attributes:
        index: in the sweep, from 0 on.
        name: which is its folder's.
        parameters: its combination, typed.
        status: "done", "failed" … as in the table; "waiting" where it has not ended.
        exit, signal: with which its program ended; None where there was none.
        seconds: how long the last attempt took; None if it has not ended.
        attempts: 0 where it has not ended.
        machine: that ran it, "" where it has not ended.
        result: what it reported; None where it reported nothing.
        reason: why it is not done, in a sentence; "" if it is.
        folder: where its outputs are.
        row: its row of the table, as results.json has it, but for not-a-number and infinities, which are numbers.
    """

    index: int
    name: str
    parameters: Mapping[str, Any]
    status: Status
    exit: int | None
    signal: int | None
    seconds: float | None
    attempts: int
    machine: str
    result: Mapping[str, Any] | None
    reason: str
    folder: Path
    row: Mapping[str, Any] = field(repr=False)

    def __getitem__(self, column: str) -> Any:
        """Return a value of the row. Raises KeyError."""
        if column not in self.row:
            raise KeyError(f"{self.name} has no {column!r}: its columns are {', '.join(self.row)}")
        return self.row[column]
