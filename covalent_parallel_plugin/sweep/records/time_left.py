"""How long the rest of a run may take: pure functions of what has ended, what runs and what waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Without an end for so many times what a task takes, what has ended says less than the time since
OVERDUE_CYCLES = 2.0
SHARE_OF_OVERRUN = 0.5


@dataclass(frozen=True)
class RunState:
    """What is known of a run; all times in s, on one clock.

    Attributes:
        ended: tasks that have ended since `began`; a part of one that had begun before.
        began: when the first of the run's tasks began; None before.
        last: when the last one ended; None where none has.
        mean_seconds: the mean time of known tasks, also in earlier runs; None if none has ended.
        mean_running: how many ran at a time on average, from `began` to `last`; 0 where that is not known.
        starts: when those began that run now.
        waiting: tasks that have not begun.
        seen: when it was seen that so many run and wait; None: when the last one ended.
        looked: until when it would have been seen that more have ended; None: until now.
    """

    ended: float
    began: float | None
    last: float | None
    mean_seconds: float | None
    mean_running: float
    starts: Sequence[float]
    waiting: int
    seen: float | None = None
    looked: float | None = None

    @property
    def rest(self) -> int:
        """How many tasks have not ended."""
        return len(self.starts) + self.waiting

    @property
    def rate(self) -> float | None:
        """How many tasks end in a second, with as many at a time as run now; None where nothing says.

        By the ends since the run's beginning, once there is one for each that runs; else by what a task takes. So it is
        where beginning and ends were seen at once, as of short tasks on Batch: in that time no task can have run.
        """
        running = len(self.starts)
        span = 0.0 if self.began is None or self.last is None else self.last - self.began
        if span > 0.5 * (self.mean_seconds or 0.0) and self.ended >= running:
            # Machines that have come meanwhile
            more = max(1.0, running / self.mean_running) if self.mean_running else 1.0
            return self.ended / span * more
        return running / self.mean_seconds if running and self.mean_seconds else None


def left_seconds(run: RunState, now: float) -> float | None:
    """Return how long the rest may take; None where nothing says.

    The end is foreseen from the last end of a task, and the time left shrinks until there is another one; where nothing
    runs, it does not. Where none ends for long, the time since counts, too, as far as somebody looked.
    """
    if not run.rest:
        return 0.0
    rate = run.rate
    if rate is None:
        return None
    looked = now if run.looked is None else min(run.looked, now)
    ends = [_end_of_slots(run, looked)] if run.starts else []
    if run.last is not None and run.began is not None and run.ended >= len(run.starts):
        seen = run.last if run.seen is None else run.seen
        cycle_seconds = len(run.starts) / rate if run.starts else run.last - run.began
        if looked - seen > OVERDUE_CYCLES * cycle_seconds:
            seen, rate = looked, run.ended / (looked - run.began)
        ends.append((seen if run.starts else now) + run.rest / rate)
    return max(max(ends) - now, 0.0)


def _end_of_slots(run: RunState, now: float) -> float:
    """Return when the last task ends if each takes the mean, and begins as soon as another one has ended."""
    if run.mean_seconds is None:
        return now
    ends = [start + run.mean_seconds for start in run.starts]
    # One that takes longer than the mean may take longer still
    free = sorted(end if end >= now else now + (now - end) * SHARE_OF_OVERRUN for end in ends)
    rounds, more = divmod(run.waiting, len(free))
    last = free[-1] + rounds * run.mean_seconds
    return max(last, free[more - 1] + (rounds + 1) * run.mean_seconds) if more else last
