"""Call and Outcome: the versioned, authenticated bytes that travel between the dispatcher and the container.

One object in the bucket is one envelope::

    magic (8 bytes) | header length (4, big-endian) | header (JSON, ASCII) | seal (32) | part | part | ...

The header lists every part with its length in bytes and its SHA-256; the seal is HMAC-SHA256 over a binding (what this
object is, for which call, task index and item), the magic and the header. So the seal covers the body through its
digests, can be checked before a byte of the body is read, and an object cannot replace another one. Parts that
hold values are raw pickles: they are moved here, never loaded.

Only the standard library is used, and syntax that Python 3.7 reads: the container's side starts with this module, and
an image with another Python has to be able to say so.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from io import BytesIO
from typing import BinaryIO, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple, Union

from .limits import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADER_VALUES

MAGIC = b"CVPARLL\x01"
# What precedes the header: the magic and the header's length
START_BYTES = len(MAGIC) + 4
SEAL_BYTES = 32
CHUNK_BYTES = 1024 * 1024
# Past this a part is better looked at in its file than copied out of it
MAPPED_BYTES = 4 * 1024 * 1024

CALL = "call"
OUTCOME = "outcome"
PARTIAL = "partial"
# Some of the output of a task that runs
LIVE = "live"
# That somebody wants to see such output
FOLLOW = "follow"
# What an electron has saved, for the next attempt
CHECKPOINT = "checkpoint"
# What an outcome says of live parts: there are such objects, or one may even be written after it
DELIVERED = "delivered"
LATE = "late"

VALUE = "value"
EXCEPTION = "exception"
KILLED = "killed"
REFUSED = "refused"
# The items' results of one task of a map
ITEMS = "items"
OUTCOME_KINDS = (VALUE, EXCEPTION, KILLED, REFUSED, ITEMS)

Json = Dict[str, object]


class WireError(Exception):
    """An envelope that must not be used; the message says why."""


class ForgedError(WireError):
    """The seal does not fit: another key, another call, or changed bytes."""


class TruncatedError(WireError):
    """The object ends before its header says so."""


class UnknownVersionError(WireError):
    """The object is not an envelope, or one of a version this package does not read."""


class FilePart(NamedTuple):
    """A part whose bytes stay in a file, from `offset` on, until they are sent."""

    path: str
    size: int
    sha256: str
    offset: int = 0


Part = Union[bytes, FilePart]


class PartEntry(NamedTuple):
    """Where a part lies in the body: offset and size in bytes, and the SHA-256 its bytes must have."""

    name: str
    offset: int
    size: int
    sha256: str


class Envelope(NamedTuple):
    """A header whose seal has been checked, the table of its parts, and where the body starts in the stream."""

    header: Json
    parts: Tuple[PartEntry, ...]
    body_offset: int

    def entry(self, name: str) -> PartEntry:
        for part in self.parts:
            if part.name == name:
                return part
        raise WireError("the object has no part named %r" % name)

    def has(self, name: str) -> bool:
        return any(part.name == name for part in self.parts)

    @property
    def size(self) -> int:
        """The whole object's length in bytes."""
        last = self.parts[-1].offset + self.parts[-1].size if self.parts else 0
        return self.body_offset + last


def file_part(path: str) -> FilePart:
    """A part made of the file at `path`, hashed in chunks."""
    return span_part(path, 0, os.path.getsize(path))


def span_part(path: str, offset: int, size: int) -> FilePart:
    """A part made of `size` bytes of a file; none of them need to exist where that is 0."""
    digest = hashlib.sha256()
    for chunk in _chunks_of_file(path, offset, size) if size else ():
        digest.update(chunk)
    return FilePart(path, size, digest.hexdigest(), offset)


