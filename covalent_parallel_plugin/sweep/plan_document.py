"""A plan as text, and as a document for JSON and YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..programs.task_folder import FILES
from ..protocol.sweep_identity import SweepIdentity
from ..protocol.sweep_objects import sweep_folder
from ..settings.machine_sizes import tasks_per_machine
from .batch.task_paths import batch_paths
from .combinations import count_text
from .display.printable import shown_command
from .display.run_progress import hours_text
from .local.hand_command import INPUTS_FOLDER, TASK_FOLDER
from .local.plain_command import program_paths
from .machine_demand import MachineDemand
from .opened_sweep import OpenedSweep
from .plan import HoursBound, Plan, reason_lines
from .records.journal import State
from .sweep_file import SweepFile
from .tasks import LocalPaths, SweepTask, SweepTasks

SAMPLES = ("first", "second", "last")
# The first of these that several tasks fit is named if tasks could share machines
SHAREABLE = ("e2-standard-16", "e2-standard-32")


def task_paths(file: SweepFile, folder: Path, inputs: Mapping[str, Path]) -> LocalPaths:
    """Return where a program finds things whose folder is this one on this machine."""
    result = file.result.file if file.result else ""
    if file.image:
        seen = {name: f"{INPUTS_FOLDER}/{name}" for name in inputs}
        return program_paths(file.outputs or TASK_FOLDER, seen, file.config, result)
    return program_paths(str(folder), {name: str(path) for name, path in inputs.items()}, file.config, result)


def task_command(opened: OpenedSweep, tasks: SweepTasks, task: SweepTask, state: State, count: int) -> list[str]:
    """Return the words that a task runs: of its image where that is known and the file does not replace them."""
    file, folder = opened.file, opened.out.task_folder(task.name) / FILES
    sweep_id = state.sweep_id or "ID"
    if file.is_local:
        # What a bucket holds is not here yet
        paths = task_paths(file, folder, {name: Path(str(text)) for name, text in file.inputs.items()})
    else:
        identity = SweepIdentity(sweep_id, b"", sweep_folder(file.name, sweep_id))
        paths = batch_paths(file, identity, 0, task.index)
    launch = tasks.launch(task, paths, sweep_id=sweep_id, count=count, attempt=0)
    return list(launch.words(tasks.pinned.image))


def machine_hint(file: SweepFile, tasks: int) -> str:
    """Return what would let so many tasks share machines on Batch; "" where they do, or cannot."""
    settings = file.settings
    if file.is_local or settings.machine_type or file.tasks_per_machine or settings.needs_gpu_drivers:
        return ""
    for machine_type in SHAREABLE:
        fitting = min(tasks, tasks_per_machine(machine_type, max(1, round(settings.vcpus * 1000)), settings.memory))
        if fitting > 1:
            return (
                "each task has a machine of its own, of Batch's choice: a machine type would let them share machines,"
                f" {fitting} tasks on one with machine_type: {machine_type} under resources"
            )
    return ""


def plan_document(
    opened: OpenedSweep, tasks: SweepTasks, plan: Plan, state: State, bound: HoursBound, warnings: Sequence[str]
) -> dict[str, Any]:
    """Return a plan for JSON and YAML."""
    image = tasks.pinned.image
    samples = {
        # the last one, where there are two
        SAMPLES[-1] if number and number == len(plan.samples) - 1 else SAMPLES[number]: {
            "index": task.index,
            "name": task.name,
            "command": task_command(opened, tasks, task, state, plan.total),
            "folder": str(opened.out.task_folder(task.name)),
        }
        for number, task in enumerate(plan.samples)
    }
    return {
        "name": opened.file.name,
        "image": opened.file.image or None,
        "image_digest": image.digest if image is not None else None,
        "folder": str(opened.out.path),
        "tasks": plan.total,
        "count": count_text(opened.file.grids),
        **samples,
        "done": plan.done,
        "to_run": plan.to_run,
        "left_out": plan.left_out,
        "reasons": [{"why": why, "count": len(names), "tasks": names} for why, names in plan.reasons.items()],
        "renamed": dict(plan.moved),
        "machine_hours": round(bound.hours, 6),
        "max_machine_hours": opened.file.most_machine_hours,
        "used_machine_hours": round(state.used_hours, 6),
        "wanted": asdict(MachineDemand.of(opened.file, plan.to_run))
        if not opened.file.is_local and plan.to_run
        else None,
        "machines": machine_hint(opened.file, plan.to_run) or None,
        "warnings": list(warnings),
    }


def plan_lines(document: Mapping[str, Any], plan: Plan, bound: HoursBound, cost: str = "") -> Iterator[str]:
    """Return a plan as text; `cost` follows the bound."""
    count = document["count"]
    product = f" ({count})" if count != str(plan.total) else ""
    yield f"{document['name']}: {plan.total} task{'' if plan.total == 1 else 's'}{product}"
    if document["image"]:
        digest = document["image_digest"] or "found when it runs"
        yield f"image    {document['image']} ({digest})"
    for name in SAMPLES:
        if sample := document.get(name):
            yield f"{name:<8} {sample['name']}"
            yield f"         {shown_command(sample['command'])}"
            yield f"         {sample['folder']}"
    if plan.to_run:
        yield f"at most  {bound}{cost}"
    if document["max_machine_hours"] is not None:
        used = document["used_machine_hours"]
        yield f"limit    max_machine_hours = {document['max_machine_hours']:g}: it stops there" + (
            f"; {hours_text(used)} are used" if used else ""
        )
    if document["wanted"]:
        yield f"wants    {MachineDemand(**document['wanted'])}"
    if document["machines"]:
        yield f"machines {document['machines']}"
    yield from reason_lines(plan)
