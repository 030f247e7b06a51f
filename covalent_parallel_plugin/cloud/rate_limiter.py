"""Allow so many requests in a span of time; short, as Logging's client alone has a limit to keep by itself."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable


class RateLimiter:
    """A sliding window: `count` requests in any `seconds`; thread-safe.

    It never waits: a log that would come too late is not worth a verdict's delay, so the caller does without it.
    """

    def __init__(self, count: int, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._count = count
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._taken: deque[float] = deque()
        self._closed_until = 0.0

    def take(self) -> bool:
        """Whether a request may be made now; it is counted if so."""
        with self._lock:
            now = self._clock()
            while self._taken and now - self._taken[0] >= self._seconds:
                self._taken.popleft()
            if now < self._closed_until or len(self._taken) >= self._count:
                return False
            self._taken.append(now)
            return True

    def back_off(self, seconds: float) -> None:
        """Let nothing through for so long: the service has said that it was too much."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + seconds)
