"""Requests about one job that fail, one after the other: for how long that is borne, and when to ask again."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from ..errors import CloudError, UnavailableError

if TYPE_CHECKING:
    from ..cloud.interfaces import JobService

T = TypeVar("T")

LONGEST_PAUSE_SECONDS = 30.0
# What tasks delivered is asked for again after so long
FETCH_PAUSE_SECONDS = 1.0


class Trouble:
    """Failures of requests, from the first one on.

    Before the first one there may have been a long pause, and no hint: so the clock starts with it.

    Args:
        outage_seconds: how long the service may be out of reach.
        refusal_seconds: how long it may answer with anything else, without an answer of another kind in between. One
            such answer, such as a proxy's, says nothing about the job.
        pause_seconds: until the next request; refusals have pauses that grow from it.
    """

    def __init__(self, outage_seconds: float, refusal_seconds: float, pause_seconds: float, clock: Callable[[], float]):
        self._outage_seconds = outage_seconds
        self._refusal_seconds = refusal_seconds
        self._pause_seconds = pause_seconds
        self._clock = clock
        self.end()

    def end(self) -> None:
        """Note that a request was answered."""
        self.since: float | None = None
        self._unavailable_since: float | None = None
        self._refused_since: float | None = None
        self._refusal_pause = self._pause_seconds

    def is_borne(self, error: CloudError) -> bool:
        """Note a failure; whether it is worth asking again."""
        now = self._clock()
        if self.since is None:
            self.since = now
        if isinstance(error, UnavailableError):
            if self._unavailable_since is None:
                self._unavailable_since = now
            self._refused_since, self._refusal_pause = None, self._pause_seconds
            return now - self._unavailable_since <= self._outage_seconds
        if self._refused_since is None:
            self._refused_since = now
        return now - self._refused_since <= self._refusal_seconds

    def next_pause(self) -> float:
        """How many seconds later to ask again."""
        pause = self._refusal_pause
        if self._refused_since is not None:
            self._refusal_pause = min(2 * pause, max(LONGEST_PAUSE_SECONDS, self._pause_seconds))
        return pause


def fetch_trouble(batch: JobService) -> Trouble:
    """Return the patience with a bucket that has what tasks delivered: as long as an outage of Batch is borne."""
    refusal_seconds = min(batch.refusal_seconds, batch.outage_seconds)
    return Trouble(batch.outage_seconds, refusal_seconds, FETCH_PAUSE_SECONDS, time.monotonic)


async def bear(
    ask: Callable[[], Awaitable[T]],
    trouble: Trouble,
    sleep: Callable[[float], Awaitable[None]],
    tell: Callable[[CloudError], None],
) -> T:
    """Return what is asked for, asked again for as long as `trouble` says; `tell` gets each failure that is retried.

    Raises:
        CloudError: it failed for too long.
    """
    while True:
        try:
            return await ask()
        except CloudError as error:
            if not trouble.is_borne(error):
                raise
            tell(error)
        await sleep(trouble.next_pause())
