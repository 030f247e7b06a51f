"""Download what a sweep's tasks have delivered into a folder, without the sweep's file: from its rounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count, takewhile
from typing import Any

from ...cloud.batch import JobStatus
from ...cloud.interfaces import Bucket
from ...programs.core_schema import ParameterValue
from ...protocol.sweep_identity import SweepIdentity
from ...settings import Settings
from ..combinations import Combination
from ..records.journal import Journal, pinned_event, round_end_event
from ..records.out_folder import OutFolder
from ..records.sweep_trace import SweepTrace
from ..tasks import Pinned, SweepTask
from .found_sweep import find_round, find_setup
from .gathering import GatherSeams, RoundGathering
from .round_tasks import RoundTasks
from .shards import ShardTask
from .sweep_place import place_event
from .waiting_jobs import look_at_jobs


class SweepGathering:
    """Takes what rounds have delivered into the journal of a folder that this process holds.

    Args:
        parts: gives what the journal keeps of a task's key, where that is known.
        trace: the sweep's.

    Attributes:
        tasks: of all rounds that were gathered, by name, in the order of their indices.
        notes: a sentence for each thing that could not be gathered.
    """

    def __init__(
        self,
        out: OutFolder,
        journal: Journal,
        identity: SweepIdentity,
        settings: Settings,
        store: Bucket,
        parts: Callable[[SweepTask], Mapping[str, str]] = lambda task: {},
        trace: SweepTrace | None = None,
    ) -> None:
        self._trace = SweepTrace() if trace is None else trace
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
        """Gather all rounds of a sweep whose file is not here, and enter it in the journal as they describe it.

        Raises:
            OutcomeError: what is in the bucket is not this sweep's.
            CloudError: the bucket cannot be used.
            OSError: the folder cannot be used.
        """
        rounds = self._rounds()
        setup = find_setup(self._store, self._identity, rounds[-1]) if rounds else None
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
            OutcomeError: what is in the bucket is not this sweep's.
            CloudError: Google cannot be reached, or refuses.
            OSError: the folder cannot be used.
        """
        numbers = sorted(set(rounds))
        # Asked first: what comes until they have ended is there then
        jobs = {number: event["job"] for number, event in self._journal.state.rounds.items() if number in numbers}
        seen = dict(zip(jobs, look_at_jobs(self._settings, jobs.values()) if jobs else (), strict=True))
        for number in numbers:
            waiting = seen.get(number)
            job = waiting.status if waiting is not None else None
            seconds = self._gather_round(number, job)
            if waiting is not None and not waiting.may_run:
                self._journal.append(round_end_event(number, job.state if job is not None else "gone", seconds or 0.0))
        self._finish()

    def _finish(self) -> None:
        state = self._journal.state
        event = {"event": "finish", "counts": dict(+state.counts()), "stopped": ""}
        self._journal.append(event | ({"detached": True} if state.rounds else {}))

    def _rounds(self) -> list[int]:
        """Return the numbers of all rounds that are in the bucket; raises as `gather`."""

        def is_there(number: int) -> bool:
            return find_setup(self._store, self._identity, number) is not None

        known = range(self._journal.state.next_round)
        return [*filter(is_there, known), *takewhile(is_there, count(len(known)))]

    def _gather_round(self, number: int, job: JobStatus | None) -> float | None:
        """Gather a round; return the time that its machines were held (s), where that is known."""
        found = find_round(self._store, self._identity, number)
        if found is None:
            self.notes.append(f"the setup of round {number} is gone from gs://{self._store.bucket_name}")
            return None
        self._submitted |= {(number, task.index): task for task in found.tasks}
        names = {end.at: name for name, end in self._journal.state.ends.items() if end.at is not None}
        tasks = [_task(task, names.get((number, task.index), task.name)) for task in found.tasks]
        self._tasks |= {task.name: task for task in tasks}
        known = RoundTasks.found(number, found.bundle, found.tasks, tasks)
        gathering = RoundGathering(self._seams(), known)
        if job is not None:
            gathering.trace.note_job(job)
        asyncio.run(gathering.take())
        self.notes += gathering.refused
        return gathering.trace.machine_seconds

    def _seams(self) -> GatherSeams:
        return GatherSeams(
            self._store,
            self._identity,
            self._out,
            self._journal,
            self._describe,
            self._parts,
            download=True,
            trace=self._trace,
        )

    def _describe(self, task: SweepTask, round: int, index: int) -> Mapping[str, Any]:
        submitted = self._submitted[round, index]
        own = {"index": task.index, "name": task.name, "key": task.key}
        return {**own, **submitted.description, "environment": dict(submitted.environment)}


def _task(submitted: ShardTask, name: str) -> SweepTask:
    """Return a task, as far as its shard describes it."""
    parameters = submitted.description.get("parameters") or {}
    values = {parameter: ParameterValue(str(value), value) for parameter, value in parameters.items()}
    combination = Combination(submitted.index, 0, values, submitted.description.get("repeat"))
    return SweepTask(combination, name, submitted.key)
