"""What the dispatcher and a worker say to each other: a header in JSON and parts of raw bytes, each with its length."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LENGTH_BYTES = 4
LONGEST_HEADER_BYTES = 16 * 1024 * 1024
PARTS = "parts"

# Reads exactly so many bytes; a read that finds fewer raises EOFError
Read = Callable[[int], bytes]
Buffer = bytes | bytearray | memoryview


class FrameError(Exception):
    """The other side said something that is no frame."""


def frame_head(header: Mapping[str, object], parts: Mapping[str, Buffer]) -> bytes:
    """Everything of a frame but its parts, which follow in order."""
    sizes = [[name, len(part)] for name, part in parts.items()]
    text = json.dumps({**header, PARTS: sizes}).encode()
    return len(text).to_bytes(LENGTH_BYTES, "big") + text


def read_frame(read: Read) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A header and its parts.

    Raises:
        EOFError: nothing more comes.
        FrameError: what came is no frame.
    """
    length = int.from_bytes(read(LENGTH_BYTES), "big")
    if length > LONGEST_HEADER_BYTES:
        raise FrameError(f"a header of {length} bytes")
    try:
        header: dict[str, Any] = json.loads(read(length))
        sizes: Sequence[Sequence[Any]] = header.pop(PARTS)
        named = [(str(name), int(size)) for name, size in sizes]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FrameError(f"a header that cannot be read: {error}") from error
    return header, {name: read(size) for name, size in named}


def seconds_until(deadline: float) -> float:
    """What is left until a time of `time.monotonic()`, 0 if it is past."""
    return max(0.0, deadline - time.monotonic())
