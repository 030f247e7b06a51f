"""The streams of the electron's process: read from their pipes, spooled, passed on, and cut at the marks between items.

And when the delivery of what they have so far begins.
"""

from __future__ import annotations

import os
import re
import select
import time
from typing import TYPE_CHECKING, BinaryIO, Callable, Dict, List, Optional, Sequence, Tuple

if TYPE_CHECKING:
    from .live_output import GrowingStream, LiveOutput

READ_BYTES = 64 * 1024
# More than a pipe holds (pipe(7): 1 MiB at most for an ordinary user): what was in it at the start of a turn is read
READS_PER_TURN = 17
# Output that waits for whoever reads the task's own stream; what comes on top of it is not shown
WAITING_BYTES = 4 * 1024 * 1024
# How long a message of the runner's own waits for room there
SAY_SECONDS = 1.0
# After its marker a mark has a space, an index with or without a sign, and a line end: so many characters at most
LONGEST_INDEX = 21
MOST_SPOTS = 1000
# When what was read: noted once a second at most, and as long as it takes to deliver it
TIME_SECONDS = 1.0
MOST_TIMES = 1000
NOT_SHOWN = b"\ncovalent-parallel: %d bytes of output are not shown here, since nobody read them in time\n"
# From when on output is delivered while a task runs
LIVE_SECONDS = 10.0
DISK_FULL = b"\n... the disk was full: output is cut here ...\n"


def say(text: str) -> None:
    """Write a line of the runner's own to the task's stderr; given up where that is full for a second."""
    write_soon(2, ("covalent-parallel: %s\n" % text).encode("utf-8", "replace"))


def write_soon(descriptor: int, data: bytes) -> None:
    """Write to one of the task's own streams, after a second at most; what has no room there then is lost."""
    try:
        select.select([], [descriptor], [], SAY_SECONDS)
        os.write(descriptor, data)
    except (OSError, ValueError):
        # Closed, or full: the outcome does not depend on it.
        return


def note_time(times: "List[Tuple[int, float]]", offset: int, now: float) -> None:
    """Note when what begins at an offset was read, unless that was just noted; what is too long ago is forgotten."""
    if not times or abs(now - times[-1][1]) >= TIME_SECONDS:
        times.append((offset, now))
        if len(times) > 2 * MOST_TIMES:
            del times[:MOST_TIMES]


class ShownStream:
    """One of the task's own streams, written to without ever waiting for whoever reads it."""

    def __init__(self, descriptor: int):
        self.descriptor = descriptor
        self._waiting = bytearray()
        self._left_out = 0
        try:
            os.set_blocking(descriptor, False)
        except OSError:
            # Closed: so say the writes.
            return

    def write(self, data: bytes) -> None:
        """Show these bytes, now or later; where too many wait already, they are left out and counted."""
        if self._left_out or len(self._waiting) + len(data) > WAITING_BYTES:
            self._left_out += len(data)
        else:
            self._waiting += data
        self.flush()

    def flush(self) -> bool:
        """Write what the reader has room for now; whether something still waits."""
        try:
            while self._waiting:
                del self._waiting[: os.write(self.descriptor, self._waiting)]
                if self._left_out and not self._waiting:
                    self._waiting += NOT_SHOWN % self._left_out
                    self._left_out = 0
        except BlockingIOError:
            return True
        except OSError:
            # Nobody reads it any more: the outcome carries the output all the same.
            self._waiting.clear()
        return False

    def give_up(self) -> None:
        """Leave out what still waits, and say how much that is."""
        if self._waiting:
            left_out = self._left_out + len(self._waiting)
            self._waiting.clear()
            write_soon(self.descriptor, NOT_SHOWN % left_out)


