"""What is known of a service that does not answer: how long it is still waited for, and the word that says so."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from google.api_core.retry import Retry

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
    """One request to a service, tried for at most so many seconds from now; `until` on the service's clock."""

    def __init__(self, service: ServiceHealth, seconds: float):
        self._service = service
        self._failing_since: float | None = None
        self.seconds = service.patience(seconds)
        self.until = service.clock() + self.seconds

    def failed(self, error: BaseException, wait_seconds: float = 0.0) -> None:
        """A try failed, and the next one comes after the wait, or none if that would be too late."""
        now = self._service.clock()
        self._service.failed()
        self._failing_since = now if self._failing_since is None else self._failing_since
        if now + wait_seconds - self._failing_since >= TOLD_AFTER_SECONDS and now + wait_seconds <= self.until:
            self._service.tell(error, self.until - now)


class LoggingRetry(Retry):
    """Google's Retry for the requests to one service; whoever waits is told. Made by `logging_retry`."""

    service: ServiceHealth

    def __call__(self, func: Callable[..., Any], on_error: Callable[[Exception], Any] | None = None) -> Any:
        """Wrap one request."""
        tries = RetryBudget(self.service, self._timeout or 0.0)

        def asked(*args: Any, **options: Any) -> Any:
            try:
                answer = func(*args, **options)
            except Exception as error:
                if not self._predicate(error):
                    self.service.answered()
                raise
            self.service.answered()
            return answer

        retry = Retry(self._predicate, self._initial, self._maximum, self._multiplier, tries.seconds)
        return retry(asked, on_error=tries.failed)


def logging_retry(retry: Retry, service: ServiceHealth, seconds: float) -> LoggingRetry:
    """The same retry for this service, for so many seconds."""
    longest = LOCAL_LONGEST_PAUSE_SECONDS if service.is_local else retry._maximum
    made = LoggingRetry(retry._predicate, min(retry._initial, longest), longest, retry._multiplier, seconds)
    made.service = service
    return made


def _reason(error: BaseException) -> str:
    """The end of an error's text: what stands before it are addresses and classes."""
    text = str(getattr(error, "message", "") or error)
    return (text.rpartition(": ")[2].strip("()'\" ") or text)[:200]
