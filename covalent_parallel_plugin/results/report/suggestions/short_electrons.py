"""Many short electrons of one function, each with a machine of its own, which a map would run on a few."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..charts.words import counted, duration, item_duration
from ..model import BOOT, CODE, IMAGE, LONE, PIP, WAITING, Electron, Report, Suggestion
from .grouping import attempts_of, by_request, median_seconds
from .thresholds import Thresholds

STARTS = (BOOT, IMAGE, PIP)


def short_electrons(report: Report, limits: Thresholds) -> Iterator[Suggestion]:
    """Suggest `pmap` for calls of one function that do not take each other's values."""
    for group in by_request(report):
        apart = _without_chains(report, group) if group[0].kind == LONE else []
        if len(apart) < max(limits.short_electrons, 2):
            continue
        attempts = attempts_of(apart)
        code, start = median_seconds(attempts, CODE), median_seconds(attempts, WAITING, *STARTS)
        paid = sum(attempt.seconds(phase) for attempt in attempts for phase in STARTS)
        whole = sum(attempt.seconds(CODE) for attempt in attempts)
        # So many that each one works for as long as it takes to start
        tasks = max(1, min(math.ceil(whole / start) if start > 0 else 1, len(apart) // 2))
        saved = paid * (1 - tasks / len(apart))
        if code >= start or saved < limits.short_machine_seconds:
            continue
        name = group[0].name
        yield Suggestion(
            "short-electrons",
            f"{len(apart)} electrons {name} ran for {item_duration(code)} each, and took {duration(start)} to start",
            f"A map runs them on {counted(tasks, 'machine')}, which start{'s' if tasks == 1 else ''} once, and"
            f" work{'s' if tasks == 1 else ''} for {duration(whole / tasks)}{'' if tasks == 1 else ' each'} then.",
            f"{name} = pmap(function, executor=GCPBatchExecutor(max_parallel={tasks}))\n{name}(items)",
            f"{duration(saved)} of machine starts a run",
            machine_seconds=saved,
            nodes=tuple(electron.node for electron in apart),
        )


def _without_chains(report: Report, group: Sequence[Electron]) -> list[Electron]:
    """Those that take no value of another one of the group, also not through others, whose nodes are lower.

    Where nobody told who takes whose values, those that began before one of them had ended.
    """
    if not any(electron.parents for electron in report.electrons):
        first = min((electron.ended for electron in group if electron.ended is not None), default=math.inf)
        return [each for each in group if each.entered is not None and each.entered < first]
    own = {electron.node for electron in group}
    follows: set[int] = set()
    for electron in sorted(report.electrons, key=lambda each: each.node):
        if any(parent in own or parent in follows for parent in electron.parents):
            follows.add(electron.node)
    return [electron for electron in group if electron.node not in follows]
