"""A checkpoint on its way from the bucket into a file: checked before any of it is used."""

from __future__ import annotations

import io
from typing import BinaryIO, Optional

from ..protocol.envelope import (
    START_BYTES,
    Envelope,
    ForgedError,
    TruncatedError,
    WireError,
    read_header,
    sealed_header_size,
    span_part,
)
from .checkpoint_pack import MOST_BYTES

# The part that holds what was packed
FILES = "files"


class CheckpointArrival:
    """A checkpoint on its way into a file; what is none of this call's ends the download where that shows."""

    def __init__(self, file: BinaryIO, key: bytes, binding: bytes):
        self._file = file
        self._key = key
        self._binding = binding
        self._envelope: Optional[Envelope] = None

    def seek(self, offset: int) -> int:
        self._envelope = None
        return self._file.seek(offset)

    def truncate(self) -> int:
        return self._file.truncate()

    def tell(self) -> int:
        return self._file.tell()

    def write(self, data: bytes) -> int:
        written = self._file.write(data)
        size = self._file.tell()
        if self._envelope is None and size >= START_BYTES:
            self._file.seek(0)
            if size >= sealed_header_size(self._file.read(START_BYTES)):
                self._envelope = read_header(self._file, self._key, self._binding)
                if self._envelope.size > self._envelope.body_offset + MOST_BYTES:
                    raise WireError("it is larger than any checkpoint")
            self._file.seek(size)
        if self._envelope is not None and size > self._envelope.size:
            raise ForgedError("it is longer than its header says")
        return written

    def checked(self) -> Envelope:
        """Return its header, with the file at the beginning of what it holds. Raises WireError."""
        envelope = self._envelope
        if envelope is None or self._file.seek(0, io.SEEK_END) < envelope.size:
            raise TruncatedError("it ends too early")
        entry = envelope.entry(FILES)
        self._file.flush()
        offset = envelope.body_offset + entry.offset
        part = span_part("/proc/self/fd/%d" % self._file.fileno(), offset, entry.size)
        if part.sha256 != entry.sha256:
            raise ForgedError("its content is not the one that was sealed")
        self._file.seek(offset)
        return envelope
