"""Cancellation of a call by the user, and waits that a cancellation ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class CancelledCall(Exception):
    """The user asked for this call's end; `stdout` and `stderr` are what its tasks had printed by their end."""

    def __init__(self, text: str = "", stdout: str = "", stderr: str = "") -> None:
        super().__init__(text)
        self.stdout = stdout
        self.stderr = stderr


class Cancellation:
    """Whether the end of a call was asked for; for use in one event loop.

    An `asyncio.Event` would need a task for whoever waits for it and for something else. A call waits nearly all of
    its life, and thousands of them are what a server's memory and its garbage collector notice.

    Attributes:
        keeps_results: whether what the call has computed is to stay in the bucket, since it is not the user who asked.
    """

    def __init__(self) -> None:
        self._is_set = False
        self.keeps_results = False
        self._wakes: set[Callable[[], None]] = set()

    def is_set(self) -> bool:
        """Whether it was asked for."""
        return self._is_set

    def set(self, keeps_results: bool = False) -> None:
        """Ask for the call's end."""
        self.keeps_results = keeps_results
        self._is_set = True
        for wake in tuple(self._wakes):
            wake()

    async def unless(self, asked: Awaitable[T]) -> T:
        """What is asked for, or CancelledCall as soon as the end is; what was asked is given up then."""
        answer = asyncio.ensure_future(asked)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake(_: object = None) -> None:
            if not waiter.done():
                waiter.set_result(None)

        answer.add_done_callback(wake)
        self._wakes.add(wake)
        try:
            if not self._is_set:
                await waiter
            if not answer.done():
                raise CancelledCall
            return answer.result()
        finally:
            self._wakes.discard(wake)
            answer.remove_done_callback(wake)
            answer.cancel()
