"""End a sweep, whoever runs it: a process of this machine, or jobs on Batch that no run waits for."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import ParallelError
from .records.journal import State, is_held
from .records.out_folder import OutFolder

if TYPE_CHECKING:
    from ..settings import Settings

# A task has 10 s to end; then there are containers to remove and tables to write
WAIT_SECONDS = 90.0
# A job on Batch takes its time to end, and what it has delivered is gathered then
BATCH_WAIT_SECONDS = 900.0
LOOK_EVERY_SECONDS = 0.1


class CancellationError(ParallelError):
    """What was asked to end has not ended in time."""


def cancel_sweep(out: OutFolder) -> Iterator[str]:
    """End the run of a folder, or its jobs; yield messages for the user, and return once nothing runs.

    Raises:
        CancellationError: something still runs. JournalError: the folder's journal cannot be read.
        CloudError: Batch refused, or could not be reached.
    """
    if is_held(out.journal_path):
        yield end_run(out)
        return
    state = State.read(out.journal_path)
    if state.rounds and state.place is not None:
        from .batch.sweep_place import settings_at

        jobs = [event["job"] for event in state.rounds.values()]
        gather = f"`covalent-parallel sweep gather {out.path}`"
        yield from end_jobs(str(out.path), settings_at(state.place), jobs, gather)
        return
    yield f"{out.path} is not running"


def end_run(out: OutFolder) -> str:
    """End the process that runs a sweep, and wait for it; return a message for the user. Raises CancellationError."""
    state = State.read(out.journal_path)
    is_local = state.run is None or state.run.get("local", True)
    if state.hears_signals:
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.pid, signal.SIGTERM)
    else:
        out.cancel_path.touch()
    seconds = WAIT_SECONDS if is_local else BATCH_WAIT_SECONDS
    deadline = time.monotonic() + seconds
    while is_held(out.journal_path):
        if time.monotonic() > deadline:
            raise CancellationError(f"process {state.pid} still holds {out.path} after {seconds:g} s")
        time.sleep(LOOK_EVERY_SECONDS)
    return f"{out.path} is cancelled"


def end_jobs(what: str, settings: Settings, names: Sequence[str], gather: str) -> Iterator[str]:
    """Cancel jobs that no run of this machine waits for, and wait for their end; yield messages for the user.

    Raises:
        CancellationError: one has not ended in time. CloudError: Batch refused, or could not be reached.
    """
    from .batch.waiting_jobs import cancel_jobs, look_at_jobs

    running = [job.name for job in look_at_jobs(settings, names) if job.may_run]
    if not running:
        yield f"{what} is not running: its job on Batch has ended, or is gone; {gather} downloads what it delivered"
        return
    for job in cancel_jobs(settings, running):
        if job.may_run:
            raise CancellationError(f"{job}; it was asked to end, and has not ended yet: try again later")
        yield str(job)
    yield f"{what} is cancelled; {gather} downloads what it delivered"
