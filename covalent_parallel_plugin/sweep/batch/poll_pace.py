"""How often a job is looked at, and its outcomes are listed: seldom where little can be new."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...cloud.batch import JobStatus

MOST_PAUSE_SECONDS = 60.0
# While tasks end, so that what a run shows moves each minute: a look may be late by a part of its pause
MOVING_PAUSE_SECONDS = 55.0
# The next look is due after this part of the time that the rest will take
SHARE_OF_REST = 1 / 3
# Outcomes are listed each time that so large a part of them is new
SHARE_OF_TASKS = 1 / 16
# Fewer new ones are not listed again within this time, which grows with that of the run
LEAST_LIST_SECONDS = 20.0
SHARE_OF_TIME = 1 / 8


class PollPace:
    """The pace for one job.

    Args:
        total: how many tasks the job has.
        least_seconds: between looks.

    Attributes:
        ended: how many of them have ended, by the last poll.
        running: how many ran then.
        running_seconds: of all of them together so far.
        began: when tasks were first seen to run, or to have ended; None before.
        ended_before: how many had ended then.
        seen: when the last end of one was seen; None where none was.
        looked: when the last look was.
        mean_running: how many ran at a time from `began` to `seen`.
        most_pause_seconds: the longest pause between polls, where a caller needs one sooner.
    """

    def __init__(self, total: int, least_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._least = least_seconds
        self._clock = clock
        self._began = self.looked = clock()
        self._has_run = self._is_moving = False
        self._listed = 0
        self._next_list = 0.0
        self.ended = self.running = 0
        self.running_seconds = self.mean_running = 0.0
        self.began: float | None = None
        self.ended_before = 0
        self.seen: float | None = None
        self.most_pause_seconds = MOST_PAUSE_SECONDS

    def note(self, status: JobStatus) -> None:
        """Take note of a look."""
        now = self._clock()
        if not self._has_run and status.state == "RUNNING":
            self._has_run, self._began = True, now
        self.running_seconds += self.running * (now - self.looked)
        self.looked = now
        self.running = status.counts.get("RUNNING", 0)
        ended = status.counts.get("SUCCEEDED", 0) + status.counts.get("FAILED", 0)
        if self.began is None and (self.running or ended):
            self.began, self.ended_before = now, ended
        elif ended > self.ended and self.began is not None:
            self.seen, self.mean_running = now, self.running_seconds / (now - self.began) if now > self.began else 0.0
        self._is_moving, self.ended = ended > self.ended, ended

    @property
    def pause_seconds(self) -> float:
        """How long to wait before the next look.

        The rest takes as long as the pace so far says; before a task has ended, as long as it has taken already.
        """
        elapsed = self._clock() - self._began
        rest = elapsed * (self._total - self.ended) / self.ended if self.ended else elapsed
        most = MOVING_PAUSE_SECONDS if self._is_moving else MOST_PAUSE_SECONDS
        return max(self._least, min(rest * SHARE_OF_REST, most, self.most_pause_seconds))

    def is_list_due(self) -> bool:
        """Return whether enough tasks have ended since the last list."""
        new = self.ended - self._listed
        return new > 0 and (new >= self._total * SHARE_OF_TASKS or self._clock() >= self._next_list)

    def note_list(self) -> None:
        """Take note that outcomes were listed."""
        now = self._clock()
        self._listed = self.ended
        self._next_list = now + max(LEAST_LIST_SECONDS, (now - self._began) * SHARE_OF_TIME)
