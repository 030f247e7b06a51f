"""When the tasks of a run began and ended, as far as it is known: the time left is estimated from this."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from ...programs.verdict import TaskEnd
from ..records.batch_look import BatchStatus
from ..records.time_left import RunState

# The times of so many tasks that ended last are kept
KEPT_ENDS = 5000


class EndTimes:
    """When the tasks of a run have begun and ended, and how many ran at a time; in s on the run's clock.

    Args:
        began: when the run did.
        wall_seconds: s since 1970, when the run's clock says 0.
    """

    def __init__(self, began: float, wall_seconds: float) -> None:
        self._run_began, self._wall_seconds = began, wall_seconds
        self._first: float | None = None
        self._last: float | None = None
        self._recent: deque[float] = deque(maxlen=KEPT_ENDS)
        self._known = 0
        self._ended = self._seconds = self._area = self._area_at_last = 0.0
        self._looked = began

    def note_running(self, running: int, now: float) -> None:
        """Record how many tasks of this machine have run until now."""
        self._area += running * (now - self._looked)
        self._looked = now

    def add(self, started: float, now: float, end: TaskEnd) -> None:
        """Record a task's end; one that was not seen to run, or only at its end, reports when it began and ended."""
        ended = now
        if end.started and ended - started < end.ended - end.started:
            started, ended = end.started - self._wall_seconds, min(end.ended - self._wall_seconds, now)
        if ended > started:
            self._known += 1
            self._seconds += ended - started
        # Of an earlier run, between which and this one nothing may have run
        if ended < self._run_began:
            return
        # Of one that ran before, only what this run has seen
        self._ended += (ended - self._run_began) / (ended - started) if started < self._run_began else 1.0
        started = max(started, self._run_began)
        self._first = started if self._first is None else min(self._first, started)
        self._recent.append(ended)
        if self._last is None or ended >= self._last:
            self._last, self._area_at_last = ended, self._area

    def state(self, starts: Sequence[float], waiting: int) -> RunState:
        """Return what is known of a run on this machine."""
        first = min((time for time in (self._first, *starts[:1]) if time is not None), default=None)
        span = self._last - first if self._last is not None and first is not None else 0.0
        mean = self._area_at_last / span if span > 0 else 0.0
        return RunState(self._ended, first, self._last, self._mean, mean, starts, waiting)

    def state_on_batch(self, status: BatchStatus, running: int, waiting: int) -> RunState:
        """Return what is known of a run on Batch, which does not report when tasks have begun that run."""
        first = min((time for time in (self._first, status.began) if time is not None), default=None)
        # Outcomes that were read say when their tasks ended; for others it is when that was seen, which is later
        is_exact = self._ended >= running or status.ended < 2 * running
        ended, last = (self._ended, self._last) if is_exact else (float(status.ended), status.seen)
        # Each began when another one had ended, or with the job
        unread = [status.seen] * math.ceil(status.ended - self._ended) if status.seen is not None else []
        since = status.began if status.began is not None else self._run_began
        starts = [max(start, since) for start in sorted([*unread, *self._recent], reverse=True)[:running]]
        starts += [since] * (running - len(starts))
        seen = status.seen if status.ended > self._ended else self._last
        looked = status.looked if status.looked is None or self._last is None else max(status.looked, self._last)
        return RunState(ended, first, last, self._mean, status.mean_running, starts, waiting, seen, looked)

    @property
    def _mean(self) -> float | None:
        return self._seconds / self._known if self._known else None
