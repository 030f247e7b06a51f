"""The tasks of one round: which positions its job runs, and which of this run's tasks they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..tasks import SweepTask


class Submitted(Protocol):
    """A task as it was given to a round."""

    @property
    def index(self) -> int:
        """Its index in the sweep, at that time."""

    @property
    def name(self) -> str:
        """Its name, at that time."""

    @property
    def key(self) -> str:
        """Its key."""


@dataclass(frozen=True)
class RoundTasks:
    """What a round runs.

    Attributes:
        number: the round's.
        bundle: how many of its tasks one task of its job runs, one after the other.
        indices: its tasks' indices, in the order of their positions; each is the name of an outcome.
        own: those of them that are tasks of this run, by that index.
        keys: of all of them, by that index.
    """

    number: int
    bundle: int
    indices: Sequence[int]
    own: Mapping[int, SweepTask]
    keys: Mapping[int, str]

    @classmethod
    def of(cls, number: int, bundle: int, tasks: Sequence[SweepTask]) -> RoundTasks:
        """Return a round of these tasks."""
        own = {task.index: task for task in tasks}
        return cls(number, bundle, list(own), own, {index: task.key for index, task in own.items()})

    @classmethod
    def found(cls, number: int, bundle: int, submitted: Sequence[Submitted], tasks: Iterable[SweepTask]) -> RoundTasks:
        """Return a round that was submitted before; of `tasks` those are in it that have the same keys."""
        by_key: dict[str, list[SweepTask]] = {}
        for task in tasks:
            by_key.setdefault(task.key, []).append(task)
        own = {}
        for was in submitted:
            same = by_key.get(was.key)
            if same:
                # Among several with this key, the one that has kept its name
                task = next((task for task in same if task.name == was.name), same[0])
                same.remove(task)
                own[was.index] = task
        return cls(number, bundle, [was.index for was in submitted], own, {was.index: was.key for was in submitted})

    @property
    def job_tasks(self) -> int:
        """How many tasks its job has."""
        return -(-len(self.indices) // self.bundle)

    def bundles(self, missing: Iterable[int]) -> dict[int, list[int]]:
        """Group tasks, given by their indices, by the task of the job that runs them; in the order of positions."""
        wanted, found = set(missing), dict[int, list[int]]()
        for position, index in enumerate(self.indices):
            if index in wanted:
                found.setdefault(position // self.bundle, []).append(index)
        return found
