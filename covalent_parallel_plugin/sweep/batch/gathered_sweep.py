"""Bring what a sweep's tasks have delivered into a folder, without the sweep's file: as its rounds tell of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count, takewhile
from typing import Any

from ...cloud.interfaces import Bucket
from ...errors import OutcomeError
from ...programs.core_schema import ParameterValue
from ...protocol.envelope import WireError
from ...protocol.sweep_identity import SweepIdentity
from ...settings import Settings
from ..combinations import Combination
from ..records.journal import Journal, pinned_event, round_end_event
from ..records.out_folder import OutFolder
from ..tasks import Pinned, SweepTask
from .found_sweep import read_round
from .gathering import GatherSeams, RoundGathering
from .round_tasks import RoundTasks
from .setup import read_setup
from .shards import ShardTask
from .sweep_place import place_event
from .waiting_jobs import look_at_jobs


class SweepGathering:
    """Takes what rounds have delivered into the journal of a folder that this process holds.

    Args:
        parts: gives what the journal keeps of a task's key, where that is known.

    Attributes:
        tasks: of all rounds that were gathered, by name, in the order of their indices.
        notes: a sentence for whatever could not be gathered.
    """

    def __init__(
        self,
        out: OutFolder,
        journal: Journal,
        identity: SweepIdentity,
        settings: Settings,
        store: Bucket,
        parts: Callable[[SweepTask], Mapping[str, str]] = lambda task: {},
    ) -> None:
        self._out, self._journal, self._identity = out, journal, identity
        self._settings, self._store, self._parts = settings, store, parts
        self._submitted: dict[tuple[int, int], ShardTask] = {}
        self._tasks: dict[str, SweepTask] = {}
        self.notes: list[str] = []

    @property
    def tasks(self) -> Sequence[SweepTask]:
        """The tasks of the rounds that were gathered."""
        return sorted(self._tasks.values(), key=lambda task: task.index)

    @property
    def parameters(self) -> Sequence[str]:
        """The names of their parameters."""
        return list(dict.fromkeys(name for task in self.tasks for name in task.combination.values))

    def gather_all(self) -> None:
        """Gather all rounds of a sweep whose file is not here, and enter it in the journal as they tell of it.

        Raises:
            OutcomeError: what is in the bucket is not this sweep's. CloudError: of the bucket. OSError: of the folder.
        """
        rounds = self._rounds()
        setup = self._setup(rounds[-1]) if rounds else None
        self._enter(setup, [])
        self.gather(rounds)
        # Under their names, earlier rounds may have had other tasks
        ends = self._journal.state.ends
        stale = [name for name, task in self._tasks.items() if name in ends and ends[name].key != task.key]
        if stale:
            self._enter(setup, stale)
            self._finish()

    def _enter(self, setup: Mapping[str, Any] | None, stale: Sequence[str]) -> None:
        setup = setup or {"sweep": {"count": 0}, "result": None}
        read = setup["result"] or {}
        source = f"stdout: {read['pattern']}" if "pattern" in read else f"file: {read['file']}" if read else ""
        event = {"event": "run", "count": setup["sweep"]["count"], "to_run": 0, "pinned": pinned_event(Pinned())}
        event |= {"stale": stale, "image": "", "result": source, "file": "", "overrides": [], "engine": ""}
        self._journal.append(event | {"local": False} | place_event(self._settings))

    def gather(self, rounds: Iterable[int]) -> None:
        """Gather rounds, by their numbers; those whose jobs have ended are over then.

        Raises:
            OutcomeError: what is in the bucket is not this sweep's. CloudError: of Google. OSError: of the folder.
        """
        for number in sorted(set(rounds)):
            # Asked first: what comes until it has ended is there then
            job = self._journal.state.rounds.get(number)
            waiting = look_at_jobs(self._settings, [job["job"]])[0] if job is not None else None
            self._gather_round(number)
            if waiting is not None and not waiting.may_run:
                self._journal.append(round_end_event(number, waiting.status.state if waiting.status else "gone"))
        self._finish()

    def _finish(self) -> None:
        state = self._journal.state
        event = {"event": "finish", "counts": dict(+state.counts()), "stopped": ""}
        self._journal.append(event | ({"detached": True} if state.rounds else {}))

    def _rounds(self) -> list[int]:
        """Return the numbers of all rounds that are in the bucket; raises as `gather`."""
        known = range(self._journal.state.next_round)
        more = takewhile(lambda number: self._setup(number) is not None, count(len(known)))
        return [*(number for number in known if self._setup(number) is not None), *more]

    def _gather_round(self, number: int) -> None:
        found = read_round(self._store, self._identity, number)
        if found is None:
            self.notes.append(f"what round {number} was given is gone from gs://{self._store.bucket_name}")
            return
        shape, submitted = found
        self._submitted |= {(number, task.index): task for task in submitted}
        names = {end.at: name for name, end in self._journal.state.ends.items() if end.at is not None}
        tasks = [_task(task, names.get((number, task.index), task.name)) for task in submitted]
        self._tasks |= {task.name: task for task in tasks}
        known = RoundTasks.found(number, shape.bundle, submitted, tasks)
        gathering = RoundGathering(self._seams(), known)
        asyncio.run(gathering.take())
        self.notes += gathering.refused

    def _setup(self, number: int) -> Mapping[str, Any] | None:
        try:
            return read_setup(self._store, self._identity, number)
        except WireError as error:
            raise OutcomeError(f"the setup of round {number} in the bucket is refused: {error}") from error

    def _seams(self) -> GatherSeams:
        return GatherSeams(self._store, self._identity, self._out, self._journal, self._describe, self._parts, True)

    def _describe(self, task: SweepTask, round: int, index: int) -> Mapping[str, Any]:
        submitted = self._submitted[round, index]
        own = {"index": task.index, "name": task.name, "key": task.key}
        return {**own, **submitted.description, "environment": dict(submitted.environment)}


def _task(submitted: ShardTask, name: str) -> SweepTask:
    """Return a task, as far as its shard tells of it."""
    parameters = submitted.description.get("parameters") or {}
    values = {parameter: ParameterValue(str(value), value) for parameter, value in parameters.items()}
    combination = Combination(submitted.index, 0, values, submitted.description.get("repeat"))
    return SweepTask(combination, name, submitted.key)