class Stream:
    """A pipe that is read, the file it is spooled into, and the descriptor it is shown on.

    A line that begins with `marker` is no output: it says which item's output follows.

    Attributes:
        size: how many bytes are in the file, which has all of them from `first` on.
        marks: which item's output begins at which offset of it; -1 for none's.
        times: what begins at which offset was read when, in seconds since 1970; of late.
    """

    def __init__(
        self, read: int, spool: BinaryIO, shown: int, marker: bytes = b"", clock: Callable[[], float] = time.time
    ):
        self.read = read
        self.shown = ShownStream(shown)
        self._spool = spool
        self._marker = marker
        self._mark = re.compile(re.escape(marker) + rb" (-?[0-9]{1,18})\n") if marker else None
        self._held = b""
        self._clock = clock
        self._is_cut = False
        self.first = self.size = 0
        self.marks: "List[Tuple[int, int]]" = []
        self.times: "List[Tuple[int, float]]" = []

    def pump(self) -> bool:
        """Move what the pipe holds now, and no more than a few reads; False once its last writer is gone."""
        for _ in range(READS_PER_TURN):
            try:
                data = os.read(self.read, READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                self.finish()
                return False
            self._take(data)
        return True

    def finish(self) -> None:
        """Move what was held back as the possible beginning of a mark."""
        self._pass_on(self._held)
        self._held = b""

    def add(self, text: str) -> None:
        """Take a line of the runner's own as if the electron had written it last."""
        if text:
            self.finish()
            self._pass_on(("covalent-parallel: %s\n" % text).encode("utf-8", "backslashreplace"))
            self.shown.give_up()

    def read_back(self, start: int, end: int) -> bytes:
        """Read what lies between two offsets, from the file; another thread may do so. Raises OSError."""
        if start == end:
            return b""
        with open(self._spool.name, "rb") as file:
            file.seek(start)
            data = file.read(end - start)
        if len(data) < end - start:
            raise OSError("%s is shorter than it was" % self._spool.name)
        return data

    def spans(self) -> Dict[int, Tuple[int, int]]:
        """Where the output of each item begins and ends in the spool file, so far."""
        ends = [offset for _, offset in self.marks[1:]] + [self.size]
        return {index: (start, end) for (index, start), end in zip(self.marks, ends) if index >= 0}

    def outside(self) -> "List[Tuple[int, int]]":
        """Where the output of no item begins and ends, so far: what hooks print, before the first and after the last.

        A thread of the user's may print between two items as well: of such spots the first thousand are reported.
        """
        starts = [(-1, 0), *self.marks]
        ends = [offset for _, offset in self.marks] + [self.size]
        found = [(start, end) for (index, start), end in zip(starts, ends) if index < 0 and start < end]
        return found[:MOST_SPOTS]

    def _take(self, data: bytes) -> None:
        if self._mark is None:
            self._pass_on(data)
            return
        data = self._held + data
        start = 0
        for mark in self._mark.finditer(data):
            self._pass_on(data[start : mark.start()])
            self.marks.append((int(mark[1]), self.size))
            start = mark.end()
        # The beginning of a mark may be at the end of what was read.
        end = max(data.rfind(self._marker[:1]), start)
        is_possible = self._marker.startswith(data[end : end + len(self._marker)])
        if not is_possible or len(data) - end > len(self._marker) + LONGEST_INDEX:
            end = len(data)
        self._held = data[end:]
        self._pass_on(data[start:end])

    def _pass_on(self, data: bytes) -> None:
        if data and not self._is_cut:
            note_time(self.times, self.size, self._clock())
            self._keep(data)
        self.shown.write(data)

    def _keep(self, data: bytes) -> None:
        """Spool it; once that fails, spool nothing more: the end of what is there gives way to a note."""
        view = memoryview(data)
        try:
            while view:
                written = self._spool.write(view)
                self.size += written
                view = view[written:]
        except OSError as error:
            self._is_cut = True
            say("the output is kept no further: %s" % error)
            try:
                if self.size >= len(DISK_FULL):
                    # These bytes have their place on the disk already.
                    self._spool.seek(self.size - len(DISK_FULL))
                    self._spool.write(DISK_FULL)
            except OSError:
                # There is no place to say it, and the electron continues.
                return


class LateDelivery:
    """The delivery of a task's output while it runs, from its tenth second on: nothing of it is even loaded before.

    Args:
        pace: stretches all times; 0: nothing is delivered.
        load: makes what delivers.
    """

    def __init__(self, pace: float, load: "Callable[[], LiveOutput]"):
        self.load = load
        self._begin = time.monotonic() + LIVE_SECONDS * pace if pace else float("inf")
        self._output: "Optional[LiveOutput]" = None

    def tick(self, streams: "Sequence[GrowingStream]") -> float:
        """Begin what is due; returns in how many seconds to call again, if nothing is printed before."""
        if self._output is None:
            seconds = self._begin - time.monotonic()
            if seconds > 0:
                return seconds
            try:
                self._output = self.load()
            except Exception as error:
                # The electron may have changed the runner's own files meanwhile, or there is no memory for it.
                self._begin = float("inf")
                say("what it prints is not delivered while it runs: %s: %s" % (type(error).__name__, error))
                return self._begin
        return self._output.tick(streams)

    def stop(self) -> str:
        """Have nothing written any more; returns what a report is to say, "" for nothing."""
        return self._output.stop() if self._output is not None else ""
