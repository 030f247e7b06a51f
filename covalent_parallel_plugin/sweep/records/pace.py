"""How fast a sweep's tasks end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Pace:
    """Tasks that have ended, and the time in which they did.

    Attributes:
        tasks: how many.
        began, ended: when the first began and the last ended, seconds since 1970; None where that is not known.
    """

    tasks: int = 0
    began: float | None = None
    ended: float | None = None

    def add(self, started: float, ended: float) -> None:
        """Count a task with its times (s since 1970), 0 where they are not known."""
        self.tasks += 1
        if started:
            self.began = min(started, self.began or started)
        self.ended = max(ended, self.ended or 0)

    def per_minute(self, now: float | None = None) -> float | None:
        """Return how many tasks end in a minute, up to now (s since 1970) or the last end; None where nothing says."""
        if self.began is None or self.ended is None:
            return None
        seconds = max(self.ended, now or 0) - self.began
        return 60 * self.tasks / seconds if seconds > 0 else None
