"""Limit the reads of Cloud Logging by project and minute.

Apart from the faults, since the service has such a limit of its own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from ..model.errors import RpcError

WINDOW_SECONDS = 60.0


class ReadQuota:
    """Counts the reads of each project over the last minute; safe for threads. No limit where `per_minute` is None."""

    def __init__(self, per_minute: int | None, clock: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._times: dict[str, deque[float]] = {}

    def take(self, projects: Iterable[str]) -> None:
        """Count a read of these projects. Raises RpcError (RESOURCE_EXHAUSTED)."""
        if self._per_minute is None:
            return
        now = self._clock()
        with self._lock:
            for project in projects:
                times = self._times.setdefault(project, deque())
                while times and times[0] <= now - WINDOW_SECONDS:
                    times.popleft()
                if len(times) >= self._per_minute:
                    raise RpcError(
                        "RESOURCE_EXHAUSTED",
                        "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute' of "
                        f"service 'logging.googleapis.com' for consumer 'projects/{project}'.",
                    )
                times.append(now)
