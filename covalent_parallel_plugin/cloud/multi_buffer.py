"""Bytes that lie in several pieces in memory, read as a file is and sent as they lie: no byte of them is copied."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

# Sent at a time: the session's timeout is for that much, and of less each costs the speed of a fast network
SEND_BYTES = 16 * 1024 * 1024


class BufferSlice:
    """Some of the bytes, for one request: Google's client asks for their number only, and hands them to its session."""

    def __init__(self, views: Sequence[memoryview]):
        self._views = views

    def __len__(self) -> int:
        return sum(map(len, self._views))

    def __iter__(self) -> Iterator[memoryview]:
        for view in self._views:
            for offset in range(0, len(view), SEND_BYTES):
                yield view[offset : offset + SEND_BYTES]


class MultiBufferReader:
    """As much of a binary file as Google's client needs for an upload in several requests.

    Args:
        pieces: what the file consists of, in order.
    """

    def __init__(self, pieces: Sequence[bytes]):
        self._pieces = pieces
        self._ends = list(accumulate(map(len, pieces)))
        self.size = self._ends[-1] if pieces else 0
        self._position = 0

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def read(self, size: int = -1) -> BufferSlice:
        """The next bytes; fewer than `size` at the end only."""
        until = self.size if size < 0 else min(self._position + size, self.size)
        views = []
        index = bisect_right(self._ends, self._position)
        while self._position < until:
            start = self._ends[index] - len(self._pieces[index])
            views.append(memoryview(self._pieces[index])[self._position - start : until - start])
            self._position += len(views[-1])
            index += 1
        return BufferSlice(views)
