"""Some of what a task has printed, wherever it was read, and how one of its attempts ended."""

from __future__ import annotations

from typing import NamedTuple

from ..programs.kept_output import StreamName
from ..protocol.live_part import LiveStream

STREAMS: tuple[StreamName, ...] = ("stdout", "stderr")


class PrintedPiece(NamedTuple):
    """Some output of an attempt; its offset is that in the stream, as far as that is known."""

    attempt: int
    stream: StreamName
    output: LiveStream


class AttemptEnd(NamedTuple):
    """Nothing more comes of an attempt; `is_last`: nor of the task in this round."""

    attempt: int
    status: str
    reason: str
    is_last: bool
