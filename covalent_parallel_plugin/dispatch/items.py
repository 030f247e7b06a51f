"""What the tasks of a map delivered, read and checked: items by their index, values as places in one file."""

from __future__ import annotations

import hashlib
import hmac
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO, cast

from .. import wire
from ..errors import OutcomeError
from ..rules import MAX_PARALLEL
from .outcome import Outcome, Raised, count_of, outcome_from, raised_of, read_envelope, text_of, writable

# No map has more items than this: their indices are numbers that something was counted with
MOST_ITEMS = 2**31
COPY_BYTES = 1024 * 1024
# Of each stream a task keeps the first and the last of this many bytes (runner.report.KEPT_BYTES)
KEPT_BYTES = 1024 * 1024
IN_MEMORY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """One item that ended: where its value's pickle lies in the store, or what it raised.

    Attributes:
        arguments: the item's, shortened; of those that raised.
        shown: its value as text, of the first few.
        stdout, stderr: what it printed.
    """

    index: int
    offset: int = 0
    size: int = 0
    raised: Raised | None = None
    arguments: str = ""
    shown: str = ""
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True)
class Running:
    """The item during which a process was killed, with its arguments shortened and what it had printed."""

    index: int
    arguments: str
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True)
class TaskReport:
    """What one task delivered.

    Attributes:
        total: how many items there are in all; None where the task never knew.
        chunks: how many objects with items of its own came before its outcome.
        ended: how its process ended if not well: a killed one, or a hook that raised.
        running: the item it was killed in.
        stdout, stderr: the whole task's.
    """

    items: Sequence[Item] = ()
    total: int | None = None
    chunks: int = 0
    ended: Outcome | None = None
    running: Running | None = None
    cloudpickle: str = ""
    python: str = ""
    stdout: str = ""
    stderr: str = ""


@dataclass
class ValueStore:
    """The values of all items in one file without a name, in the order in which they came."""

    folder: str
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _size: int = 0

    def __post_init__(self) -> None:
        self._file = cast(
            IO[bytes],
            tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES, dir=self.folder),  # noqa: SIM115
        )

    @property
    def size(self) -> int:
        """How many bytes are in it."""
        return self._size

    def add(self, chunks: Iterator[bytes]) -> int:
        """Append; returns where it begins."""
        with self._lock:
            start = self._size
            self._file.seek(start)
            for chunk in chunks:
                self._file.write(chunk)
                self._size += len(chunk)
            return start

    def read(self, offset: int, size: int) -> Iterator[bytes]:
        """The bytes there."""
        while size > 0:
            with self._lock:
                self._file.seek(offset)
                chunk = self._file.read(min(size, COPY_BYTES))
            if not chunk:
                raise OutcomeError(f"the file of values in {self.folder} is shorter than it was")
            offset += len(chunk)
            size -= len(chunk)
            yield chunk

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def read_task(stream: BinaryIO, key: bytes, call_id: str, task: int, round: int, store: ValueStore) -> TaskReport:
    """The outcome of one task of a map, with its values moved to the store.

    Raises:
        OutcomeError: it is not the one that this task sealed, or makes no sense.
    """
    binding = wire.binding(wire.OUTCOME, call_id, task, round or None)
    try:
        envelope = read_envelope(stream, key, binding)
        header: Mapping[str, Any] = envelope.header
        if header["outcome"] != wire.ITEMS:
            # It never came to its items.
            outcome = outcome_from(stream, envelope)
            return TaskReport(ended=outcome, stdout=outcome.stdout, stderr=outcome.stderr)
        stdout, stderr = (wire.read_part(stream, envelope, name) for name in ("stdout", "stderr"))
        output = _Output(stdout, stderr, header["streams"])
        ended, running = None, None
        if header.get("ended"):
            rest = {"python": header["python"], "attempt": header["attempt"], **header["ended"]}
            ended = outcome_from(stream, envelope._replace(header=rest))
            if rest.get("running"):
                index, arguments, span = rest["running"]
                running = Running(_index(index), writable(arguments), *output.of(span))
        total = header["count"]
        return TaskReport(
            items=_items(stream, envelope, store, output),
            total=None if total is None else _index(total),
            chunks=count_of(header["chunks"]),
            ended=ended,
            running=running,
            cloudpickle=writable(header.get("cloudpickle", "")),
            python=writable(header["python"]),
            stdout=text_of(stdout),
            stderr=text_of(stderr),
        )
    except wire.WireError as error:
        raise OutcomeError(f"the outcome of task {task} in the bucket is refused: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise OutcomeError(
            f"the outcome of task {task} in the bucket makes no sense: {type(error).__name__}: {error!s:.300}"
        ) from error


