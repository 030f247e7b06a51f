"""The progress of a sweep's jobs that no run waits for, from their present status: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...batch.machine_hours import JobUse
from ...cloud.batch import JobStatus
from ..records.journal import State
from ..records.time_left import RunState, left_seconds

ENDED = ("SUCCEEDED", "FAILED")


@dataclass(frozen=True)
class JobProgress:
    """What jobs that may still run show, beside what the journal knows.

    Attributes:
        running: tasks that run; in a bundle one at a time.
        unread: tasks that have ended, and were not gathered.
        waiting: tasks that have not begun.
        tasks_per_minute, left_seconds: None where nothing says.
        machine_hours: those of all rounds so far.
    """

    running: int
    unread: int
    waiting: int
    tasks_per_minute: float | None
    left_seconds: float | None
    machine_hours: float

    @classmethod
    def of(cls, state: State, jobs: Mapping[int, JobStatus], now: float) -> JobProgress:
        """Return what jobs show, by the numbers of their rounds; `now` in seconds since 1970."""
        running, ended, total, began = 0, 0, 0, now
        seconds = 0.0
        for number, job in jobs.items():
            event: Mapping[str, Any] = state.rounds[number]
            bundle = event.get("bundle", 1)
            tasks = event.get("tasks", sum(job.counts.values()) * bundle)
            total += tasks
            running += job.counts.get("RUNNING", 0)
            ended += min(sum(job.counts.get(name, 0) for name in ENDED) * bundle, tasks)
            entered = job.entered_seconds("RUNNING")
            began = min(began, now if entered is None else entered)
            use = JobUse().seen(job, job.tasks_per_machine(), now).seconds
            seconds += max(use - state.round_seconds(number), 0.0)
        read = sum(end.at is not None and end.at[0] in jobs for end in state.ends.values())
        waiting = max(total - ended - running, 0)
        mean = running if began < now else 0
        run = RunState(ended, began, now if ended else None, None, mean, (now,) * running, waiting)
        rate = run.rate
        return cls(
            running=running,
            unread=max(ended - read, 0),
            waiting=waiting,
            tasks_per_minute=None if rate is None else 60 * rate,
            left_seconds=left_seconds(run, now),
            machine_hours=state.used_hours + seconds / 3600,
        )
