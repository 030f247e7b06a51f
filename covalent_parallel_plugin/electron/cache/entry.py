"""One entry of the cache: its key, the names of its objects, and the sealed record of the value that it has. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property

from ...errors import OutcomeError
from ...protocol.envelope import Envelope, WireError, seal_envelope
from ...protocol.identity import CallIdentity
from ...protocol.object_names import cache_record
from ..server_secret import ServerSecret
from .source import Source

KIND = "cache record"


@dataclass(frozen=True)
class CacheRecord:
    """Which outcome has an entry's value.

    Attributes:
        structure: of the calls that have it.
        number: for the how many-th time it was made, from 0 on: its call's identity follows from that.
        sha256, size: of the whole object that holds the outcome.
        dispatch_id, node_id, made_seconds: whose job made it, and when, in seconds since 1970.
    """

    structure: str
    number: int
    sha256: str
    size: int
    dispatch_id: str
    node_id: int
    made_seconds: float

    @property
    def source(self) -> Source:
        """Where the value comes from."""
        return Source(self.dispatch_id, self.node_id, self.made_seconds)


@dataclass(frozen=True)
class CacheEntry:
    """The entry of all calls with the same structure, in the cache of whoever has the secret."""

    secret: ServerSecret
    structure: str

    @cached_property
    def key(self) -> str:
        """Its name in the bucket."""
        return self.secret.cache_key(self.structure)

    @property
    def record_name(self) -> str:
        """The object that holds its record."""
        return cache_record(self.key)

    @cached_property
    def record_key(self) -> bytes:
        """The key that seals the record; no job has it."""
        return self.secret.record_key(self.key)

    @property
    def record_binding(self) -> bytes:
        """What the record is sealed for."""
        return json.dumps([KIND, self.key]).encode()

    def identity(self, number: int) -> CallIdentity:
        """Return the identity of the call that makes its value for the `number`-th time."""
        return self.secret.cached_identity(self.key, number)

    def sealed(self, record: CacheRecord) -> bytes:
        """Return the bytes of the object that holds the record."""
        return seal_envelope({"kind": KIND, **asdict(record)}, {}, self.record_key, self.record_binding)

    def record_of(self, envelope: Envelope) -> CacheRecord:
        """Return the record in an envelope whose seal was checked.

        Raises:
            OutcomeError: it is not one of this entry.
        """
        header = envelope.header
        try:
            fields = {name: header[name] for name in CacheRecord.__dataclass_fields__}
            record = CacheRecord(**fields)  # type: ignore[arg-type]  # checked below
            if header["kind"] != KIND or envelope.parts or record.structure != self.structure:
                raise WireError("it is of another structure")
            numbers = (record.number, record.size, record.node_id)
            if any(type(number) is not int for number in numbers) or not math.isfinite(record.made_seconds):
                raise WireError("its numbers make no sense")
        except (KeyError, TypeError, WireError) as error:
            raise OutcomeError(f"the record in the cache makes no sense: {error}") from error
        return record
