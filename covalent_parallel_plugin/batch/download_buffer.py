"""An envelope on its way from the bucket into memory or a file, refused as soon as it cannot be the sealed one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from typing import BinaryIO, cast

from ..cloud.interfaces import Bucket
from ..errors import OutcomeError
from ..protocol.envelope import (
    CHUNK_BYTES,
    MAPPED_BYTES,
    START_BYTES,
    Envelope,
    ForgedError,
    WireError,
    read_header,
    sealed_header_size,
)

# Beyond this a file takes it: that spares memory, and takes several times as long as memory where the disk is busy.
# Covalent's own form of a value takes a third more than this at once.
IN_MEMORY_BYTES = 512 * 1024 * 1024
# A header that is refused may have been changed on its way
HEADER_TRIES = 3


class DownloadBuffer:
    """What an object is copied into (`cloud.storage.Target`), from its first byte to its last.

    The header is judged as soon as it is there, and the object's length by what the header says. Who reads the file
    checks every part against its digest; the last one's is made on the way where it is large.

    Args:
        folder: where the file without a name is made that takes what is too large for memory.
        key, bound_to: what its seal has to fit.
        title: what the object is, for the message of a refusal.
        most_in_memory: bytes.
    """

    def __init__(
        self, folder: str, key: bytes, bound_to: bytes, title: str, most_in_memory: int = IN_MEMORY_BYTES
    ) -> None:
        self.file: BinaryIO = io.BytesIO()
        self._folder, self._most_in_memory = folder, most_in_memory
        self._key, self._bound_to, self._title = key, bound_to, title
        self._forget()

    def __enter__(self) -> DownloadBuffer:
        return self

    def __exit__(self, *_: object) -> None:
        # Memory that somebody still looks at cannot be closed, and a file can.
        with contextlib.suppress(BufferError):
            self.file.close()

    def _forget(self) -> None:
        # The header, once it is there and was found to be the sealed one
        self.envelope: Envelope | None = None
        self._size, self._header_size = 0, 0
        self._digest: hashlib._Hash | None = None

    @property
    def sha256(self) -> str:
        """The last part's, if that was worth the trouble; else empty. The object has to be whole."""
        return "" if self._digest is None else self._digest.hexdigest()

    def whole_sha256(self) -> str:
        """Return that of the whole object, in hexadecimal digits."""
        digest = hashlib.sha256()
        self.file.seek(0)
        while data := self.file.read(CHUNK_BYTES):
            digest.update(data)
        return digest.hexdigest()

    def fetch(self, store: Bucket, name: str) -> bool:
        """Copy an object from the store; False if there is none.

        Raises:
            OutcomeError: it is not the one that was sealed; no more of it is downloaded, and nothing kept.
        """
        for _ in range(HEADER_TRIES - 1):
            try:
                return store.get(name, self)
            except OutcomeError:
                if self.envelope is not None:
                    raise
        return store.get(name, self)

    def write(self, data: bytes) -> int:
        """Append.

        Raises:
            OutcomeError: the header is not the one that was sealed, or the object is longer than it says.
        """
        if isinstance(self.file, io.BytesIO) and self._size + len(data) > self._most_in_memory:
            self._leave_memory(self.file)
        self.file.write(data)
        before, self._size = self._size, self._size + len(data)
        try:
            envelope = self.envelope or self._read_header()
            if envelope is not None and self._size > envelope.size:
                raise ForgedError(f"it is longer than the {envelope.size} bytes that its header tells of")
        except WireError as error:
            self.file.seek(0)
            self.file.truncate()
            raise OutcomeError(f"{self._title} in the bucket is refused: {error}") from error
        if self._digest is not None and envelope is not None:
            start = envelope.body_offset + envelope.parts[-1].offset
            self._digest.update(memoryview(data)[max(start - before, 0) :])
        return len(data)

    def seek(self, offset: int) -> int:
        """Start again: only what is written from here on counts."""
        self._forget()
        return self.file.seek(offset)

    def truncate(self) -> int:
        """Cut the file off where it stands."""
        return self.file.truncate()

    def _leave_memory(self, held: io.BytesIO) -> None:
        self.file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115  # closed on exit
        self.file.write(held.getbuffer())

    def _read_header(self) -> Envelope | None:
        """The header, once it is there whole.

        Raises:
            WireError: it is not the one that was sealed.
        """
        if not self._header_size and self._size >= START_BYTES:
            self.file.seek(0)
            self._header_size = sealed_header_size(self.file.read(START_BYTES))
            self.file.seek(self._size)
        if not self._header_size or self._size < self._header_size:
            return None
        self.envelope = read_header(self.file, self._key, self._bound_to)
        self.file.seek(self._size)
        if self.envelope.parts and self.envelope.parts[-1].size > MAPPED_BYTES:
            self._digest = hashlib.sha256()
        return self.envelope
