"""`covalent-parallel sweep logs`: what a task has written, as it wrote it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from covalent_parallel_plugin.cli.sweep.arguments import NAME_OR_FOLDER, find_sweep_and_task
from covalent_parallel_plugin.sweep.records.journal import State, is_held
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder, OutFolderError

LOOK_EVERY_SECONDS = 0.2
_CHUNK_BYTES = 1 << 20


@click.command()
@click.argument("words", nargs=-1, required=True, metavar=f"{NAME_OR_FOLDER} TASK")
@click.option("--stderr", "is_stderr", is_flag=True, help="Its standard error; else its standard output.")
@click.option("--follow", is_flag=True, help="Go on until the task has ended.")
def logs(words: tuple[str, ...], is_stderr: bool, follow: bool) -> None:
    """Print what a task has written."""
    out, task = _task_that_began(words)
    path = out.task_folder(task) / ("stderr.txt" if is_stderr else "stdout.txt")
    end = State.read(out.journal_path).ends.get(task)
    if end is not None and not end.is_here and not path.exists():
        raise OutFolderError(
            f"what {task} has written is in the bucket: `covalent-parallel sweep gather {out.path}` brings it"
        )
    _print(path, out, task, follow)


def _task_that_began(words: tuple[str, ...]) -> tuple[OutFolder, str]:
    """Read the words as a sweep and a task of it. Raises UsageError, OutFolderError, JournalError."""
    out, task = find_sweep_and_task(words)
    state = State.read(out.journal_path)
    if task not in state.ends and task not in state.running:
        from covalent_parallel_plugin.settings import nearest

        names = [*state.ends, *state.running]
        near = nearest(task, names)
        hint = f": did you mean {near}?" if near else f": it has {' '.join(names[:8]) or 'none yet'}"
        # One on Batch tells of itself when it has ended
        has = "has ended, as far as is known here (`sweep gather` brings what has)" if state.rounds else "has begun"
        raise OutFolderError(f"no task {task!r} of {out.path} {has}{hint}")
    return out, task


def _print(path: Path, out: OutFolder, task: str, follow: bool) -> None:
    offset = 0
    while True:
        runs = follow and is_held(out.journal_path) and task in State.read(out.journal_path).running
        offset = _print_from(path, offset)
        if not runs:
            return
        time.sleep(LOOK_EVERY_SECONDS)


def _print_from(path: Path, offset: int) -> int:
    """Print a file from an offset on (bytes); return where it ends, 0 if it is not there."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return 0
    with file:
        # A new attempt begins a new file
        file.seek(offset if offset <= file.seek(0, 2) else 0)
        while chunk := file.read(_CHUNK_BYTES):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return file.tell()
