"""The best tasks of a sweep by a column of its table."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from ...errors import MistakeError
from ...settings.near_names import near_names
from ..display.printable import printable
from .record import Record

_SHOWN_NAMES = 8


class UnknownColumnError(MistakeError):
    """The table has no such column; the message names the nearest ones."""

    def __init__(self, column: str, known: Iterable[str]) -> None:
        names = [printable(name) for name in known]
        near = near_names(column, names)
        if near:
            hint = f"did you mean {' or '.join(map(repr, near))}?"
        else:
            # Results come last
            rest = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
            hint = f"it has {' '.join(names[-_SHOWN_NAMES:])}{rest}"
        super().__init__(f"{column!r} is not a column of the table: {hint}")


def best_records(records: Iterable[Record], by: str, is_max: bool, count: int) -> list[Record]:
    """Return so many records with the least value in a column, the best first; with `is_max` the greatest.

    Only those that are done and have a number there count; equal ones stay in order.

    Raises:
        UnknownColumnError: no record has this column.
    """
    known: dict[str, None] = {}

    def comparable() -> Iterator[Record]:
        for record in records:
            known.update(dict.fromkeys(record.row))
            if record.status == "done" and is_number(record.row.get(by)):
                yield record

    choose = heapq.nlargest if is_max else heapq.nsmallest
    found = choose(count, comparable(), key=lambda record: record.row[by])
    if by not in known:
        raise UnknownColumnError(by, known)
    return found


def no_number(by: str) -> str:
    """Return the message that `best_records` found none."""
    return f"no task that is done has a number in {by!r}"


def is_number(value: object) -> bool:
    """Return whether a value of a row can be compared."""
    # Neither not-a-number nor an infinity
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0
