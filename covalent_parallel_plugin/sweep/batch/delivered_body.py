"""The body of a task's outcome, or of an earlier attempt: fetched, checked against its seal, and written to files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ...batch.download_buffer import DownloadBuffer
from ...cloud.interfaces import Bucket
from ...errors import CacheDirError, OutcomeError
from ...protocol.envelope import MAPPED_BYTES, WireError, view_part
from ...protocol.sweep_identity import ATTEMPT, OUTCOME, SweepTaskAddress

# Beyond this a file takes what is fetched
IN_MEMORY_BYTES = MAPPED_BYTES


@dataclass(frozen=True)
class BodyAddress:
    """An outcome, or an attempt that was not the last: its object, what it is sealed for, and what it is called."""

    key: bytes
    object_name: str
    binding: bytes
    kind: str
    title: str

    @classmethod
    def outcome(cls, address: SweepTaskAddress, task: str) -> BodyAddress:
        """Return the address of a task's outcome."""
        name = address.outcome_name
        return cls(address.sweep.key, name, address.outcome_binding, OUTCOME, f"the outcome of {task}, {name},")

    @classmethod
    def attempt(cls, address: SweepTaskAddress, task: str, attempt: int, token: str) -> BodyAddress:
        """Return the address of one of its attempts that was not the last."""
        name, binding = address.attempt_name(attempt, token), address.attempt_binding(attempt, token)
        return cls(address.sweep.key, name, binding, ATTEMPT, f"the attempt {attempt} of {task}, {name},")

    def refuse(self, error: object) -> NoReturn:
        """Raise OutcomeError: it is there and not to be used."""
        raise OutcomeError(f"{self.title} is refused: {error}")


@dataclass(frozen=True)
class DeliveredFile:
    """A file of a task's folder: its path below it, bytes, digest, mode, and time of its last change in ns."""

    path: str
    size: int
    sha256: str
    mode: int
    mtime_ns: int


@dataclass(frozen=True)
class DeliveredBody:
    """What the sealed header of a body says.

    Attributes:
        row: the fields of the task's row.
        left: names of links, sockets and devices.
    """

    row: dict[str, Any]
    result: dict[str, Any] | None
    left: tuple[str, ...]
    files: tuple[DeliveredFile, ...]


class _HeaderRead(Exception):
    """The header is there, and nothing else is asked for."""


class _HeaderBuffer(DownloadBuffer):
    """Ends the transfer when the header is there."""

    def write(self, data: bytes) -> int:
        written = super().write(data)
        if self.envelope is not None:
            raise _HeaderRead
        return written


def fetch_header(store: Bucket, address: BodyAddress, folder: Path) -> DeliveredBody:
    """Fetch what the header says, and no more of the body.

    Raises:
        OutcomeError: it is gone, or not the one that was sealed.
        OSError: it does not fit into `folder`. CloudError: it could not be read.
    """
    with _HeaderBuffer(str(folder), address.key, address.binding, address.title, IN_MEMORY_BYTES) as arrival:
        try:
            with disk_errors():
                _fetch(arrival, store, address)
        except _HeaderRead:
            pass
        return _read(arrival, address)


def fetch_body(store: Bucket, address: BodyAddress, folder: Path, streams: Mapping[str, Path]) -> DeliveredBody:
    """Fetch a body and write its streams to files, which must not be there; raises as `fetch_header`."""
    with DownloadBuffer(str(folder), address.key, address.binding, address.title, IN_MEMORY_BYTES) as arrival:
        with disk_errors():
            _fetch(arrival, store, address)
        body = _read(arrival, address)
        for name, path in streams.items():
            try:
                assert arrival.envelope is not None  # `_read` has seen it
                data = view_part(arrival.file, arrival.envelope, name)
            except WireError as error:
                address.refuse(error)
            with path.open("xb") as file:
                file.write(data)
        return body


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise what this machine's disk says as it is: the store makes an error of its own of it."""
    try:
        yield
    except CacheDirError as error:
        raise error.__cause__ or error from error


def _fetch(arrival: DownloadBuffer, store: Bucket, address: BodyAddress) -> None:
    if not arrival.fetch(store, address.object_name):
        raise OutcomeError(f"{address.title} is gone from gs://{store.bucket_name}")


def _read(arrival: DownloadBuffer, address: BodyAddress) -> DeliveredBody:
    if arrival.envelope is None:
        address.refuse("it ends within its header")
    header: Mapping[str, Any] = arrival.envelope.header
    try:
        if header["kind"] != address.kind:
            raise ValueError(f"it is not a valid {address.kind}")
        if not isinstance(header["row"], dict) or not isinstance(header["result"], dict | None):
            raise TypeError("row and result are not objects")
        body = DeliveredBody(
            header["row"],
            header["result"],
            tuple(str(name) for name in header["left"]),
            tuple(DeliveredFile(**file) for file in header["files"]),
        )
        _check_files(body.files)
    except (KeyError, TypeError, ValueError) as error:
        address.refuse(f"its header cannot be read: {error!r:.300}")
    return body


def _check_files(files: tuple[DeliveredFile, ...]) -> None:
    """Raise ValueError for a path that is no file's below a folder, or of two files, or of a file and a folder."""
    if not all(isinstance(file.path, str) and isinstance(file.sha256, str) for file in files):
        raise TypeError("a path or a digest is not text")
    paths = {file.path for file in files}
    for file in files:
        parts = file.path.split("/")
        above = {"/".join(parts[:count]) for count in range(1, len(parts))}
        if {"", ".", ".."} & set(parts) or "\0" in file.path or above & paths:
            raise ValueError(f"{file.path!r} is not a path of a file")
        if not all(isinstance(number, int) for number in (file.size, file.mode, file.mtime_ns)) or file.size < 0:
            raise ValueError(f"{file.path!r} has an impossible size, mode or time")
    if len(paths) < len(files):
        raise ValueError("two files have one path")
