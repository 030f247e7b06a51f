"""The progress of a run: how its tasks ended, and how long the rest may take."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...programs.verdict import TaskEnd
from ..records.batch_look import BatchStatus
from ..records.time_left import RunState, left_seconds
from ..tasks import SweepTask
from .end_times import EndTimes
from .printable import last_line, printable

SHOWN_FAILURES = 5


@dataclass(frozen=True)
class TaskFailure:
    """A task that is not done: its name, how it ended, and its last line."""

    task: str
    ending: str
    line: str

    def __str__(self) -> str:
        return f"{self.task}: {self.ending}" + (f": {self.line}" if self.line else "")

    @classmethod
    def of(cls, task: SweepTask, end: TaskEnd, folder: Path) -> TaskFailure:
        """Describe a task's end, with the last line in its folder or, where it did not fail itself, the reason."""
        if end.status in ("failed", "killed"):
            number = f"signal {end.signal}" if end.signal else f"exit {end.exit}"
            return cls(task.name, f"{end.status}, {number}", last_line(folder) or printable(end.reason))
        return cls(task.name, end.status, printable(end.reason) or last_line(folder))


class RunProgress:
    """Counts a run's tasks.

    Args:
        name: the sweep's.
        total: tasks that are run now.
        done_before: tasks that were done already.
        folder: gives a task's folder, by its name.
        clock: s, from any start.
        wall_clock: s since 1970.

    Attributes:
        elsewhere: returns the last status of the tasks on Batch.
        used_hours: gives the machine-hours that were used so far, by all runs.
    """

    def __init__(
        self,
        name: str,
        total: int,
        done_before: int,
        folder: Callable[[str], Path],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.total = total
        self.done_before = done_before
        self.running: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self.failures: deque[TaskFailure] = deque(maxlen=SHOWN_FAILURES)
        self.elsewhere: Callable[[], BatchStatus] = BatchStatus
        self.used_hours: Callable[[], float] = float
        self.folder = folder
        self._clock = clock
        self._began = clock()
        self._ends = EndTimes(self._began, wall_clock() - self._began)

    def start(self, task: SweepTask) -> None:
        """Record that a task begins."""
        now = self._clock()
        self._ends.note_running(len(self.running), now)
        self.running[task.name] = now

    def end(self, task: SweepTask, end: TaskEnd) -> TaskFailure | None:
        """Record a task's end; return what there is to report if it failed."""
        now = self._clock()
        self._ends.note_running(len(self.running), now)
        began = self.running.pop(task.name, now)
        # Those that are cancelled end all at once, which says nothing of the others
        if end.status != "cancelled":
            self._ends.add(began, now, end)
        self.counts[end.status] += 1
        if end.status in ("done", "cancelled"):
            return None
        failure = TaskFailure.of(task, end, self.folder(task.name))
        self.failures.append(failure)
        return failure

    @property
    def ended(self) -> int:
        """How many tasks have ended, and were read."""
        return self.counts.total()

    @property
    def unread(self) -> int:
        """How many have ended on Batch, and were not read yet."""
        return max(min(self.elsewhere().unread, self.total - self.ended), 0)

    @property
    def failed(self) -> int:
        """How many have ended by themselves and are not done."""
        return self.ended - self.counts["done"] - self.counts["cancelled"]

    @property
    def waiting(self) -> int:
        """How many have not begun."""
        return self.total - self.ended - self.unread - self.running_count

    @property
    def running_count(self) -> int:
        """How many run."""
        return min(len(self.running) + self.elsewhere().running, self.total - self.ended - self.unread)

    @property
    def percent(self) -> int:
        """How much of the run is over, rounded down."""
        return 100 * (self.ended + self.unread) // self.total if self.total else 100

    @property
    def elapsed_seconds(self) -> float:
        """Since the run began."""
        return self._clock() - self._began

    @property
    def left_seconds(self) -> float | None:
        """How long the rest may take; None where nothing says."""
        return left_seconds(self._state(), self._clock())

    @property
    def per_minute(self) -> float | None:
        """How many tasks end in a minute; None where nothing says."""
        rate = self._state().rate
        return None if rate is None else 60 * rate

    @property
    def machine_hours(self) -> float:
        """How many hours of machines were used so far, by all runs."""
        return max(self.used_hours(), self.elsewhere().machine_hours)

    def _state(self) -> RunState:
        running, status = list(self.running.values()), self.elsewhere()
        if status.running or status.ended:
            return self._ends.state_on_batch(status, self.running_count, self.waiting)
        return self._ends.state(running, self.total - self.ended - len(running))

    def running_seconds(self) -> list[tuple[str, float]]:
        """List the running tasks with how long they have run (s), the longest first."""
        now = self._clock()
        return [(name, now - began) for name, began in list(self.running.items())]

    def shown_counts(self) -> dict[str, int]:
        """Count the tasks as they are shown, with what was done before."""
        counts = {
            "done": self.counts["done"] + self.done_before,
            "running": self.running_count,
            "failed": self.failed,
            "cancelled": self.counts["cancelled"],
            "ended": self.unread,
            "waiting": self.waiting,
        }
        return {name: count for name, count in counts.items() if count or name not in ("cancelled", "ended")}

    def line(self) -> str:
        """Describe all of it in a line."""
        left = "" if self.left_seconds is None or self.ended == self.total else f", left {duration(self.left_seconds)}"
        counts = ", ".join(f"{count} {name}" for name, count in self.shown_counts().items())
        used = "".join(f", {text}" for text in self.use_texts() if self.machine_hours)
        return f"{self.name}: {self.percent}%: {counts}, elapsed {duration(self.elapsed_seconds)}{left}{used}"

    def use_texts(self) -> list[str]:
        """Write the rate and the machine-hours, as far as they are known."""
        return [text for text in (rate_text(self.per_minute), hours_text(self.machine_hours)) if text]


def rate_text(per_minute: float | None) -> str:
    """Write how many tasks end in a minute; "" for what is not known."""
    if per_minute is None:
        return ""
    return f"{per_minute:,.0f} a minute" if per_minute >= 10 else f"{per_minute:.2g} a minute"


def hours_text(hours: float) -> str:
    """Write machine-hours, rounded up: what was used is never nothing; "" for none."""
    return f"{math.ceil(hours * 1000) / 1000:,.4g} machine-hours" if hours else ""


def duration(seconds: float) -> str:
    """Write a length of time such as 1h02m03s."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{rest:02}s" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
