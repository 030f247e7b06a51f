"""What the records of a dispatch's trace say of its electrons: how they ended, and how many items they had; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..batch.trace import ENDED, ITEMS, SUBMITTED
from ..batch.trace_ends import EXCEPTION, VALUE
from ..protocol.ending_event import RETURNED
from .status.item_counts import ItemCounts


def ends_of_trace(records: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Return how electrons ended, by node, such as "ValueError: no data"."""
    found = {}
    for record in records:
        if record["kind"] == ENDED and record["node"] is not None:
            first = str(record.get("message") or "").split("\n", 1)[0]
            error = str(record.get("error") or "")
            told = ": ".join(filter(None, (error, first.removeprefix(f"{error}: "))))
            verdict = str(record.get("verdict"))
            found[int(record["node"])] = RETURNED if verdict == VALUE else told or verdict
    return found


def items_of_trace(records: Sequence[Mapping[str, Any]]) -> dict[int, ItemCounts]:
    """Return the items of maps that have ended, by node."""
    ends: dict[int, dict[int, str]] = {}
    totals: dict[int, int] = {}
    for record in records:
        node = record["node"]
        if record["kind"] == ITEMS and node is not None:
            pairs = zip(record.get("index") or (), record.get("end") or (), strict=False)
            ends.setdefault(int(node), {}).update((int(index), str(end)) for index, end in pairs)
        elif record["kind"] == SUBMITTED and record.get("round") == 0 and isinstance(record.get("items"), int):
            totals[int(node)] = record["items"]
    found = {}
    for node, items in ends.items():
        failed = sum(end == EXCEPTION for end in items.values())
        done = failed + sum(end == VALUE for end in items.values())
        total = totals.get(node, len(items))
        found[node] = ItemCounts(total=total, done=done, failed=failed, lost=max(total - done, 0))
    return found
