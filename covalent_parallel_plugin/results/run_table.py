"""A dispatch's electrons as a table: of text, and of HTML that any notebook shows; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..sweep.display.html_table import html_table
from ..sweep.display.printable import printable
from ..sweep.display.run_progress import duration
from .status.words import rate

if TYPE_CHECKING:
    from .run import RunElectron, RunItems

HEADINGS = ("node", "electron", "state", "time", "items", "executor", "ending")
RIGHT = frozenset({"node", "time", "items"})
# Rows beyond are counted: those that run or failed come first then
MOST_ROWS = 50
LONGEST_ENDING = 100


def run_text(title: str, electrons: Sequence[RunElectron], items: Sequence[RunItems], note: str) -> str:
    """Return the electrons as lines of text."""
    shown, left_out = _shown(electrons)
    rows = _rows(shown, items)
    used = [column for column in range(len(HEADINGS)) if any(row[column] for row in rows)]
    widths = {column: max(len(row[column]) for row in (HEADINGS, *rows)) for column in used}
    lines = [
        "  ".join(
            row[column].rjust(widths[column]) if HEADINGS[column] in RIGHT else row[column].ljust(widths[column])
            for column in used
        ).rstrip()
        for row in ((HEADINGS, *rows) if rows else ())
    ]
    return "\n".join([title, *lines, *_below(items, left_out, note)])


def run_html(title: str, electrons: Sequence[RunElectron], items: Sequence[RunItems], note: str) -> str:
    """Return the electrons as HTML."""
    shown, left_out = _shown(electrons)
    rows = _rows(shown, items)
    used = [column for column in range(len(HEADINGS)) if any(row[column] for row in rows)]
    headings = [HEADINGS[column] for column in used]
    return html_table(
        title, headings, [[row[column] for column in used] for row in rows], _below(items, left_out, note), RIGHT
    )


def items_line(items: RunItems) -> str:
    """Return what is known of a map's items in one line."""
    total = "" if items.total is None else f"of {items.total} "
    counts = {"failed": items.failed, "running": items.running, "waiting": items.waiting, "lost": items.lost}
    texts = [f"{items.done} {total}items done", *(f"{count} {name}" for name, count in counts.items() if count)]
    if items.per_second is not None and items.left_seconds is not None and (items.running or items.waiting):
        texts += [rate(items.per_second), f"{duration(items.left_seconds)} left"]
    return f"{items.name} (node {items.node}): {', '.join(texts)}"


def _shown(electrons: Sequence[RunElectron]) -> tuple[list[RunElectron], int]:
    if len(electrons) <= MOST_ROWS:
        return list(electrons), 0
    urgency = ("FAILED", "CANCELLED", "RUNNING", "SCHEDULED", "QUEUED")
    ranked = sorted(electrons, key=lambda each: urgency.index(each.state) if each.state in urgency else len(urgency))
    return sorted(ranked[:MOST_ROWS], key=lambda each: each.node), len(electrons) - MOST_ROWS


def _rows(electrons: Sequence[RunElectron], items: Sequence[RunItems]) -> list[tuple[str, ...]]:
    counts = {each.node: f"{each.done}" + ("" if each.total is None else f"/{each.total}") for each in items}
    return [
        (
            str(electron.node),
            electron.name,
            electron.state,
            "" if electron.seconds is None else duration(electron.seconds),
            counts.get(electron.node, ""),
            printable(electron.executor),
            _cut(electron.ending),
        )
        for electron in electrons
    ]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_ENDING else f"{text[: LONGEST_ENDING - 1]}…"


def _below(items: Sequence[RunItems], left_out: int, note: str) -> list[str]:
    lines = [f"and {left_out} more electrons"] if left_out else []
    lines += [items_line(each) for each in items]
    return [*lines, printable(note)] if note else lines
