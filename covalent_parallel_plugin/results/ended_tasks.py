"""What a task of a map printed that has ended before the map: from its outcome and its chunks, without values."""

from __future__ import annotations

import io

from ..cloud.interfaces import Bucket
from ..electron.map.report import PrintedItems, read_printed
from ..protocol.envelope import OUTCOME, START_BYTES, Envelope, WireError, read_header, sealed_header_size
from ..protocol.identity import TaskAddress
from ..protocol.object_names import STREAMS


class _EnoughError(Exception):
    """What was wanted of an object is there."""


class _PrintedPart(io.BytesIO):
    """What an object is copied into up to the end of its streams, which precede its values."""

    def __init__(self, key: bytes, bound_to: bytes):
        super().__init__()
        self._key, self._bound_to = key, bound_to
        self.envelope: Envelope | None = None

    def write(self, data: object, /) -> int:
        size = super().write(data)  # type: ignore[arg-type]  # as BytesIO takes it
        self._read_header()
        if self.envelope is not None:
            ends = [part.offset + part.size for part in self.envelope.parts if part.name in STREAMS]
            if self.tell() >= self.envelope.body_offset + max(ends, default=0):
                raise _EnoughError
        return size

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if offset == 0 and whence == 0:
            # Begun anew
            self.envelope = None
        return super().seek(offset, whence)

    def _read_header(self) -> None:
        end = self.tell()
        if self.envelope is None and end >= START_BYTES and end >= sealed_header_size(self.getvalue()[:START_BYTES]):
            self.envelope = read_header(io.BytesIO(self.getvalue()), self._key, self._bound_to)


def read_ended_task(store: Bucket, address: TaskAddress) -> PrintedItems | None:
    """What a task of a map printed, all of it; None where it is gone, or the task never came to its items.

    Raises:
        CloudError: the bucket could not be reached, or refused.
        WireError: it is not what the task sealed, or makes no sense.
    """
    found = _read(store, address, address.outcome_name, address.binding(OUTCOME))
    if found is None:
        return None
    items = dict(found.items)
    for number in range(found.chunks):
        chunk = _read(store, address, address.chunk_name(number), address.chunk_binding(number))
        items.update({} if chunk is None else chunk.items)
    return PrintedItems(items, found.outside)


def _read(store: Bucket, address: TaskAddress, name: str, binding: bytes) -> PrintedItems | None:
    with _PrintedPart(address.call.key, binding) as file:
        try:
            if not store.get(name, file):
                return None
        except _EnoughError:
            pass
        if file.envelope is None:
            return None
        try:
            return read_printed(file, file.envelope)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise WireError(f"it makes no sense: {type(error).__name__}: {error!s:.300}") from error
