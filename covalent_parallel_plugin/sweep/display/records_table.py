"""The tasks of a sweep as one line, and as a table of HTML; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...protocol.value_text import shortened
from ..records.record import Record
from .html_table import html_table
from .run_progress import duration

MOST_ROWS = 50
HEADINGS = ("task", "status", "time", "result", "reason")


def records_text(title: str, records: Sequence[Record]) -> str:
    """Return how many tasks there are of each status."""
    counts = Counter(record.status for record in records)
    counted = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"<{title}: {len(records)} tasks, {counted}>" if records else f"<{title}>"


def records_html(title: str, records: Sequence[Record]) -> str:
    """Return a table of the first tasks."""
    rows = [
        (
            record.name,
            record.status,
            "" if record.seconds is None else duration(record.seconds),
            "" if record.result is None else shortened(dict(record.result)),
            record.reason,
        )
        for record in records[:MOST_ROWS]
    ]
    left_out = len(records) - len(rows)
    below = [f"and {left_out} more tasks"] if left_out else []
    return html_table(records_text(title, records).strip("<>"), HEADINGS, rows, below, right=("time",))
