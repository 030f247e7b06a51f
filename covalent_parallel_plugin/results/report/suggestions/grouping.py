"""Which electrons suggestions are about: those that ran on Batch, by name and request."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from ....batch.trace_ends import VALUE
from ....settings.machine_rules import has_built_in_gpus
from ..model import CODE, LONE, MAP, SWEEP, Electron, Report, TaskAttempt

# Ends of attempts that did what they were to do, those of a sweep's tasks among them
RETURNED = frozenset({VALUE, "done"})
ON_BATCH = frozenset({LONE, MAP, SWEEP})


def by_request(report: Report) -> list[list[Electron]]:
    """Return electrons with attempts that have one name and kind, and asked for the same; in order."""
    found: dict[object, list[Electron]] = {}
    for electron in report.electrons:
        if electron.kind in ON_BATCH and electron.attempts:
            found.setdefault((electron.name, electron.kind, electron.asked), []).append(electron)
    return list(found.values())


def by_name(report: Report, kinds: Iterable[str] = ON_BATCH) -> list[list[Electron]]:
    """Return electrons of these kinds with attempts that have one name and kind; in order."""
    found: dict[tuple[str, str], list[Electron]] = {}
    for electron in report.electrons:
        if electron.kind in kinds and electron.attempts:
            found.setdefault((electron.name, electron.kind), []).append(electron)
    return list(found.values())


def attempts_of(electrons: Iterable[Electron]) -> list[TaskAttempt]:
    """Return all of their attempts."""
    return [attempt for electron in electrons for attempt in electron.attempts]


def has_gpus(electron: Electron) -> bool:
    """Whether its machines have GPUs, by what it asked for."""
    asked = electron.asked
    return bool(asked.gpu_type or asked.gpu_count) or has_built_in_gpus(asked.machine_type)


def is_on_chain(report: Report, electron: Electron) -> bool:
    """Whether the end waited for it; every electron where the chain is not known."""
    return not report.chain or electron.node in report.chain


def dependents(report: Report, nodes: Iterable[int]) -> list[Electron]:
    """Return the electrons that take the values of these, also through others, in order of their nodes."""
    needed = set(nodes)
    found: dict[int, Electron] = {}
    for electron in sorted(report.electrons, key=lambda each: each.node):
        if electron.node not in needed and needed.intersection(electron.parents):
            needed.add(electron.node)
            found[electron.node] = electron
    return list(found.values())


def tasks_of(electron: Electron) -> int:
    """Return how many tasks it has, at most, in one of its jobs."""
    tasks: dict[int, set[int]] = {}
    for attempt in electron.attempts:
        tasks.setdefault(attempt.round, set()).add(attempt.task)
    return max(map(len, tasks.values()), default=0)


def cores_used(attempts: Iterable[TaskAttempt]) -> float | None:
    """Return the most vCPUs that one of them kept busy, on average; None where that was not measured."""
    found = [
        attempt.cpu_seconds / attempt.seconds(CODE)
        for attempt in attempts
        if attempt.cpu_seconds is not None and attempt.seconds(CODE) > 0
    ]
    return max(found, default=None)


def median_seconds(attempts: Iterable[TaskAttempt], *phases: str) -> float:
    """Return the median of the time that they were in some phases; 0 for none."""
    return median([sum(map(attempt.seconds, phases)) for attempt in attempts] or [0.0])
