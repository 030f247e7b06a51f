"""The first part of an object that tasks of a map deliver: its header and what was printed, without values."""

from __future__ import annotations

import io

from ...cloud.interfaces import Bucket
from ...protocol.envelope import START_BYTES, Envelope, read_header, sealed_header_size
from ...protocol.object_names import STREAMS


class _EnoughError(Exception):
    """What was wanted of an object is there."""


class ObjectHead(io.BytesIO):
    """What an object is copied into up to the end of its streams, which precede its values.

    Attributes:
        envelope: its checked header, once that is there.
    """

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
            # Begun again
            self.envelope = None
        return super().seek(offset, whence)

    def _read_header(self) -> None:
        end = self.tell()
        if self.envelope is None and end >= START_BYTES and end >= sealed_header_size(self.getvalue()[:START_BYTES]):
            self.envelope = read_header(io.BytesIO(self.getvalue()), self._key, self._bound_to)


def read_head(store: Bucket, name: str, key: bytes, bound_to: bytes) -> ObjectHead | None:
    """The first part of an object; None where there is none, or it ends within its header.

    Raises:
        CloudError: Google refused, or could not be reached.
        WireError: it is not what was sealed.
    """
    file = ObjectHead(key, bound_to)
    try:
        if not store.get(name, file):
            return None
    except _EnoughError:
        pass
    return None if file.envelope is None else file
