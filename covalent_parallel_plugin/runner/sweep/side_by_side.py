"""Requests to the bucket side by side, each thread over a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ..bucket_http import BucketClient

AT_ONCE = 8

Item = TypeVar("Item")


def each(
    items: Iterable[Item], act: Callable[[BucketClient, Item], None], open_bucket: Callable[[], BucketClient]
) -> None:
    """Call `act` for every item, at most `AT_ONCE` at a time; the first exception is raised, the rest is left then."""
    left = list(items)
    lines = _Lines(iter(left))

    def work() -> None:
        client = open_bucket()
        try:
            for item in lines:
                act(client, item)
        except BaseException as error:
            lines.fail(error)
        finally:
            client.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_ONCE, len(left)) - 1)]
    for thread in threads:
        thread.start()
    if left:
        work()
    for thread in threads:
        thread.join()
    if lines.error is not None:
        raise lines.error


class _Lines(Iterator[Item]):
    """Items that several threads take; none any more after a failure."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._lock = threading.Lock()
        self.error: BaseException | None = None

    def __next__(self) -> Item:
        with self._lock:
            if self.error is not None:
                raise StopIteration
            return next(self._items)

    def fail(self, error: BaseException) -> None:
        """Let no thread take more."""
        with self._lock:
            self.error = self.error or error
