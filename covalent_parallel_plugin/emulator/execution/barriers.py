"""Let the tasks of a job wait for one another: the barriers among their runnables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Arrival:
    """An attempt of a task at a barrier; `go_on` is called with why not all tasks will come, "" when they are there."""

    index: int
    go_on: Callable[[str], object]


@dataclass
class _Barrier:
    name: str
    arrivals: list[Arrival] = field(default_factory=list)
    is_open: bool = False


class Barriers:
    """The barriers of one job, by the number of their runnable; its methods are called on the loop's thread.

    A barrier opens when an attempt of each task waits at it, and stays open for attempts that come again. It breaks
    when a task has ended for good that did not pass it: nobody waits for what cannot come. `has_come` is called when a
    task begins to wait.
    """

    def __init__(self, task_count: int) -> None:
        self.has_come: Callable[[], object] = lambda: None
        self._task_count = task_count
        self._barriers: dict[int, _Barrier] = {}
        self._gone: list[int] = []

    @property
    def waiting(self) -> set[int]:
        """The tasks that wait."""
        return {arrival.index for barrier in self._barriers.values() for arrival in barrier.arrivals}

    def reach(self, number: int, name: str, arrival: Arrival) -> None:
        """Let an attempt wait, or continue at once."""
        barrier = self._barriers.setdefault(number, _Barrier(name))
        barrier.arrivals.append(arrival)
        barrier.is_open |= len({waiting.index for waiting in barrier.arrivals}) == self._task_count
        if barrier.is_open:
            _release(barrier, "")
        elif self._gone:
            self._break(number, barrier)
        else:
            self.has_come()

    def leave(self, arrival: Arrival) -> None:
        """Record that an attempt waits no more: it was ended."""
        for barrier in self._barriers.values():
            if arrival in barrier.arrivals:
                barrier.arrivals.remove(arrival)

    def task_ended(self, index: int) -> None:
        """Record that a task has ended for good."""
        self._gone.append(index)
        for number, barrier in self._barriers.items():
            if not barrier.is_open:
                self._break(number, barrier)

    def _break(self, number: int, barrier: _Barrier) -> None:
        name = f" {barrier.name!r}" if barrier.name else ""
        _release(
            barrier,
            f"the barrier{name} (runnable {number}) waits for all {self._task_count} tasks, and task {self._gone[0]} "
            "has ended without passing it",
        )


def _release(barrier: _Barrier, why_not: str) -> None:
    arrivals, barrier.arrivals = barrier.arrivals, []
    for arrival in arrivals:
        arrival.go_on(why_not)
