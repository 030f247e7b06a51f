"""How a run of a sweep has ended, in a line."""

from __future__ import annotations

from pathlib import Path

from ..records.journal import State
from ..records.table import CSV_FILE
from ..run_base import RunOutcome


def run_summary(outcome: RunOutcome, state: State, out: Path, is_detached: bool = False) -> str:
    """Return the result of a run, and where its table is."""
    counts = state.counts()
    shown = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    name = state.name
    result = f"{shown or 'no tasks'}; {out / CSV_FILE}"
    if outcome.is_interrupted:
        return f"{name}: interrupted: {result}"
    if "\n" in outcome.stopped:
        return f"{name}: stopped: {outcome.stopped}\n{name}: {result}"
    why = f"stopped: {outcome.stopped}: " if outcome.stopped else "detached: " if is_detached else ""
    return f"{name}: {why}{result}"
