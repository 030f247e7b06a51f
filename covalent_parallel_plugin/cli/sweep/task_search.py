"""Where the output of a task of a sweep is: in its folder here, on Batch, or nowhere yet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from covalent_parallel_plugin.cli.sweep.elsewhere import find_elsewhere
from covalent_parallel_plugin.errors import ParallelError
from covalent_parallel_plugin.settings import nearest
from covalent_parallel_plugin.sweep.opened_sweep import OpenedSweep
from covalent_parallel_plugin.sweep.plan import shown_names
from covalent_parallel_plugin.sweep.records.journal import RecordedEnd, State, is_held, reading_ends
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder
from covalent_parallel_plugin.sweep.records.sweeps_index import UnknownSweepError

if TYPE_CHECKING:
    from covalent_parallel_plugin.cli.sweep.task_on_batch import FollowedTask
    from covalent_parallel_plugin.cloud.interfaces import Bucket
    from covalent_parallel_plugin.protocol.sweep_identity import SweepIdentity
    from covalent_parallel_plugin.settings import Settings

# How long a request is tried again: who looks again soon need not insist
PATIENCE_SECONDS = 3.0


class UnknownTaskError(ParallelError):
    """A sweep has no such task; the message names those that it has."""


@dataclass(frozen=True)
class TaskFolder:
    """Its output is in its folder; `lost` says why the task is lost, "" if it is not."""

    lost: str = ""


@dataclass(frozen=True)
class NotBegun:
    """Why there is no output yet; `may_begin`: a run goes on that may start it."""

    reason: str
    may_begin: bool


def search_here(out: OutFolder, task: str, seconds: float) -> TaskFolder | FollowedTask | NotBegun:
    """Look for a task of a sweep of this machine; on Batch for so many seconds.

    Raises:
        UnknownTaskError: there is no such task. ParallelError: of the journal, the folder's key, or Google.
    """
    state = State.read(out.journal_path)
    end = state.ends.get(task)
    if task in state.running:
        return TaskFolder()
    newer = [number for number in state.rounds if end is None or end.at is None or number > end.at[0]]
    names: list[str] = []
    if newer and state.place is not None:
        found = _search(out, state, task, sorted(newer, reverse=True), seconds)
        if not isinstance(found, list):
            return found
        names = found
    if end is not None:
        is_here = end.is_here or end.at is None or out.task_folder(task).exists()
        return _ended_here(out, end) if is_here else _in_bucket(out, state, task, end, seconds)
    runs = is_held(out.journal_path)
    names = list(dict.fromkeys([*names, *state.ends, *state.running, *_names_in_file(out)]))
    if runs and not names:
        return NotBegun("waits: the run has only begun", True)
    if task not in names:
        near = nearest(task, names)
        hint = f"did you mean {near}?" if near else f"it has {shown_names(names) or 'none yet'}"
        raise UnknownTaskError(f"{out.path} has no task {task!r}: {hint}")
    if runs:
        running = len(state.running)
        return NotBegun("waits for its turn" + (f": {running} run" if running else ", or for its round on Batch"), True)
    return NotBegun(
        f"has not begun, and no run is under way: `covalent-parallel sweep run` starts it: {out.path}", False
    )


def search_elsewhere(
    sweep: str, task: str, place: Mapping[str, str | None], unknown: UnknownSweepError, seconds: float
) -> FollowedTask:
    """Look for a task of a sweep that this machine does not know.

    Raises:
        UnknownSweepError, UnknownTaskError: there is none. CloudError: of Google.
    """
    from covalent_parallel_plugin.cli.sweep.task_on_batch import FollowedTask
    from covalent_parallel_plugin.cloud.timed_calls import Deadline, call_within
    from covalent_parallel_plugin.sweep.batch.found_sweep import find_task

    deadline = Deadline(seconds)
    found = call_within(deadline.share(seconds), "Batch", lambda: find_elsewhere(sweep, place, unknown))
    settings, identity = found.settings, found.found.identity
    store = _store_at(settings)
    rounds = sorted((job.round for job in found.found.jobs), reverse=True)
    search = partial(find_task, store, identity, rounds, lambda each: each.name == task)
    own = call_within(deadline.share(seconds), f"the bucket {store.bucket_name}", search)
    if isinstance(own, list):
        near = nearest(task, own)
        hint = f"did you mean {near}?" if near else f"it has {shown_names(own) or 'none in the bucket'}"
        raise UnknownTaskError(f"the sweep {sweep!r} has no task {task!r}: {hint}")
    return FollowedTask(sweep, settings, store, own)


def _search(out: OutFolder, state: State, task: str, rounds: Iterable[int], seconds: float) -> FollowedTask | list[str]:
    """Look for a task in rounds; return the names of all of their tasks where it is in none."""
    from covalent_parallel_plugin.cli.sweep.task_on_batch import FollowedTask
    from covalent_parallel_plugin.cloud.timed_calls import call_within
    from covalent_parallel_plugin.sweep.batch.found_sweep import find_task

    settings, store, identity = _reached(out, state)
    search = partial(find_task, store, identity, rounds, lambda each: each.name == task)
    found = call_within(seconds, f"the bucket {store.bucket_name}", search)
    if isinstance(found, list):
        return found
    end = state.ends.get(task)
    known_end = partial(_new_end, out, task, -1 if end is None else end.offset)
    return FollowedTask(state.name, settings, store, found, known_end, lambda: is_held(out.journal_path))


def _in_bucket(out: OutFolder, state: State, task: str, end: RecordedEnd, seconds: float) -> FollowedTask:
    """Return a task whose end is known here, and its output in the bucket alone."""
    from covalent_parallel_plugin.cli.sweep.task_on_batch import FollowedTask
    from covalent_parallel_plugin.cloud.timed_calls import call_within
    from covalent_parallel_plugin.sweep.batch.found_sweep import find_setup
    from covalent_parallel_plugin.sweep.batch.task_output import RoundTask

    settings, store, identity = _reached(out, state)
    assert end.at is not None  # it ended on Batch
    round, index = end.at
    ask = partial(find_setup, store, identity, round)
    setup = call_within(seconds, f"the bucket {store.bucket_name}", ask)
    if setup is None:
        raise ParallelError(f"what {task} has written is gone from gs://{store.bucket_name}/{identity.folder}")
    found = RoundTask(identity.task(round, index), task, end.key, 0, int(setup["log_limit"]))
    return FollowedTask(state.name, settings, store, found, lambda: f"it ended: {end.status}")


def _reached(out: OutFolder, state: State) -> tuple[Settings, Bucket, SweepIdentity]:
    """Return where a sweep is on Google, and its identity. Raises ParallelError: it has no key any more."""
    from covalent_parallel_plugin.sweep.batch.sweep_key import kept_identity
    from covalent_parallel_plugin.sweep.batch.sweep_place import settings_at

    settings = settings_at(state.place or {})
    identity = kept_identity(out, state.name, state.sweep_id)
    if identity is None:
        raise ParallelError(f"{out.path} has no key of its sweep any more: `run` takes it from its job on Batch")
    return settings, _store_at(settings), identity


def _store_at(settings: Settings) -> Bucket:
    from covalent_parallel_plugin.cloud.storage import ObjectStore

    return ObjectStore.shared(settings.project_id, settings.bucket_name).with_patience(PATIENCE_SECONDS)


def _ended_here(out: OutFolder, end: RecordedEnd) -> TaskFolder:
    if end.status != "lost":
        return TaskFolder()
    with reading_ends(out.journal_path) as reader:
        return TaskFolder(str(reader.event(end).get("reason", "")) or "no reason is known")


def _new_end(out: OutFolder, task: str, before: int) -> str | None:
    """Say how a task has ended by an event of the journal after this offset; None where it has none."""
    end = State.read(out.journal_path).ends.get(task)
    if end is None or end.offset <= before:
        return None
    with reading_ends(out.journal_path) as reader:
        reason = str(reader.event(end).get("reason", ""))
    return f"{end.status}: {reason}" if reason else str(end.status)


def _names_in_file(out: OutFolder) -> list[str]:
    """Return the names of all tasks of the last run's file; none where it cannot be read any more."""
    try:
        return [task.name for task in OpenedSweep.reopen(out, os.environ).tasks]
    except (ParallelError, OSError):
        return []
