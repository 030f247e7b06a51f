"""What several commands of a sweep take: the sweep itself, by its name or folder, and a task of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from covalent_parallel_plugin.sweep.journal import State
from covalent_parallel_plugin.sweep.out_folder import OutFolder
from covalent_parallel_plugin.sweep.plan import shown_names
from covalent_parallel_plugin.sweep.sweeps_index import SweepsIndex, UnknownSweepError

NAME_OR_FOLDER = "[NAME|FOLDER]"


def find_sweep(text: str | None) -> OutFolder:
    """Find a sweep by name or folder; without either the one that is here. Raises UnknownSweepError."""
    return SweepsIndex.of(os.environ).find(text, Path.cwd())


def find_sweep_and_task(words: Sequence[str]) -> tuple[OutFolder, str]:
    """Read one or two words as a task, and the sweep before it. Raises UsageError, UnknownSweepError, JournalError."""
    if len(words) > 2:
        raise click.UsageError(f"give a sweep's name or folder, and a task: {' '.join(words)!r} is more than that")
    task = words[-1].rstrip("/")
    try:
        return find_sweep(words[0] if len(words) == 2 else None), task
    except UnknownSweepError:
        if len(words) == 2:
            raise
        # The one word may be meant as the sweep
        out = find_sweep(task)
    state = State.read(out.journal_path)
    names = shown_names(list(dict.fromkeys([*state.ends, *state.running]))) or "none that has begun"
    raise click.UsageError(f"which task of {task}? Give its name after the sweep's; it has {names}")
