"""The table of a dispatch with more jobs than a terminal has lines: first those that run or failed, others counted."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from ...results.status import words
from ...results.status.snapshot import WAITING_STATES, JobView, Snapshot
from .display import table

if TYPE_CHECKING:
    from rich.console import Console, Group

# What gives way first comes last; maps that run are what is watched
FAILED, WAITS, HAS_ENDED = 1, 3, 4
# So many kinds of jobs that are not shown are named
MOST_KINDS = 4


def fitted_table(snapshot: Snapshot, console: Console) -> Group:
    """Return a look as a terminal shows it, with as many of its jobs as it has lines for; in their order."""
    from rich.console import Group

    in_rank = sorted(range(len(snapshot.jobs)), key=lambda number: _rank(snapshot.jobs[number]))

    def made(count: int) -> Group:
        chosen = set(in_rank[:count])
        shown = [job for number, job in enumerate(snapshot.jobs) if number in chosen]
        left_out = [job for number, job in enumerate(snapshot.jobs) if number not in chosen]
        group = table(replace(snapshot, jobs=shown), console.width, whole=snapshot)
        return Group(*group.renderables[:-1], _rest(left_out), "") if left_out else group

    def lines(count: int) -> int:
        return len(console.render_lines(made(count), pad=False))

    if len(snapshot.jobs) < console.height and lines(len(snapshot.jobs)) <= console.height:
        return made(len(snapshot.jobs))
    counts = range(1, min(len(snapshot.jobs), console.height))
    return made(max(bisect_right(counts, console.height, key=lines), 1))


def _rank(job: JobView) -> int:
    if job.state == "FAILED":
        return FAILED
    if job.has_ended:
        return HAS_ENDED
    if job.state in WAITING_STATES:
        return WAITS
    return 0 if job.is_map else 2


def _rest(jobs: list[JobView]) -> str:
    kinds = Counter(map(words.job_state, jobs)).most_common(MOST_KINDS)
    named = ", ".join(f"{count} {kind}" for kind, count in kinds)
    others = len(jobs) - sum(count for _, count in kinds)
    return f"not shown: {named}" + (f", {others} others" if others else "")
