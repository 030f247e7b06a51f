"""What the timeline says in words: why an electron has no attempts, and which ones the end waited for."""

from __future__ import annotations

from collections.abc import Sequence

from ..model import COMPLETED, ELSEWHERE, FAILED, NOT_RUN, RUNNING, SERVICE, SUBLATTICE, WAITS, Electron, Report
from .words import short


def not_run_text(electron: Electron, report: Report) -> str:
    """Say why an electron has no attempts."""
    if electron.cached_from:
        return f"from the cache: {short(electron.cached_from)}"
    if electron.kind == SUBLATTICE:
        dispatch = f": {short(electron.sub_dispatch_id)}" if electron.sub_dispatch_id else ""
        return f"a dispatch of its own{dispatch}"
    if electron.kind == ELSEWHERE:
        return "ran on another executor"
    if electron.state == NOT_RUN:
        states = {each.node: each for each in report.electrons}
        failed = [states[node] for node in electron.parents if node in states and states[node].state == FAILED]
        cause = f": it needs {short(failed[0].title, 40)}, which failed" if failed else ""
        return f"did not run{cause}"
    if electron.state == WAITS:
        return "waits for the electrons before it"
    if electron.state == RUNNING:
        return "submitted: its attempts are not known yet"
    return "no attempt of it is known" + ("" if electron.state == COMPLETED else f" ({electron.state})")


def chain_text(report: Report, most: int = 12) -> str:
    """Name the electrons that the end waited for, in order; "" for a chain of fewer than two."""
    titles = {electron.node: short(electron.title, 40) for electron in report.electrons if electron.kind != SERVICE}
    names: Sequence[str] = [titles[node] for node in report.chain if node in titles]
    if len(names) > most:
        names = [*names[: most - 2], f"{len(names) - most + 1:,} more", names[-1]]
    return " → ".join(names) if len(names) > 1 else ""
