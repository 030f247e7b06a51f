"""The bound on a list that comes in pages; short, as the lists of Batch and of Cloud Storage share just this."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..errors import CloudError


class PageLimit:
    """Ends a list whose page tokens repeat, or that has too many pages, or takes too long.

    Args:
        most_pages, seconds: what a list may have and take.
    """

    def __init__(self, most_pages: int, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._most_pages, self._seconds, self._clock = most_pages, seconds, clock
        self._until = clock() + seconds
        self._tokens: set[str] = set()

    def check(self, token: str | None) -> None:
        """Take note of the next page's token, "" or None after the last page.

        Raises:
            CloudError: the list is abandoned.
        """
        if not token:
            return
        if token in self._tokens:
            raise CloudError("the list repeats itself: a page's token came twice")
        self._tokens.add(token)
        if len(self._tokens) >= self._most_pages:
            raise CloudError(f"the list has no end: {self._most_pages} pages came")
        if self._clock() > self._until:
            raise CloudError(f"the list was not complete after {self._seconds:.0f} s")
