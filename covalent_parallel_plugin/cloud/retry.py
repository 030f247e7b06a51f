"""Requests made again while what goes wrong may pass."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from google.api_core.exceptions import RetryError

from .errors import is_transient
from .outage_tracker import LOCAL_LONGEST_PAUSE_SECONDS, RetryBudget, ServiceHealth
from .threads import check_stopped, sleep_unless_stopped

INITIAL_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0

P = ParamSpec("P")
T = TypeVar("T")


async def retry_transient(attempt: Callable[[], Awaitable[T]], seconds: float, service: ServiceHealth) -> T:
    """Make an attempt, and others while what goes wrong may pass, for so long after the first has failed.

    The log reports the wait after a few seconds.

    Raises:
        The last attempt's error.
    """
    budget = RetryBudget(service, seconds)
    for pause in _pauses(service):
        try:
            answer = await attempt()
        except Exception as error:
            if not is_transient(error):
                service.answered()
                raise
            if not budget.allows_another(error, pause):
                raise
        else:
            service.answered()
            return answer
        await asyncio.sleep(pause)
    raise AssertionError("the pauses have no end")


@dataclass(frozen=True)
class BlockingRetry:
    """The same for requests that block, in the form in which Google's storage client takes it.

    Attributes:
        is_transient: which errors may pass.
    """

    service: ServiceHealth
    seconds: float
    is_transient: Callable[[Exception], bool]

    def __call__(self, request: Callable[P, T], on_error: object = None) -> Callable[P, T]:
        """Return the request with its retries; it raises `google.api_core.exceptions.RetryError` after the last."""

        def retried(*args: P.args, **kwargs: P.kwargs) -> T:
            budget = RetryBudget(self.service, self.seconds)
            for pause in _pauses(self.service):
                check_stopped()
                try:
                    answer = request(*args, **kwargs)
                except Exception as error:
                    if not self.is_transient(error):
                        self.service.answered()
                        raise
                    if not budget.allows_another(error, pause):
                        raise RetryError("no attempt succeeded", error) from error  # type: ignore[no-untyped-call]  # no types
                else:
                    self.service.answered()
                    return answer
                sleep_unless_stopped(pause)
            raise AssertionError("the pauses have no end")

        return retried


def _pauses(service: ServiceHealth) -> Iterator[float]:
    """They double from half a second on, with jitter on both sides and never near zero: a service in trouble is not
    asked again at once. (`google.api_core.retry` draws them from zero on.)
    """
    pause = INITIAL_PAUSE_SECONDS
    longest = LOCAL_LONGEST_PAUSE_SECONDS if service.is_local else LONGEST_PAUSE_SECONDS
    while True:
        yield pause * random.uniform(0.6, 1.4)
        pause = min(pause * 2, longest)
