"""The status of a run's tasks on Batch, as its jobs last reported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchStatus:
    """The progress of a run's tasks on Batch; times on the monotonic clock.

    Attributes:
        running: tasks that run; their names are not known.
        unread: tasks that have ended, and whose outcomes were not read yet.
        ended: tasks that have ended since `began`, those among them.
        began: when tasks of this run were first seen to run; None before.
        seen: when the last end of one was seen; None where none was.
        looked: when the jobs reported it; None: just now.
        mean_running: how many ran at a time from `began` to `seen`.
        machine_hours: used so far, by all runs.
    """

    running: int = 0
    unread: int = 0
    ended: int = 0
    began: float | None = None
    seen: float | None = None
    mean_running: float = 0.0
    machine_hours: float = 0.0
    looked: float | None = None
