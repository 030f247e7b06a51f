"""How many electrons are prepared and staged at a time, so that thousands that come together hold up nobody.

Without this a thousand electrons would be read and described in one go, while the event loop of Covalent's server does
nothing else, and their calls and jobs would lie in memory until a thread is free to send them.
"""

from __future__ import annotations

import asyncio
from collections import deque

from ..batch.cancellation import Cancellation
from ..cloud.per_loop import PerLoop
from ..cloud.threads import THREADS

# So that each thread finds the next one ready
MAX_STAGING = THREADS + THREADS // 2


class SlotPool:
    """The slots of one event loop; who waits for one is a future, and no task."""

    def __init__(self, free: int):
        self._free = free
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, cancelled: Cancellation) -> None:
        """Wait for a slot, in the order of coming. Raises CancelledCall."""
        if self._free:
            self._free -= 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            await cancelled.unless(mine)
        except BaseException:
            if mine.done() and not mine.cancelled():
                # It came with the cancellation.
                self.give_back()
            raise

    def give_back(self) -> None:
        """Let the next one have a slot."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
        self._free += 1


class Slot:
    """A slot among those that are prepared, or none; `end` may be called more than once."""

    def __init__(self, pool: SlotPool | None = None):
        self._pool = pool

    def end(self) -> None:
        """Let the next one have the slot."""
        if self._pool is not None:
            self._pool.give_back()
            self._pool = None


_pool = PerLoop(lambda: SlotPool(MAX_STAGING))


async def acquire_slot(cancelled: Cancellation) -> Slot:
    """Wait for a slot.

    Raises:
        CancelledCall: the user asked for the call's end before there was one.
    """
    pool = _pool.here()
    await pool.take(cancelled)
    return Slot(pool)
