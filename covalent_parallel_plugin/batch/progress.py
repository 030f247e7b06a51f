"""The pace at which many items end, and when the last of them may: from counts, and when they were made; pure."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

# A runner delivers its counts every 50 s at least, if they have changed: without news for longer nothing has ended
QUIET_SECONDS = 75.0
# How much longer than ever before nothing may end until that counts as an observation of its own
QUIET_FACTOR = 1.25
# After so many items the first ones, which may have been slow to start, count no more
ENOUGH_ITEMS = 10
# Of more observations than this every other one is forgotten
MOST_OBSERVATIONS = 1000


@dataclass
class ItemPace:
    """Items that end one after the other, or side by side; all times in seconds of one clock.

    Args:
        began: when the first of them began, None where that is not known.
        is_serial: whether one runs at a time, so that the next one has begun when others are counted.

    Attributes:
        observations: when it was counted, and how many had ended; in order of time.
    """

    began: float | None = None
    is_serial: bool = False
    observations: list[tuple[float, int]] = field(default_factory=list)
    _longest_gap: float = 0.0

    def observe(self, seconds: float, done: int) -> None:
        """Note that so many had ended at this time.

        The same number again says nothing new; a lower one, as after a lost machine, is where the counting continues.
        """
        if self.observations and (seconds < self.observations[-1][0] or done == self.observations[-1][1]):
            return
        if self.observations and done < self.observations[-1][1]:
            self.began = None
            self.observations.clear()
        points = self._points()
        if points:
            self._longest_gap = max(self._longest_gap, seconds - points[-1][0])
        self.observations.append((seconds, done))
        if len(self.observations) > MOST_OBSERVATIONS:
            del self.observations[1:-1:2]

    def rate(self, now: float) -> float | None:
        """Return how many items end in a second, over the latter half of the time that was observed.

        None without a basis: it takes two observations, or one and the beginning, and an item that has ended.
        """
        points = self._points()
        if len(points) < 2 or points[-1][0] <= points[0][0]:
            return None
        last, done = points[-1]
        if done < 1 or done <= points[0][1]:
            return None
        last = max(last, now - max(QUIET_SECONDS, QUIET_FACTOR * self._longest_gap))
        middle = (points[0][0] + last) / 2
        base = next((point for point in reversed(points[:-1]) if point[0] <= middle), points[0])
        return (done - base[1]) / (last - base[0])

    def end(self, total: int, now: float) -> float | None:
        """Return when the last of `total` items may end; None without a basis.

        The rest is counted from the last observation on, so that the time left until then shrinks in between.
        """
        rate = self.rate(now)
        if rate is None:
            return None
        seconds, done = self.observations[-1]
        rest = total - done
        return seconds + max(rest - self._started(), 0.0) / rate if rest > 0 else seconds

    def _points(self) -> list[tuple[float, float]]:
        """What the pace is taken from: the observations and, until enough has ended since the first, the beginning."""
        points: list[tuple[float, float]] = [*self.observations]
        if self.began is None or (points and self.began >= points[0][0]):
            return points
        has_enough = bool(points) and points[-1][1] - points[0][1] >= ENOUGH_ITEMS
        return points if has_enough else [(self.began, -self._started()), *points]

    def _started(self) -> float:
        """How much of the item that ran at the last observation was done, in items.

        Half of it on average; but a single one is counted as soon as it has ended.
        """
        if not self.is_serial or not self.observations:
            return 0.0
        before = self.observations[-2][1] if len(self.observations) > 1 else 0
        return 0.5 if self.observations[-1][1] - before > 1 else 0.0


def last_end(ends: Sequence[float], waiting_seconds: Sequence[float]) -> float | None:
    """Return when work that waits has ended, each piece in the place of the first that ends; None if nothing runs.

    Args:
        ends: when what runs ends, in seconds.
        waiting_seconds: how long each waiting piece will take, in the order in which they start.
    """
    lanes = list(ends)
    if not lanes:
        return None
    heapq.heapify(lanes)
    for seconds in waiting_seconds:
        heapq.heapreplace(lanes, lanes[0] + seconds)
    return max(lanes)


@dataclass
class ClockDifference:
    """By how much this machine's clock is ahead of that of a store, as far as objects prove it.

    An object is seen after it was written, and one that was not in a list before was written after that list.
    """

    _least: float | None = None
    _most: float | None = None

    def see(self, written: float, seen: float, absent: float | None = None) -> None:
        """Note an object: the store's time of its writing, this clock's when it was seen, and when it was not there."""
        self._most = seen - written if self._most is None else min(self._most, seen - written)
        if absent is not None:
            self._least = absent - written if self._least is None else max(self._least, absent - written)

    @property
    def seconds(self) -> float:
        """The difference nearest to none that fits what was seen."""
        least = max(0.0, 0.0 if self._least is None else self._least)
        return least if self._most is None else min(least, self._most)
