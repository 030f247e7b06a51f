"""A plan as text, and as a document for JSON and YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..programs.task_folder import FILES
from .combinations import count_text
from .display.printable import shown_command
from .local.hand_command import INPUTS_FOLDER, TASK_FOLDER
from .local.plain_command import program_paths
from .opened_sweep import OpenedSweep
from .plan import HoursBound, Plan, reason_lines
from .records.journal import State
from .sweep_file import SweepFile
from .tasks import LocalPaths, SweepTask, SweepTasks

SAMPLES = ("first", "second", "last")


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
    # What a bucket holds is not here yet
    paths = task_paths(file, folder, {name: Path(str(text)) for name, text in file.inputs.items()})
    launch = tasks.launch(task, paths, sweep_id=state.sweep_id or "ID", count=count, attempt=0)
    image = tasks.pinned.image
    entrypoint, arguments = launch.entrypoint, launch.arguments
    if entrypoint is None and image is not None:
        entrypoint, arguments = image.entrypoint, arguments or image.command
    return [*(entrypoint or ()), *arguments]


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
        "warnings": list(warnings),
    }


def plan_lines(document: Mapping[str, Any], plan: Plan, bound: HoursBound) -> Iterator[str]:
    """Return a plan as text."""
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
        yield f"at most  {bound}"
    yield from reason_lines(plan)
