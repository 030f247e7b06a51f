"""Call and Outcome: the versioned, authenticated bytes that travel between the dispatcher and the container.

One object in the bucket is one envelope::

    magic (8 bytes) | header length (4, big-endian) | header (JSON, UTF-8) | seal (32) | part | part | ...

The header lists every part with its length in bytes and its SHA-256; the seal is HMAC-SHA256 over a binding (what this
object is, for which call, task index and item), the magic and the header. So the seal covers the body through its
digests, can be checked before a byte of the body is read, and an object cannot stand in for another one. Parts that
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
from typing import BinaryIO, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

MAGIC = b"CVPARLL\x01"
SEAL_BYTES = 32
MAX_HEADER_BYTES = 64 * 1024 * 1024
MAX_BODY_BYTES = 2**50
CHUNK_BYTES = 1024 * 1024
# Past this a part is better looked at in its file than copied out of it
MAPPED_BYTES = 4 * 1024 * 1024

CALL = "call"
OUTCOME = "outcome"
PARTIAL = "partial"

VALUE = "value"
EXCEPTION = "exception"
KILLED = "killed"
REFUSED = "refused"
# Of one task of a map: what its items came to
ITEMS = "items"
OUTCOME_KINDS = (VALUE, EXCEPTION, KILLED, REFUSED, ITEMS)

# Exit statuses of the runner, read by the dispatcher's verdict. 0 means that an outcome was delivered; every other
# one says why none was. They follow sysexits.h where it has a fitting name.
EXIT_DELIVERED = 0
EXIT_BAD_DIGEST = 65  # EX_DATAERR: the runner's archive or the call is not what the job pins
EXIT_NO_CALL = 66  # EX_NOINPUT: the call is not in the bucket
EXIT_BUCKET_UNREADABLE = 69  # EX_UNAVAILABLE: the bucket refuses or cannot be reached
EXIT_RUNNER_FAILED = 70  # EX_SOFTWARE: a defect of the runner
EXIT_NOT_DELIVERED = 73  # EX_CANTCREAT: the outcome could not be written
EXIT_RETRY_EXCEPTION = 75  # EX_TEMPFAIL: the electron raised and is to be tried again
EXIT_WRONG_PYTHON = 78  # EX_CONFIG: the image's Python cannot run the runner or the call
EXIT_TERMINATED = 143  # 128 + SIGTERM: the machine is being taken away

ENV_PREFIX = "COVALENT_PARALLEL_"
ENV_BUCKET = ENV_PREFIX + "BUCKET"
ENV_FOLDER = ENV_PREFIX + "FOLDER"
ENV_CALL_ID = ENV_PREFIX + "CALL_ID"
ENV_KEY = ENV_PREFIX + "KEY"
ENV_TIME_LIMIT = ENV_PREFIX + "TIME_LIMIT"
ENV_LAST_ATTEMPT = ENV_PREFIX + "LAST_ATTEMPT"
ENV_KEEP_OBJECTS = ENV_PREFIX + "KEEP_OBJECTS"
ENV_RUNNER = ENV_PREFIX + "RUNNER"
ENV_ROUND = ENV_PREFIX + "ROUND"
ENV_ITEMS = ENV_PREFIX + "ITEMS"

# Where a job of several tasks mounts what the tasks that share a machine share: packages installed by one of them
PACKAGES_FOLDER = "/mnt/covalent-parallel-packages"

Json = Dict[str, object]


class WireError(Exception):
    """An envelope that must not be used; the message says why."""


class ForgedError(WireError):
    """The seal does not fit: another key, another call, or changed bytes."""


class TruncatedError(WireError):
    """The object ends before its header says so."""


class UnknownVersionError(WireError):
    """The object is no envelope, or one of a version this package does not read."""


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


def call_name(folder: str) -> str:
    """The object that holds the call, in the call's folder of the bucket."""
    return folder + "/call"


def outcome_name(folder: str, task_index: int = 0, round: int = 0) -> str:
    """The write-once object that holds the outcome of one task; `round` counts the jobs of one call."""
    return "%s/outcome-%d" % (round_folder(folder, round), task_index)


def chunk_name(folder: str, task_index: int, round: int, number: int) -> str:
    """The write-once object that holds some of a task's items."""
    return "%s/items-%d-%d" % (round_folder(folder, round), task_index, number)


def round_folder(folder: str, round: int) -> str:
    """What the tasks of one of a call's jobs deliver lies here; the first job's right in the call's folder."""
    return "%s/round-%d" % (folder, round) if round else folder


def partial_name(folder: str, task_index: int, attempt: int, round: int = 0) -> str:
    """The output so far of an attempt whose machine was taken away."""
    return "%s/attempt-%d/partial-%d" % (round_folder(folder, round), attempt, task_index)


