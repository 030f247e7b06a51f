"""Tasks and ends as a run reports them, and a clock that stands."""

from __future__ import annotations

from covalent_parallel_plugin.programs.verdict import TaskEnd
from covalent_parallel_plugin.sweep.combinations import Combination
from covalent_parallel_plugin.sweep.tasks import SweepTask

DONE = TaskEnd("done", 0, None, 1, 1, None, "here", 1, 2)
FAILED = TaskEnd("failed", 2, None, 1, 1, None, "here", 1, 2, "exit status 2")


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def task(name: str) -> SweepTask:
    return SweepTask(Combination(0, 0, {}, None), name, "k")
