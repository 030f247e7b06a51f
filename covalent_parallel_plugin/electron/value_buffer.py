"""A large value on its way: in memory, or in an unnamed file in `cache_dir`."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO

from ..errors import CacheDirError

IN_MEMORY_BYTES = 4 * 1024 * 1024

Buffer = bytes | mmap.mmap
Chunk = bytes | memoryview


def join_to_buffer(chunks: Iterable[Chunk], size: int, folder: str) -> Buffer:
    """The chunks as one buffer: bytes, or past a few megabytes the map of an unnamed file in `folder`.

    `size` is about how many bytes there are.
    """
    if size <= IN_MEMORY_BYTES:
        return b"".join(chunks)
    with disk_errors(folder), tempfile.TemporaryFile(dir=folder) as file:
        write_all(file, chunks)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@contextmanager
def disk_errors(folder: str) -> Iterator[None]:
    """Raise an error that names a folder that cannot take what is written, or a machine without memory for it.

    Raises:
        CacheDirError: it is full, or gone.
    """
    try:
        yield
    except MemoryError as error:
        raise CacheDirError("a value does not fit into this machine's memory: make room there") from error
    except OSError as error:
        if isinstance(error, CacheDirError):
            raise
        raise CacheDirError(
            f"cache_dir = {folder!r} could not take a value ({error.strerror or error}): make room there, or name"
            " another folder"
        ) from error


def write_all(file: IO[bytes], chunks: Iterable[Chunk]) -> None:
    """Write the chunks, one after the other."""
    for chunk in chunks:
        file.write(chunk)
