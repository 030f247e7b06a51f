"""What a task of a sweep prints, delivered while its program runs: as of electrons, from its tenth second on."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...programs.kept_output import KeptOutput, StreamName
from ...protocol.sweep_identity import SweepTaskAddress
from .. import bucket_http as storage
from ..output_capture import LateDelivery, note_time
from .machine import MachineSeams

if TYPE_CHECKING:
    from ..live_output import LiveOutput


class ReadStream:
    """A stream that is kept, and when what of it was read: what is delivered of it."""

    marks: Sequence[tuple[int, int]] = ()

    def __init__(self, kept: KeptOutput) -> None:
        self._kept = kept
        self.times: list[tuple[int, float]] = []

    @property
    def size(self) -> int:
        """Its bytes so far."""
        return self._kept.total_bytes

    @property
    def first(self) -> int:
        """From where on all of them are there."""
        return self._kept.first

    def pump(self) -> None:
        """Read what is in its pipe: whoever watches the program does that."""

    def read_back(self, start: int, end: int) -> bytes:
        """Read what lies between two offsets. Raises OSError: it is not there any more."""
        return self._kept.read(start, end)


class LiveTask:
    """The delivery of one execution's output. Its parts have the task's key: what its index means in this round."""

    def __init__(self, seams: MachineSeams, address: SweepTaskAddress, key: str) -> None:
        self._seams, self._address, self._key = seams, address, key
        self._streams: dict[StreamName, ReadStream] = {}
        self._delivery: LateDelivery | None = None

    def attach(self, outputs: Mapping[StreamName, KeptOutput]) -> None:
        """Have these delivered: their program begins."""
        self._streams = {stream: ReadStream(kept) for stream, kept in outputs.items()}
        self._delivery = LateDelivery(self._seams.job.live_pace, self._live_output)

    def note(self, stream: StreamName, count: int) -> None:
        """Note that the last `count` bytes of a stream were read just now."""
        read = self._streams[stream]
        note_time(read.times, read.size - count, time.time())

    def tick(self) -> float:
        """Begin what is due; return in how many seconds to call again, if nothing is printed before."""
        if self._delivery is None:
            return math.inf
        return self._delivery.tick([self._streams["stdout"], self._streams["stderr"]])

    def stop(self) -> str:
        """Have nothing written any more; return what a report is to say, "" for nothing."""
        return self._delivery.stop() if self._delivery is not None else ""

    def _live_output(self) -> LiveOutput:
        from ..live_output import LiveOutput

        job = self._seams.job
        return LiveOutput(
            self._address.execution(self._seams.token),
            job.attempt,
            lambda sleep: storage.from_environment(job.bucket, sleep),
            pace=job.live_pace,
            run=self._key,
        )
