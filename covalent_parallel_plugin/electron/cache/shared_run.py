"""One run whose end several calls of this process wait for; it is cancelled only once all of them are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ...batch.cancellation import Cancellation, CancelledCall

T = TypeVar("T")


class SharedRun(Generic[T]):
    """A run that ends when it has ended, or when nobody waits for it any more.

    Args:
        start: runs; what it is given is set once the last one who waits is cancelled.
    """

    def __init__(self, start: Callable[[Cancellation], Awaitable[T]]):
        self._cancelled = Cancellation()
        self._waiting = 0
        self.task = asyncio.ensure_future(start(self._cancelled))

    async def result(self, cancelled: Cancellation) -> T:
        """Wait for the end, which is the same for all that wait.

        Raises:
            CancelledCall: `cancelled` was set; whoever waits last has its streams.
            Exception: what the run raised.
        """
        self._waiting += 1
        try:
            return await cancelled.unless(asyncio.shield(self.task))
        except CancelledCall:
            if self._waiting > 1 or self.task.done():
                raise
            self._cancelled.set(cancelled.keeps_results)
            return await self._to_the_end()
        except asyncio.CancelledError:
            if self._waiting == 1:
                await self._stop()
            raise
        finally:
            self._waiting -= 1

    async def _to_the_end(self) -> T:
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError:
            await self._stop()
            raise

    async def _stop(self) -> None:
        """End it as a server that stops does: a second time if that is asked for while it cleans up."""
        self.task.cancel()
        try:
            await asyncio.wait({self.task})
        except asyncio.CancelledError:
            self.task.cancel()
            await asyncio.wait({self.task})
            raise
