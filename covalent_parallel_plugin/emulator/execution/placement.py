"""The seam between the engine and the machines: where the tasks of jobs run, and when there is room for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .scheduled_job import Entry


class Placement(Protocol):
    """Where tasks run; its methods are called on the engine's thread."""

    def admit(self, entry: Entry, proceed: Callable[[Entry], None]) -> None:
        """Have a queued job proceed, as soon as there is a VM for it."""

    def has_room(self, entry: Entry) -> bool:
        """Tell whether a task of the job's can start now."""

    def instance(self, entry: Entry) -> str:
        """Name the VM that the job's next task is to run on."""

    def take(self, entry: Entry, index: int) -> None:
        """The task runs there now."""

    def leave(self, entry: Entry, index: int) -> None:
        """The task runs no more; its job may have ended."""

    def fit(self, entry: Entry) -> None:
        """The job's tasks have become fewer: it is being ended, or was."""

    def lose(self, entry: Entry, index: int) -> list[int]:
        """The VM that a task runs on is taken away; give the other tasks on it."""

    def end_all(self) -> None:
        """No VM is needed any more."""

    def counts(self) -> dict[str, float]:
        """Give the counters, from any thread."""


class ThisMachine:
    """No model: every job has all the room there is, and each of its tasks a VM with the number of tasks that run."""

    def admit(self, entry: Entry, proceed: Callable[[Entry], None]) -> None:
        proceed(entry)

    def has_room(self, entry: Entry) -> bool:
        return True

    def instance(self, entry: Entry) -> str:
        return entry.plan.instance(entry.job.active)

    def take(self, entry: Entry, index: int) -> None:
        pass

    def leave(self, entry: Entry, index: int) -> None:
        pass

    def fit(self, entry: Entry) -> None:
        pass

    def lose(self, entry: Entry, index: int) -> list[int]:
        return []

    def end_all(self) -> None:
        pass

    def counts(self) -> dict[str, float]:
        return {}
