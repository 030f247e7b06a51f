"""When Covalent's server gets a signal to end, its electrons are cancelled first, while it can still take note of that.

What waits to be deleted is deleted then, too.

uvicorn ends the process by the signal itself as soon as the application has shut down, with its tasks where they stand.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from ..batch.deferred_deletion import DeferredDeletion
from . import server_data
from .running_nodes import RunningNodes

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Until the next electron has ended: each has 30 seconds, and its job a while to be cancelled and read
END_SECONDS = 75.0
# How long Covalent may take to note that electrons, and with them their dispatches, have ended
NOTED_SECONDS = 10.0
PAUSE_SECONDS = 0.1

Handler = Callable[[int, FrameType | None], Any]


class ServerEnd:
    """Holds a signal that is to end the server until the electrons that run are cancelled; a second one is not held.

    Args:
        nodes: those that run in this process.
        deletion: what they leave to be deleted.
    """

    def __init__(self, nodes: RunningNodes, deletion: DeferredDeletion) -> None:
        self._nodes = nodes
        self._deletion = deletion
        self._servers: dict[int, Handler] = {}
        self._ending: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Put a handler before the one of the running loop's server, where there is one; called again, do nothing."""
        if self._servers or threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def hold(number: int, frame: FrameType | None) -> None:
            is_idle = not self._nodes.count and not self._deletion.is_waiting
            if self._ending is not None or loop.is_closed() or is_idle:
                self._pass_on(number)
            else:
                loop.call_soon_threadsafe(self._begin, number)

        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if type(getattr(handler, "__self__", None)).__module__ == "uvicorn.server" and callable(handler):
                self._servers[number] = handler
                signal.signal(number, hold)

    def _begin(self, number: int) -> None:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end(number))

    async def _end(self, number: int) -> None:
        try:
            if self._nodes.count:
                logger.warning(
                    "the server is to end: its electrons are cancelled first; a second signal ends it at once"
                )
            dispatches = self._nodes.cancel_all()
            await self._wait_for_nodes()
            await _wait(lambda: server_data.any_running(dispatches), NOTED_SECONDS)
            if not await asyncio.to_thread(self._deletion.flush):
                logger.warning("the server ends before all that its electrons left in the bucket is deleted")
        finally:
            self._pass_on(number)

    async def _wait_for_nodes(self) -> None:
        """Wait until none runs, or none has ended for too long."""
        count = self._nodes.count

        async def none_has_ended() -> bool:
            return self._nodes.count >= count

        while count:
            await _wait(none_has_ended, END_SECONDS)
            if self._nodes.count >= count:
                return
            count = self._nodes.count

    def _pass_on(self, number: int) -> None:
        """Give the signals back to the server, and this one to it."""
        for each, handler in self._servers.items():
            signal.signal(each, handler)
        self._servers.clear()
        signal.raise_signal(number)


async def _wait(is_so: Callable[[], Awaitable[bool]], most_seconds: float) -> None:
    """Wait while that is so, but no longer than so many seconds."""
    until = time.monotonic() + most_seconds
    for _ in range(int(most_seconds / PAUSE_SECONDS)):
        if time.monotonic() > until or not await is_so():
            return
        await asyncio.sleep(PAUSE_SECONDS)
