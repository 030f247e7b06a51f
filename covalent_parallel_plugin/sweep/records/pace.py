"""How fast a sweep's tasks end."""

from __future__ import annotations

from dataclasses import dataclass

from .time_left import RunState, left_seconds


@dataclass
class Pace:
    """Tasks that have ended, and the time in which they did.

    Attributes:
        tasks: how many.
        seconds: of all whose times are known together.
        timed: how many these are.
        began, ended: when the first began and the last ended, seconds since 1970; None where that is not known.
    """

    tasks: int = 0
    began: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    timed: int = 0

    def add(self, started: float, ended: float) -> None:
        """Count a task with its times (s since 1970), 0 where they are not known."""
        self.tasks += 1
        if started:
            self.began = min(started, self.began or started)
            self.seconds += max(ended - started, 0.0)
            self.timed += 1
        self.ended = max(ended, self.ended or 0)

    def per_minute(self, now: float | None = None) -> float | None:
        """Return how many tasks end in a minute, up to now (s since 1970) or the last end; None where nothing says."""
        if self.began is None or self.ended is None:
            return None
        seconds = max(self.ended, now or 0) - self.began
        return 60 * self.tasks / seconds if seconds > 0 else None

    def left_seconds(self, rest: int, now: float, running: int = 0) -> float | None:
        """Return how long `rest` tasks may take from now on (s since 1970); None where nothing says.

        `running` of them run; 0 where that is not known: as many as did so far.
        """
        if self.began is None or self.ended is None or not self.timed:
            return None
        span = self.ended - self.began
        mean_running = self.seconds / span if span > 0 else 0.0
        slots = min(running or max(round(mean_running), 1), rest)
        starts = (self.ended,) * slots
        more = mean_running if running else 0.0
        run = RunState(self.tasks, self.began, self.ended, self.seconds / self.timed, more, starts, rest - slots)
        return left_seconds(run, now)
