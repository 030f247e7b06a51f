"""Keep what a program prints in a file, of more than a limit the first and the last half."""

from __future__ import annotations

import os
import re
import threading
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

StreamName = Literal["stdout", "stderr"]


_COPY_BYTES = 1 << 20
# The line that says what is missing, and more bytes than it has
_LEFT_OUT = re.compile(rb"\n?\[([0-9]+) bytes are left out here: log_limit is [0-9]+ bytes\]\n")
_LINE_BYTES = 200


class KeptOutput:
    """The file of a stream. Past the limit its second half is a ring, which `close` puts in order.

    One thread writes and closes it; another may read meanwhile.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._path = path
        self._file = FileIO(path, "x+b")
        self._head = limit_bytes // 2
        self._ring = limit_bytes - self._head
        self._lock = threading.Lock()
        self.total_bytes = 0

    def write(self, data: bytes) -> None:
        """Add to it. Raises OSError."""
        view = memoryview(data)
        with self._lock:
            while view:
                position, room = self._place(self.total_bytes)
                if self._file.tell() != position:
                    self._file.seek(position)
                written = self._file.write(view[:room])
                view = view[written:]
                self.total_bytes += written

    @property
    def first(self) -> int:
        """The offset from which on all bytes are there; 0 as long as none is missing."""
        return max(self.total_bytes - self._ring, 0) if self.total_bytes > self._head + self._ring else 0

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes between two offsets of the stream. Raises OSError: they are gone."""
        with self._lock:
            if self._file.closed or start < self.first:
                raise OSError(f"{self._path} has no bytes {start} to {end} any more")
            pieces, offset = [], start
            while offset < end:
                position, room = self._place(offset)
                pieces.append(os.pread(self._file.fileno(), min(room, end - offset), position))
                if not pieces[-1]:
                    raise OSError(f"{self._path} is shorter than it was")
                offset += len(pieces[-1])
            return b"".join(pieces)

    def close(self) -> None:
        """Join the retained halves in order, with a line between them that reports what is missing. Raises OSError."""
        with self._lock, self._file:
            if self.total_bytes > self._head + self._ring:
                self._straighten()

    def __enter__(self) -> KeptOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _place(self, offset: int) -> tuple[int, int]:
        if offset < self._head:
            return offset, self._head - offset
        turned = (offset - self._head) % self._ring
        return self._head + turned, self._ring - turned

    def _straighten(self) -> None:
        missing = self.total_bytes - self._head - self._ring
        oldest, last_part = self._place(self.total_bytes)
        aside = self._path.with_name(f"{self._path.name}.part")
        with open(aside, "wb") as made:
            self._copy(0, self._head, made)
            self._file.seek(max(self._head - 1, 0))
            is_whole_line = self._file.read(1) == b"\n" or self._head == 0
            made.write((b"" if is_whole_line else b"\n") + _left_out(missing, self._head + self._ring))
            self._copy(oldest, last_part, made)
            self._copy(self._head, oldest - self._head, made)
        aside.replace(self._path)

    def _copy(self, start: int, count: int, target: BinaryIO) -> None:
        self._file.seek(start)
        while count and (data := self._file.read(min(count, _COPY_BYTES))):
            target.write(data)
            count -= len(data)


def seek_rest(file: BinaryIO, limit_bytes: int, seen: int) -> bytes:
    """Move a kept output's file to what comes after the first `seen` bytes of its stream.

    Returns:
        What is to be shown before that: a line that says what is missing, else nothing.
    """
    head = limit_bytes // 2
    size = file.seek(0, os.SEEK_END)
    file.seek(head)
    found = _LEFT_OUT.match(file.read(_LINE_BYTES)) if size > limit_bytes else None
    if found is None or seen <= head:
        file.seek(min(seen, size))
        return b""
    missing = max(head + int(found[1]) - seen, 0)
    tail = head + found.end()
    file.seek(min(tail + max(seen - head - int(found[1]), 0), size))
    return _left_out(missing, limit_bytes) if missing else b""


def _left_out(count: int, limit_bytes: int) -> bytes:
    return b"[%d bytes are left out here: log_limit is %d bytes]\n" % (count, limit_bytes)


def last_lines(path: Path, count: int, most_bytes: int = 8192) -> list[str]:
    """Return the last lines of a file that are not blank; none of one that its program has removed."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most_bytes))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
