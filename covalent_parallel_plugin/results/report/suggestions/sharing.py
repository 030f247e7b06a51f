"""Tasks of a map or sweep that have a machine each, though several would fit one."""

from __future__ import annotations

from collections.abc import Iterator

from ..charts.words import duration
from ..model import BOOT, IMAGE, MAP, PIP, SWEEP, Electron, Report, Suggestion
from .grouping import has_gpus, tasks_of
from .machine_choice import fitting, shared_type
from .thresholds import Thresholds
from .wording import options

STARTS = (BOOT, IMAGE, PIP)


def sharing(report: Report, limits: Thresholds) -> Iterator[Suggestion]:
    """Suggest a machine type that several tasks share."""
    for electron in report.electrons:
        asked, tasks = electron.asked, tasks_of(electron)
        known = asked.vcpus is not None and asked.memory_bytes is not None
        if electron.kind not in (MAP, SWEEP) or not known or has_gpus(electron) or tasks < max(limits.sharing_tasks, 2):
            continue
        found = _shared(electron, tasks)
        if found is None:
            continue
        machine_type, together, remedy = found
        now = asked.tasks_per_machine or 1
        starts = sum(attempt.seconds(phase) for attempt in electron.attempts for phase in STARTS)
        # Of a machine's tasks the first one pays for its start
        saved = starts * (1 - now / together)
        if together <= now or saved < limits.sharing_machine_seconds:
            continue
        yield Suggestion(
            "sharing",
            f"{electron.title} started a machine for each of {tasks} tasks"
            if now == 1
            else f"{electron.title} has {now} tasks on a machine that holds {together}",
            f"{together} of them, {asked.vcpus:g} vCPUs each, fit {machine_type} at a time, which starts once.",
            remedy,
            f"{duration(saved)} of machine starts a run",
            machine_seconds=saved,
            nodes=(electron.node,),
        )


def _shared(electron: Electron, tasks: int) -> tuple[str, int, str] | None:
    """A machine type, how many tasks share it, and how that is asked for; None where nothing better is known."""
    asked = electron.asked
    vcpus, memory_bytes = asked.vcpus or 0.0, asked.memory_bytes or 0
    if asked.machine_type:
        together = min(fitting(asked.machine_type, vcpus, memory_bytes), tasks)
        # Only a sweep may say that fewer share a machine than fit
        return asked.machine_type, together, options(electron, tasks_per_machine=together)
    found = shared_type(vcpus, memory_bytes, tasks)
    if found is None:
        return None
    return *found, options(electron, machine_type=found[0])
