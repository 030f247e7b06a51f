"""Requests made again while what goes wrong may pass."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .errors import is_transient
from .outage_tracker import LOCAL_LONGEST_PAUSE_SECONDS, RetryBudget, ServiceHealth

INITIAL_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0

T = TypeVar("T")


async def retry_transient(attempt: Callable[[], Awaitable[T]], seconds: float, service: ServiceHealth) -> T:
    """Make an attempt, and others while what goes wrong may pass, for so long.

    The pauses double from half a second on, with jitter on both sides and never near zero: a service in trouble is not
    asked again at once. (`google.api_core.retry` draws them from zero on.) Whoever waits is told after a few seconds.

    Raises:
        The last attempt's error.
    """
    budget = RetryBudget(service, seconds)
    pause = INITIAL_PAUSE_SECONDS
    longest = LOCAL_LONGEST_PAUSE_SECONDS if service.is_local else LONGEST_PAUSE_SECONDS
    while True:
        try:
            answer = await attempt()
        except Exception as error:
            if not is_transient(error):
                service.answered()
                raise
            wait = pause * random.uniform(0.6, 1.4)
            budget.failed(error, wait)
            if service.clock() + wait > budget.until:
                raise
        else:
            service.answered()
            return answer
        await asyncio.sleep(wait)
        pause = min(pause * 2, longest)
