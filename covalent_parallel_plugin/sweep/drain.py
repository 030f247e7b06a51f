"""Stop a sweep from starting tasks, while running ones continue: `cancel --waiting`.

A run on this machine, and the process that waits for one on Batch, find a file in the sweep's folder. Batch itself
cannot take back what it was given and has not begun: its machines find no tasks in the bucket any more, and end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..protocol.sweep_objects import sweep_folder
from .plan import shown_names
from .records.journal import State, is_held
from .records.out_folder import OutFolder
from .run_cancellation import LOOK_EVERY_SECONDS, WAIT_SECONDS, CancellationError

if TYPE_CHECKING:
    from ..settings import Settings


def drain_sweep(out: OutFolder) -> Iterator[str]:
    """Stop the run of a folder, and its jobs, from starting tasks; yield messages for the user.

    Raises:
        CancellationError: the run did not take it. JournalError: the folder's journal cannot be read.
        CloudError: Google refused, or could not be reached.
    """
    has_run = is_held(out.journal_path) and _drain_run(out)
    state = State.read(out.journal_path)
    if has_run:
        yield f"{out.path}: nothing more is started; what runs goes on"
        if state.running:
            yield f"running: {shown_names(list(state.running))}"
    if state.rounds and state.place is not None:
        from .batch.sweep_place import settings_at

        jobs = {number: event["job"] for number, event in state.rounds.items()}
        folder = sweep_folder(state.name, state.sweep_id)
        yield from drain_jobs(str(out.path), settings_at(state.place), folder, jobs)
    elif not has_run:
        yield f"{out.path} is not running"


def _drain_run(out: OutFolder) -> bool:
    """Stop a run from starting tasks, and wait until it confirms; False if it ended first. Raises CancellationError."""
    deadline = time.monotonic() + WAIT_SECONDS
    out.drain_path.touch()
    while is_held(out.journal_path):
        if not out.drain_path.exists():
            if State.read(out.journal_path).is_draining:
                return True
            # It was taken for one that had come too late for an earlier run
            out.drain_path.touch()
        if time.monotonic() > deadline:
            out.take_drain()
            raise CancellationError(
                f"the run of {out.path} did not confirm the request within {WAIT_SECONDS:g} s: try again later"
            )
        time.sleep(LOOK_EVERY_SECONDS)
    out.take_drain()
    return False


def drain_jobs(what: str, settings: Settings, folder: str, jobs: Mapping[int, str]) -> Iterator[str]:
    """Stop the jobs of rounds from starting tasks; yield messages for the user.

    Args:
        folder: the prefix of all that the sweep has in the bucket.
        jobs: a round's number -> the full name of its job.

    Raises:
        CloudError: Google refused, or could not be reached.
    """
    from ..cloud.storage import ObjectStore
    from .batch.shards import drain_round
    from .batch.waiting_jobs import look_at_jobs

    found = look_at_jobs(settings, jobs.values())
    running = [(number, job) for number, job in zip(jobs, found, strict=True) if job.may_run]
    if not running:
        yield f"{what}: none of its jobs runs on Batch: no task waits there"
        return
    store = ObjectStore.shared(settings.project_id, settings.bucket_name)
    for number, job in running:
        drain_round(store, folder, number)
        yield str(job)
    yield f"{what}: on Batch its running tasks continue; each waiting task ends as soon as it gets a machine"
