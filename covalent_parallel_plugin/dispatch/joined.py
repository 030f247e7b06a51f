"""Many pickles as one pickle of a list, none of them loaded: each stands in it as a call of `pickle.loads`."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO

from ..errors import CacheDirError

# Opcodes of the pickle machine (see the module pickletools): protocol 4, and how a list of calls is written
_HEAD = b"\x80\x04c_pickle\nloads\nq\x000]"
_BEGIN, _END, _STOP = b"(", b"e", b"."
_RECALL = b"h\x00"
_BYTES = b"\x8e"
_CALL = b"\x85R"
# As Python's own pickler, which appends to a list in batches
BATCH = 1000
IN_MEMORY_BYTES = 4 * 1024 * 1024

Buffer = bytes | mmap.mmap


def pickle_of_list(pickles: Iterable[tuple[int, Iterable[bytes]]]) -> Iterator[bytes]:
    """The bytes of a pickle of a list of values, given the length and the bytes of each one's pickle."""
    yield _HEAD
    is_open = False
    for number, (size, chunks) in enumerate(pickles):
        if number % BATCH == 0:
            if is_open:
                yield _END
            yield _BEGIN
            is_open = True
        yield _RECALL + _BYTES + size.to_bytes(8, "little")
        yield from chunks
        yield _CALL
    if is_open:
        yield _END
    yield _STOP


def gathered(chunks: Iterable[bytes], size: int, folder: str) -> Buffer:
    """The chunks as one buffer: bytes, or past a few megabytes the map of an unnamed file in `folder`.

    `size` is about how many bytes there are.
    """
    if size <= IN_MEMORY_BYTES:
        return b"".join(chunks)
    with room_in(folder), tempfile.TemporaryFile(dir=folder) as file:
        write_all(file, chunks)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@contextmanager
def room_in(folder: str) -> Iterator[None]:
    """Have a folder that cannot take what is written there told as such.

    Raises:
        CacheDirError: it is full, or gone.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, CacheDirError):
            raise
        raise CacheDirError(
            f"cache_dir = {folder!r} could not take a value ({error.strerror or error}): make room there, or name"
            " another folder"
        ) from error


def write_all(file: IO[bytes], chunks: Iterable[bytes]) -> None:
    """Write the chunks, one after the other."""
    for chunk in chunks:
        file.write(chunk)
