"""What is known of a service that does not answer: how long it is still waited for, and the word that says so."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

# A request that is tried again for so long is worth a word to whoever waits
TOLD_AFTER_SECONDS = 5.0
# The next word about the same service, whatever asks it
TOLD_EVERY_SECONDS = 60.0
# A server on this machine that was waited for in vain is tried for so long by the requests that follow
SHORT_PATIENCE_SECONDS = 2.0
# Failures so far apart belong to different outages
SILENCE_SECONDS = 30.0
# A server on this machine is back at once when it is back, and is no worse for being asked
LOCAL_LONGEST_PAUSE_SECONDS = 2.0
# How gRPC speaks to it. Left to itself it would ask a server that was away for a minute only every half minute, and
# fail what is asked meanwhile. The sizes are those of the channel that Google's client makes.
LOCAL_CHANNEL = (
    ("grpc.max_reconnect_backoff_ms", int(LOCAL_LONGEST_PAUSE_SECONDS * 1000)),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)


class ServiceHealth:
    """One service at one address, as all requests of this process find it.

    Args:
        name, address: for messages.
        is_local: whether a variable `*_EMULATOR_HOST` names it. Its outage is waited for once, by all requests
            together: several that follow each other would wait for minutes for an emulator that was stopped.
    """

    def __init__(self, name: str, address: str, is_local: bool, clock: Callable[[], float] = time.monotonic):
        self.name = name
        self.address = address
        self.is_local = is_local
        self.clock = clock
        self._lock = threading.Lock()
        self._failing_since: float | None = None
        self._failed_last = 0.0
        self._told = float("-inf")

    def patience(self, seconds: float) -> float:
        """For how many seconds a request that starts now is to be tried, of those that it may take."""
        with self._lock:
            now = self.clock()
            if not self.is_local or self._failing_since is None or now - self._failed_last > SILENCE_SECONDS:
                return seconds
            return min(seconds, max(self._failing_since + seconds - now, SHORT_PATIENCE_SECONDS))

    def answered(self) -> None:
        """It answered a request, if only with a refusal."""
        self._failing_since = None

    def failed(self) -> None:
        """A request to it failed with what may pass."""
        with self._lock:
            now = self.clock()
            if self._failing_since is None or now - self._failed_last > SILENCE_SECONDS:
                self._failing_since = now
            self._failed_last = now

    def tell(self, error: BaseException, seconds_left: float) -> None:
        """Log that it is waited for, unless that was said a moment ago."""
        with self._lock:
            now = self.clock()
            if now - self._told < TOLD_EVERY_SECONDS:
                return
            self._told = now
        logger.warning(
            "%s at %s does not do what it is asked (%s): it is tried for another %.0f s%s",
            self.name,
            self.address,
            _reason(error),
            max(seconds_left, 0.0),
            "; see that `covalent-parallel emulator` runs" if self.is_local else "",
        )


@functools.cache
def service_at(name: str, address: str, is_local: bool) -> ServiceHealth:
    """The process's one record of this service."""
    return ServiceHealth(name, address, is_local)


class RetryBudget:
    """One request to a service, tried for so many seconds after its first attempt has failed.

    So an attempt that stalls for all of its own time is never the only one.
    """

    def __init__(self, service: ServiceHealth, seconds: float):
        self._service = service
        self._failing_since: float | None = None
        self.seconds = service.patience(seconds)

    def allows_another(self, error: BaseException, wait_seconds: float = 0.0) -> bool:
        """Whether another attempt may follow after the wait, now that one has failed."""
        now = self._service.clock()
        self._service.failed()
        self._failing_since = now if self._failing_since is None else self._failing_since
        until = self._failing_since + self.seconds
        if now + wait_seconds > until:
            return False
        if now + wait_seconds - self._failing_since >= TOLD_AFTER_SECONDS:
            self._service.tell(error, until - now)
        return True


def _reason(error: BaseException) -> str:
    """The end of an error's text: what stands before it are addresses and classes."""
    text = str(getattr(error, "message", "") or error)
    return (text.rpartition(": ")[2].strip("()'\" ") or text)[:200]
