"""Write and read the bytes of stored objects as files, checksummed on the way, never whole in memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import google_crc32c

# Blocks up to this size (bytes) are handled on the event loop, where they take about a millisecond;
# anything beyond goes through a thread, so that a large object does not hold up small ones.
BLOCK_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Body:
    """A finished file: its size in bytes and its checksums in base64, as Cloud Storage writes them.

    `md5` is None for a composed object, as at Google.
    """

    path: Path
    size: int
    crc32c: str
    md5: str | None


def encode_crc32c(checksum: int) -> str:
    """Return the base64 of the big-endian CRC32C, the form of the `crc32c` field in object metadata."""
    return base64.b64encode(checksum.to_bytes(4, "big")).decode("ascii")


class BodyWriter:
    """Append chunks to a new file; what was written counts only after `finish`.

    No file is open between two calls, so abandoned resumable uploads hold no descriptor.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._size = 0
        self._crc32c = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._kept = (0, 0, self._md5.copy())

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return self._size + self._pending_bytes

    async def write(self, chunk: bytes) -> None:
        """Take one chunk.

        Raises:
            OSError: the file cannot be written.
        """
        self._pending.append(chunk)
        self._pending_bytes += len(chunk)
        if self._pending_bytes >= BLOCK_BYTES:
            await asyncio.to_thread(self._flush)

    async def keep(self) -> None:
        """Make what was written so far the state that `roll_back` returns to."""
        await self._flush_all()
        self._kept = (self._size, self._crc32c, self._md5.copy())

    def roll_back(self) -> None:
        """Forget what was written since the last `keep`."""
        self._pending.clear()
        self._pending_bytes = 0
        size, self._crc32c, md5 = self._kept
        self._md5 = md5.copy()
        if self._size > size:
            with self._path.open("r+b") as file:
                file.truncate(size)
        self._size = size

    async def finish(self) -> Body:
        """Write what is pending and describe the file.

        Raises:
            OSError: the file cannot be written.
        """
        await self._flush_all()
        md5 = base64.b64encode(self._md5.digest()).decode("ascii")
        return Body(self._path, self._size, encode_crc32c(self._crc32c), md5)

    def discard(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)

    async def _flush_all(self) -> None:
        # An object that fits one block is written here and now: a thread would cost more than the write.
        if self._size == 0:
            self._flush()
        else:
            await asyncio.to_thread(self._flush)

    def _flush(self) -> None:
        block = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        with self._path.open("ab") as file:
            file.write(block)
        self._size += len(block)
        self._crc32c = google_crc32c.extend(self._crc32c, block)
        self._md5.update(block)


async def read_blocks(file: BinaryIO, start: int, length: int) -> AsyncIterator[bytes]:
    """Yield `length` bytes of the file from the offset `start`, in blocks of at most BLOCK_BYTES."""
    file.seek(start)
    while length > 0:
        block = await asyncio.to_thread(file.read, min(BLOCK_BYTES, length))
        if not block:
            raise OSError(f"the stored file ended {length} bytes early")
        length -= len(block)
        yield block


async def unpacked_blocks(packed: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Unpack gzip, of one member or several, into blocks of at most BLOCK_BYTES.

    What is not gzip is passed on as it is from its beginning; inside of a stream it is an error.

    Raises:
        zlib.error: the compressed data is damaged or ends early.
    """
    decoder = None
    is_first = True
    async for block in packed:
        if is_first and not block.startswith(GZIP_MAGIC):
            yield block
            async for rest in packed:
                yield rest
            return
        is_first = False
        while block:
            if decoder is None or decoder.eof:
                decoder = zlib.decompressobj(wbits=31)
            yield await asyncio.to_thread(decoder.decompress, block, BLOCK_BYTES)
            block = decoder.unconsumed_tail or decoder.unused_data
    if decoder is not None and not decoder.eof:
        raise zlib.error("the compressed data ends early")