def stream_name(folder: str, task_index: int, stream: str, round: int = 0) -> str:
    """The whole of a task's stdout or stderr, where it was too long for the outcome."""
    return "%s/%s-%d.txt" % (round_folder(folder, round), stream, task_index)


def binding(kind: str, call_id: str, task_index: int = 0, item: Optional[int] = None) -> bytes:
    """What an envelope is sealed for: its kind, the call, the task and, for one item of many, the item."""
    return json.dumps([kind, call_id, task_index, item]).encode()


def chunk_binding(call_id: str, task_index: int, round: int, number: int) -> bytes:
    """What a chunk of a task's items is sealed for."""
    return json.dumps([ITEMS, call_id, task_index, round, number]).encode()


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


def seal(header: Mapping[str, object], parts: Mapping[str, Part], key: bytes, bound_to: bytes) -> bytes:
    """Everything of an envelope that precedes its parts: magic, header with the table of parts, seal."""
    table: List[List[object]] = []
    for name, part in parts.items():
        if isinstance(part, FilePart):
            table.append([name, part.size, part.sha256])
        else:
            table.append([name, len(part), hashlib.sha256(part).hexdigest()])
    text = json.dumps({**header, "parts": table}, separators=(",", ":")).encode()
    if len(text) > MAX_HEADER_BYTES:
        raise WireError("a header of %d bytes is more than the %d allowed" % (len(text), MAX_HEADER_BYTES))
    start = MAGIC + len(text).to_bytes(4, "big") + text
    return start + _seal_of(start, key, bound_to)


def chunks(prefix: bytes, parts: Mapping[str, Part]) -> Iterator[bytes]:
    """The bytes of a whole envelope, in order; parts in files are read as they are needed."""
    yield prefix
    for part in parts.values():
        if isinstance(part, FilePart):
            if part.size:
                for chunk in _chunks_of_file(part.path, part.offset, part.size):
                    yield chunk
        elif part:
            yield part


def total_size(prefix: bytes, parts: Mapping[str, Part]) -> int:
    """The length in bytes of the envelope that `chunks` gives."""
    return len(prefix) + sum(p.size if isinstance(p, FilePart) else len(p) for p in parts.values())


def read_header(stream: BinaryIO, key: bytes, bound_to: bytes) -> Envelope:
    """Read and authenticate the header of the envelope that starts at the stream's position 0.

    Raises:
        UnknownVersionError: no envelope, or one of another version.
        TruncatedError: the stream ends too early.
        ForgedError: the seal does not fit `key` and `bound_to`.
    """
    stream.seek(0)
    start = stream.read(len(MAGIC) + 4)
    if start[: len(MAGIC)] != MAGIC[: len(start)]:
        raise UnknownVersionError("the object does not start as version %d of this package's format does" % MAGIC[-1])
    if len(start) < len(MAGIC) + 4:
        raise TruncatedError("the object ends within its first %d bytes" % (len(MAGIC) + 4))
    length = int.from_bytes(start[len(MAGIC) :], "big")
    if length > MAX_HEADER_BYTES:
        raise ForgedError("the object names a header of %d bytes" % length)
    text = stream.read(length)
    given = stream.read(SEAL_BYTES)
    if len(text) < length or len(given) < SEAL_BYTES:
        raise TruncatedError("the object ends within its header")
    if not hmac.compare_digest(given, _seal_of(start + text, key, bound_to)):
        raise ForgedError("the object's seal does not fit this call: it was changed, or made for another one")
    return _envelope(text, body_offset=len(start) + length + SEAL_BYTES)


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


def remove_key(environment: "os._Environ[str]") -> bytes:
    """Take the call's key out of the environment, before anything of the user's can read it there."""
    return bytes.fromhex(environment.pop(ENV_KEY))


def _seal_of(start: bytes, key: bytes, bound_to: bytes) -> bytes:
    framed = len(bound_to).to_bytes(4, "big") + bound_to
    return hmac.new(key, framed + start, hashlib.sha256).digest()


def _envelope(text: bytes, body_offset: int) -> Envelope:
    try:
        header = json.loads(text.decode())
        offset = 0
        parts = []
        for name, size, sha256 in header["parts"]:
            parts.append(PartEntry(str(name), offset, int(size), str(sha256)))
            offset += int(size)
            if int(size) < 0 or offset > MAX_BODY_BYTES:
                raise ValueError("the part %r has an impossible size" % name)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise WireError("the sealed header cannot be read: %s" % error) from error
    return Envelope(header, tuple(parts), body_offset)