def _chunks_of_file(path: str, offset: int, size: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        file.seek(offset)
        while size > 0:
            chunk = file.read(min(size, CHUNK_BYTES))
            if not chunk:
                raise TruncatedError("the file %s is shorter than it was" % path)
            size -= len(chunk)
            yield chunk


def part_sha256(part: Part) -> str:
    """The SHA-256 of a part's bytes."""
    return part.sha256 if isinstance(part, FilePart) else hashlib.sha256(part).hexdigest()


def seal_envelope(
    header: Mapping[str, object],
    parts: Mapping[str, Part],
    key: bytes,
    bound_to: bytes,
    sha256: "Optional[Mapping[str, str]]" = None,
) -> bytes:
    """Everything of an envelope that precedes its parts: magic, header with the table of parts, seal.

    `sha256` has those of the parts' bytes that are known already.
    """
    known = sha256 or {}
    table = [
        [name, part.size if isinstance(part, FilePart) else len(part), known.get(name) or part_sha256(part)]
        for name, part in parts.items()
    ]
    text = json.dumps({**header, "parts": table}, separators=(",", ":")).encode()
    if len(text) > MAX_HEADER_BYTES:
        raise WireError("a header of %d bytes is more than the %d allowed" % (len(text), MAX_HEADER_BYTES))
    start = MAGIC + len(text).to_bytes(4, "big") + text
    return start + _seal_of(start, key, bound_to)


def envelope_chunks(prefix: bytes, parts: Mapping[str, Part]) -> Iterator[bytes]:
    """The bytes of a whole envelope, in order; parts in files are read as they are needed."""
    yield prefix
    for part in parts.values():
        if isinstance(part, FilePart):
            if part.size:
                for chunk in _chunks_of_file(part.path, part.offset, part.size):
                    yield chunk
        elif part:
            yield part


def envelope_size(prefix: bytes, parts: Mapping[str, Part]) -> int:
    """The length in bytes of the envelope that `envelope_chunks` gives."""
    return len(prefix) + sum(p.size if isinstance(p, FilePart) else len(p) for p in parts.values())


def sealed_header_size(start: bytes) -> int:
    """The length in bytes of magic, header and seal, read from the first START_BYTES of an envelope.

    Raises:
        UnknownVersionError: no envelope, or one of another version.
        TruncatedError: these are fewer bytes.
        ForgedError: no header is so long.
    """
    if start[: len(MAGIC)] != MAGIC[: len(start)]:
        raise UnknownVersionError("the object does not start as version %d of this package's format does" % MAGIC[-1])
    if len(start) < START_BYTES:
        raise TruncatedError("the object ends within its first %d bytes" % START_BYTES)
    length = int.from_bytes(start[len(MAGIC) : START_BYTES], "big")
    if length > MAX_HEADER_BYTES:
        raise ForgedError("the object names a header of %d bytes" % length)
    return START_BYTES + length + SEAL_BYTES


def read_header(stream: BinaryIO, key: bytes, bound_to: bytes) -> Envelope:
    """Read and authenticate the header of the envelope that starts at the stream's position 0.

    Raises:
        UnknownVersionError: no envelope, or one of another version.
        TruncatedError: the stream ends too early.
        ForgedError: the seal does not fit `key` and `bound_to`.
    """
    stream.seek(0)
    start = stream.read(START_BYTES)
    size = sealed_header_size(start)
    text = stream.read(size - START_BYTES - SEAL_BYTES)
    given = stream.read(SEAL_BYTES)
    if START_BYTES + len(text) + len(given) < size:
        raise TruncatedError("the object ends within its header")
    if not hmac.compare_digest(given, _seal_of(start + text, key, bound_to)):
        raise ForgedError("the object's seal does not fit this call: it was changed, or made for another one")
    return _envelope(text, body_offset=size)


def read_part(stream: BinaryIO, envelope: Envelope, name: str) -> bytes:
    """The bytes of one part, checked against the digest in the sealed header.

    Raises:
        TruncatedError: the stream ends too early.
        ForgedError: the bytes are not the ones that were sealed.
    """
    entry = envelope.entry(name)
    stream.seek(envelope.body_offset + entry.offset)
    data = stream.read(entry.size)
    if len(data) < entry.size:
        raise TruncatedError("the object ends within its part %r" % name)
    if not hmac.compare_digest(hashlib.sha256(data).hexdigest(), entry.sha256):
        raise ForgedError("the part %r is not the one that was sealed" % name)
    return data


def view_part(file: BinaryIO, envelope: Envelope, name: str, sha256: str = "") -> Union[bytes, memoryview]:
    """As `read_part`, but a large part is not copied: it is a view of the memory or the file that `file` is.

    The view outlives a file that is closed. `sha256` is that of the part's bytes where it is known already, from when
    `file` was written.
    """
    entry = envelope.entry(name)
    if entry.size <= MAPPED_BYTES:
        return read_part(file, envelope, name)
    start = envelope.body_offset + entry.offset
    data = _view(file)[start : start + entry.size]
    if len(data) < entry.size:
        raise TruncatedError("the object ends within its part %r" % name)
    if not hmac.compare_digest(sha256 or hashlib.sha256(data).hexdigest(), entry.sha256):
        raise ForgedError("the part %r is not the one that was sealed" % name)
    return data


def _view(file: BinaryIO) -> memoryview:
    if isinstance(file, BytesIO):
        return file.getbuffer()
    # Loaded here only: most parts are small.
    import mmap

    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def python_minor(version: str) -> str:
    """ "3.11" of "3.11.7": pickled functions hold bytecode, which only the same minor version runs."""
    return ".".join(version.split(".")[:2])


def _seal_of(start: bytes, key: bytes, bound_to: bytes) -> bytes:
    framed = len(bound_to).to_bytes(4, "big") + bound_to
    return hmac.new(key, framed + start, hashlib.sha256).digest()


def _envelope(text: bytes, body_offset: int) -> Envelope:
    try:
        if _has_too_many_values(text):
            raise ValueError("it holds more than %d values" % MAX_HEADER_VALUES)
        header = json.loads(text.decode("ascii"))
        offset = 0
        parts = []
        for name, size, sha256 in header["parts"]:
            parts.append(PartEntry(str(name), offset, int(size), str(sha256)))
            offset += int(size)
            if int(size) < 0 or offset > MAX_BODY_BYTES:
                raise ValueError("a part has an impossible size")
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise WireError("the sealed header cannot be read: %.300s" % error) from error
    return Envelope(header, tuple(parts), body_offset)


def _has_too_many_values(text: bytes) -> bool:
    """Whether JSON holds more than MAX_HEADER_VALUES, found without making them: each takes up to 200 bytes."""
    if _separators(text) <= MAX_HEADER_VALUES:
        return False
    # What stands in texts does not count.
    text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    if text.count(b'"') > 2 * MAX_HEADER_VALUES:
        return True
    return _separators(b"".join(text.split(b'"')[::2])) > MAX_HEADER_VALUES


def _separators(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
