"""An envelope on its way from the bucket into memory or a file; of a large one the last part is hashed as it passes."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from typing import BinaryIO, cast

from ..protocol.envelope import CHUNK_BYTES, MAPPED_BYTES, Envelope, TruncatedError, WireError, read_header

# Beyond this a file takes it: that spares memory, and takes several times as long as memory where the disk is busy.
# Covalent's own form of a value takes a third more than this at once.
IN_MEMORY_BYTES = 512 * 1024 * 1024


class DownloadBuffer:
    """What an object is copied into (`cloud.storage.Target`), from its first byte to its last.

    Nothing is judged here: who reads the file checks the seal, and every digest against it.

    Args:
        folder: where the file without a name is made that takes what is too large for memory.
        key, bound_to: what its seal has to fit, so that a header is believed.
        most_in_memory: bytes.
    """

    def __init__(self, folder: str, key: bytes, bound_to: bytes, most_in_memory: int = IN_MEMORY_BYTES):
        self.file: BinaryIO = io.BytesIO()
        self._folder, self._most_in_memory = folder, most_in_memory
        self._key, self._bound_to = key, bound_to
        self._forget()

    def __enter__(self) -> DownloadBuffer:
        return self

    def __exit__(self, *_: object) -> None:
        # Memory that somebody still looks at cannot be closed, and a file can.
        if not isinstance(self.file, io.BytesIO):
            self.file.close()

    def _forget(self) -> None:
        self._size = 0
        self._is_refused = False
        self._digest: hashlib._Hash | None = None

    @property
    def sha256(self) -> str:
        """The last part's, if that was worth the trouble; else empty. The object has to be whole."""
        return "" if self._digest is None else self._digest.hexdigest()

    def write(self, data: bytes) -> int:
        """Append."""
        if isinstance(self.file, io.BytesIO) and self._size + len(data) > self._most_in_memory:
            self._leave_memory(self.file)
        written = self.file.write(data)
        self._size += written
        if self._digest is not None:
            self._digest.update(data)
        elif self._size > MAPPED_BYTES and not self._is_refused:
            self._begin()
        return written

    def seek(self, offset: int) -> int:
        """Begin anew: only what is written from here on counts."""
        self._forget()
        return self.file.seek(offset)

    def truncate(self) -> int:
        """Cut the file off where it stands."""
        return self.file.truncate()

    def _leave_memory(self, held: io.BytesIO) -> None:
        self.file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115  # closed on exit
        self.file.write(held.getbuffer())

    def _begin(self) -> None:
        """Hash what is there of the last part, if its beginning is."""
        try:
            envelope = read_header(self.file, self._key, self._bound_to)
        except TruncatedError:
            envelope = None
        except WireError:
            self._is_refused, envelope = True, None
        if envelope is not None and envelope.parts and self._start(envelope) <= self._size:
            self._digest = hashlib.sha256()
            self.file.seek(self._start(envelope))
            while chunk := self.file.read(CHUNK_BYTES):
                self._digest.update(chunk)
        self.file.seek(0, os.SEEK_END)

    @staticmethod
    def _start(envelope: Envelope) -> int:
        return envelope.body_offset + envelope.parts[-1].offset
