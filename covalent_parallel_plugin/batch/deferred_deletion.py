"""Deletions that wait for some seconds, so that a server that crashes just after an electron returned has lost nothing.

One of these serves a process: a few threads while something waits, none else.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable

logger = logging.getLogger(__name__)

# How long Covalent may take to store what an electron returned
DELAY_SECONDS = 5.0
# The same as the process ends: it stores nothing any more soon after that
LAST_DELAY_SECONDS = 1.0
# More than that are not waited for as the process ends
FLUSH_SECONDS = 15.0
# What comes beyond these is to be deleted at once: by whoever would add it, which slows that down
MOST_WAITING = 5_000
THREADS = 8


class DeferredDeletion:
    """Calls functions that delete something a while after they were added, in the order in which they came.

    Args:
        seconds: that while.
        most: how many may wait.
    """

    def __init__(self, seconds: float = DELAY_SECONDS, most: int = MOST_WAITING) -> None:
        self._seconds = seconds
        self._most = most
        self.forget()

    def forget(self) -> None:
        """Start again: what waits is another process's, of which this one is a copy."""
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._condition = threading.Condition()
        self._threads = 0
        self._running = 0
        self._is_ending = False

    def add(self, delete: Callable[[], None]) -> bool:
        """Have something deleted in a while; False where its turn is now, and the caller's to take."""
        with self._condition:
            if self._is_ending or len(self._waiting) >= self._most:
                return False
            if self._threads < min(THREADS, len(self._waiting) + 1):
                try:
                    threading.Thread(target=self._work, name="covalent-parallel-deletion", daemon=True).start()
                    self._threads += 1
                except RuntimeError as error:
                    logger.debug("no thread for deletions: %s", error)
                    if not self._threads:
                        return False
            self._waiting.append((time.monotonic(), delete))
        return True

    @property
    def is_waiting(self) -> bool:
        """Whether anything is still to be deleted; a signal's handler may ask, so no lock is taken."""
        return bool(self._waiting) or self._running > 0

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Delete soon what waits, and from here on have everything deleted at once; return whether that was in time."""
        with self._condition:
            self._is_ending = True
            self._condition.notify_all()
            return self._condition.wait_for(lambda: not self._waiting and not self._running, seconds)

    def _work(self) -> None:
        while (delete := self._next()) is not None:
            try:
                delete()
            except Exception:
                # A defect of one: the others are deleted all the same.
                logger.exception("what an electron left in the bucket is not deleted")
            with self._condition:
                self._running -= 1
                self._condition.notify_all()

    def _next(self) -> Callable[[], None] | None:
        """Wait for what is to be deleted next; None where nothing waits."""
        with self._condition:
            while self._waiting:
                left = self._waiting[0][0] + (LAST_DELAY_SECONDS if self._is_ending else self._seconds)
                left -= time.monotonic()
                if left <= 0:
                    self._running += 1
                    return self._waiting.popleft()[1]
                self._condition.wait(left)
            self._threads -= 1
            return None


DELETION = DeferredDeletion()
# A daemon's thread is not waited for otherwise
atexit.register(DELETION.flush)
os.register_at_fork(after_in_child=DELETION.forget)