def read_chunk(
    stream: BinaryIO, key: bytes, call_id: str, task: int, round: int, number: int, store: ValueStore
) -> TaskReport:
    """Items that a task delivered before its end, with their values moved to the store.

    Raises:
        OutcomeError: they are not what this task sealed, or make no sense.
    """
    try:
        envelope = read_envelope(stream, key, wire.chunk_binding(call_id, task, round, number))
        stdout, stderr = (wire.read_part(stream, envelope, name) for name in ("stdout", "stderr"))
        output = _Output(stdout, stderr, cast(Sequence[object], envelope.header["streams"]))
        return TaskReport(_items(stream, envelope, store, output), stdout=text_of(stdout), stderr=text_of(stderr))
    except wire.WireError as error:
        raise OutcomeError(f"items of task {task} in the bucket are refused: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise OutcomeError(
            f"items of task {task} in the bucket make no sense: {type(error).__name__}: {error!s:.300}"
        ) from error


class _Output:
    """A task's streams as far as they were kept: of a long one the beginning and the end."""

    def __init__(self, stdout: bytes, stderr: bytes, sizes: Sequence[object]):
        first, second = sizes
        self._kept = [(stdout, count_of(first)), (stderr, count_of(second))]

    def of(self, span: Sequence[object]) -> tuple[str, str]:
        bounds = [count_of(bound) for bound in span]
        return self._text(0, *bounds[:2]), self._text(1, *bounds[2:])

    def _text(self, stream: int, start: int, end: int) -> str:
        data, size = self._kept[stream]
        if size <= 2 * KEPT_BYTES or start == end:
            return text_of(data[start:end])
        # What follows the line in the middle is counted from the end; that line stands for what was left out.
        if start > KEPT_BYTES:
            start = max(start - size + len(data), KEPT_BYTES)
        if end > KEPT_BYTES:
            end = max(end - size, -KEPT_BYTES) + len(data)
        return text_of(data[start:end])


def _items(stream: BinaryIO, envelope: wire.Envelope, store: ValueStore, output: _Output) -> list[Item]:
    table = cast(list[Mapping[str, Any]], envelope.header["table"])
    if not isinstance(table, list) or not all(isinstance(row, dict) for row in table):
        raise TypeError("its table is no list of rows")
    entry = envelope.entry("values")
    if sum(count_of(row.get("size", 0)) for row in table) != entry.size:
        raise ValueError("its table does not fit its values")
    # The digest is checked on the way: what does not have it is in the store, and nothing refers to it.
    offset = store.add(_checked(stream, envelope, entry))
    items = []
    for row in table:
        stdout, stderr = output.of(row["output"])
        size = count_of(row.get("size", 0))
        items.append(
            Item(
                index=_index(row["index"]),
                offset=offset,
                size=size,
                raised=raised_of(row["exception"]) if "exception" in row else None,
                arguments=writable(row.get("arguments", "")),
                shown=writable(row.get("shown", "")),
                stdout=stdout,
                stderr=stderr,
            )
        )
        offset += size
    return items


def _checked(stream: BinaryIO, envelope: wire.Envelope, entry: wire.PartEntry) -> Iterator[bytes]:
    digest = hashlib.sha256()
    stream.seek(envelope.body_offset + entry.offset)
    left = entry.size
    while left > 0:
        chunk = stream.read(min(left, COPY_BYTES))
        if not chunk:
            raise wire.TruncatedError("the object ends within its values")
        left -= len(chunk)
        digest.update(chunk)
        yield chunk
    if not hmac.compare_digest(digest.hexdigest(), entry.sha256):
        raise wire.ForgedError("the values are not the ones that were sealed")


def _index(value: object) -> int:
    number = count_of(value)
    if number > MOST_ITEMS:
        raise ValueError(f"{number} is no item's index")
    return number


def compressed(indices: Sequence[int]) -> str:
    """Indices as runs of equal steps, such as "3,8-20/4" for 3, 8, 12, 16, 20; the order is kept."""
    parts = []
    position = 0
    while position < len(indices):
        start = indices[position]
        end = position + 1
        step = indices[end] - start if end < len(indices) else 0
        while step > 0 and end < len(indices) and indices[end] - indices[end - 1] == step:
            end += 1
        if end - position >= 3:
            parts.append(f"{start}-{indices[end - 1]}" + (f"/{step}" if step > 1 else ""))
            position = end
        else:
            parts.append(str(start))
            position += 1
    return ",".join(parts)


def tasks_for(items: int | None, max_parallel: int) -> int:
    """How many tasks a map is split into."""
    most = min(max_parallel, MAX_PARALLEL)
    return most if items is None else max(1, min(items, most))
