"""One stream of the electron's process: read from its pipe, spooled, passed on, and cut at the marks between items."""

from __future__ import annotations

import os
from typing import BinaryIO, Dict, List, Tuple

READ_BYTES = 64 * 1024
MOST_SPOTS = 1000
DISK_FULL = b"\n... the disk was full: output is cut here ...\n"


class Stream:
    """A pipe that is read, the file it is spooled into, and the descriptor it is shown on.

    A line that begins with `marker` is no output: it says which item's output follows.
    """

    def __init__(self, read: int, spool: BinaryIO, shown: int, marker: bytes = b""):
        self.read = read
        self._spool = spool
        self._shown = shown
        self._marker = marker
        self._held = b""
        self._offset = 0
        self._is_cut = False
        self._marks: "List[Tuple[int, int]]" = []

    def pump(self) -> bool:
        """Move what the pipe holds now; False once its last writer is gone."""
        while True:
            try:
                data = os.read(self.read, READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                self.finish()
                return False
            self._take(data)

    def finish(self) -> None:
        """Move what was held back as the possible beginning of a mark."""
        self._pass_on(self._held)
        self._held = b""

    def spans(self) -> Dict[int, Tuple[int, int]]:
        """Where the output of each item begins and ends in the spool file, so far."""
        ends = [offset for _, offset in self._marks[1:]] + [self._offset]
        return {index: (start, end) for (index, start), end in zip(self._marks, ends) if index >= 0}

    def outside(self) -> "List[Tuple[int, int]]":
        """Where the output of no item begins and ends, so far: what hooks print, before the first and after the last.

        A thread of the user's may print between two items as well: of such spots the first thousand are told.
        """
        starts = [(-1, 0), *self._marks]
        ends = [offset for _, offset in self._marks] + [self._offset]
        found = [(start, end) for (index, start), end in zip(starts, ends) if index < 0 and start < end]
        return found[:MOST_SPOTS]

    def _take(self, data: bytes) -> None:
        if not self._marker:
            self._pass_on(data)
            return
        data = self._held + data
        self._held = b""
        while True:
            start = data.find(self._marker)
            end = data.find(b"\n", start) if start >= 0 else -1
            if end < 0:
                break
            self._pass_on(data[:start])
            self._marks.append((int(data[start + len(self._marker) : end]), self._offset))
            data = data[end + 1 :]
        if start < 0:
            # The beginning of a mark may be at the end of what was read.
            start = max(data.rfind(self._marker[:1]), 0)
            if not self._marker.startswith(data[start:]):
                start = len(data)
        self._held = data[start:]
        self._pass_on(data[:start])

    def _pass_on(self, data: bytes) -> None:
        if not self._is_cut:
            self._keep(data)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._shown, view) :]
        except OSError:
            # Nobody reads the task's own streams: the outcome carries the output all the same.
            return

    def _keep(self, data: bytes) -> None:
        """Spool it; once that fails, spool nothing more: the end of what is there gives way to a note."""
        view = memoryview(data)
        try:
            while view:
                written = self._spool.write(view)
                self._offset += written
                view = view[written:]
        except OSError as error:
            self._is_cut = True
            try:
                os.write(2, b"covalent-parallel: the output is kept no further: %s\n" % str(error).encode())
                if self._offset >= len(DISK_FULL):
                    # These bytes have their place on the disk already.
                    self._spool.seek(self._offset - len(DISK_FULL))
                    self._spool.write(DISK_FULL)
            except OSError:
                # There is no place to say it, and the electron goes on.
                return
