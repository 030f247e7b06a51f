"""Values that belong to one event loop; short, as clients and locks of several rooms share just this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

V = TypeVar("V")


class PerLoop(Generic[V]):
    """One value for each event loop; `make` makes it."""

    def __init__(self, make: Callable[[], V]):
        self._make = make
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, V] = WeakKeyDictionary()

    def here(self) -> V:
        """The running event loop's."""
        running = asyncio.get_running_loop()
        if running not in self._values:
            for loop in [loop for loop in self._values if loop.is_closed()]:
                # A client, and a lock that was waited for, hold their loop: nothing but this lets go of the two.
                del self._values[loop]
            self._values[running] = self._make()
        return self._values[running]

    def __len__(self) -> int:
        return len(self._values)
