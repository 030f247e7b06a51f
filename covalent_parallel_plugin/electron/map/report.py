"""What the tasks of a map delivered, read and checked: items by their index, values as places in one file."""

from __future__ import annotations

import hashlib
import hmac
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, cast

from ...batch.attempt_records import Measured
from ...errors import OutcomeError
from ...protocol.envelope import ITEMS, OUTCOME, Envelope, ForgedError, PartEntry, TruncatedError, WireError
from ...protocol.identity import TaskAddress
from ...protocol.limits import KEPT_BYTES
from ..measured import is_number, measured_of
from ..outcome import (
    Outcome,
    decode_output,
    outcome_from,
    parse_count,
    raised_of,
    read_envelope,
    read_output,
    storable_text,
)
from ..traceback_source import SourceText, raised_with_lines, stack_with_lines, with_source_lines
from .item_table import COPY_BYTES, Item, ItemTable, ValueStore

# No map has more items than this: of each one that is missing the dispatcher holds the index
MOST_ITEMS = 10_000_000


@dataclass(frozen=True)
class InterruptedItem:
    """The item during which a process was killed: its arguments shortened, what it had printed, and when it began."""

    index: int
    arguments: str
    stdout: str = ""
    stderr: str = ""
    begin_ms: int = 0


@dataclass(frozen=True)
class TaskReport:
    """What one task delivered.

    Attributes:
        total: how many items there are in all; None where the task never knew.
        chunks: how many objects with items of its own came before its outcome.
        ended: how its process ended if not well: a killed one, or a hook that raised.
        running: the item it was killed in.
        stdout, stderr: what it printed outside its items: hooks, mostly.
        task, round: which task of which of the call's jobs it was.
        begin_ms, took_ms: when each of the items began, in milliseconds since 1970, and how long it took.
        measured: what its attempt measured; None where others delivered after it.
        live: as an outcome's.
    """

    items: ItemTable = field(default_factory=ItemTable)
    total: int | None = None
    chunks: int = 0
    ended: Outcome | None = None
    running: InterruptedItem | None = None
    cloudpickle: str = ""
    python: str = ""
    stdout: str = ""
    stderr: str = ""
    task: int = 0
    round: int = 0
    begin_ms: Sequence[int] = ()
    took_ms: Sequence[int] = ()
    measured: Measured | None = None
    live: str = ""

    @property
    def has_frames(self) -> bool:
        """Whether there are tracebacks or stacks in it."""
        return bool(self.items.raised) or self.ended is not None


def report_with_source_lines(report: TaskReport, source: SourceText) -> TaskReport:
    """Return what a task of a map delivered with source lines in the tracebacks and stacks of its items."""
    report.items.change_raised(lambda raised: raised_with_lines(raised, source))
    ended, running = report.ended, report.running
    if ended is not None and running is not None:
        running = replace(running, stderr=stack_with_lines(running.stderr, ended.origin, source))
    return replace(report, running=running, ended=None if ended is None else with_source_lines(ended, source))


def read_task(
    stream: BinaryIO, address: TaskAddress, store: ValueStore, envelope: Envelope | None = None
) -> TaskReport:
    """The outcome of one task of a map, with its values moved to the store; `envelope` is its header where known.

    Raises:
        OutcomeError: it is not the one that this task sealed, or makes no sense.
    """
    _, task, round = address
    try:
        envelope = read_envelope(stream, address.call.key, address.binding(OUTCOME), envelope)
        header: Mapping[str, Any] = envelope.header
        if header["outcome"] != ITEMS:
            # It never came to its items.
            outcome = outcome_from(stream, envelope)
            return TaskReport(
                ended=outcome,
                stdout=outcome.stdout,
                stderr=outcome.stderr,
                task=task,
                round=round,
                live=outcome.live,
                measured=outcome.measured,
            )
        output = _Output(stream, envelope, store)
        ended, running = None, None
        if header.get("ended"):
            common = ("python", "attempt", "peak_memory_bytes")
            rest = {name: header.get(name) for name in common} | header["ended"]
            ended = outcome_from(stream, envelope._replace(header=rest))
            if rest.get("running"):
                index, arguments, (out_start, out_end, err_start, err_end) = rest["running"]
                stdout, stderr = output.text(0, [(out_start, out_end)]), output.text(1, [(err_start, err_end)])
                begin_ms = rest.get("running_ms")
                begin_ms = int(begin_ms) if is_number(begin_ms) else 0
                running = InterruptedItem(_index(index), storable_text(arguments), stdout, stderr, begin_ms)
        total = header["count"]
        return TaskReport(
            items=_items(stream, envelope, store, output),
            total=None if total is None else _index(total),
            chunks=parse_count(header["chunks"]),
            ended=ended,
            running=running,
            cloudpickle=storable_text(header.get("cloudpickle", "")),
            python=storable_text(header["python"]),
            stdout=output.outside(0),
            stderr=output.outside(1),
            task=task,
            round=round,
            **_times(header["table"]),
            measured=measured_of(header),
            live=storable_text(header.get("live", "")),
        )
    except WireError as error:
        raise OutcomeError(f"the outcome of task {task} in the bucket is refused: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise OutcomeError(
            f"the outcome of task {task} in the bucket makes no sense: {type(error).__name__}: {error!s:.300}"
        ) from error


def read_chunk(
    stream: BinaryIO, address: TaskAddress, number: int, store: ValueStore, envelope: Envelope | None = None
) -> TaskReport:
    """Items that a task delivered before its end, with their values moved to the store.

    Raises:
        OutcomeError: they are not what this task sealed, or make no sense.
    """
    _, task, round = address
    try:
        envelope = read_envelope(stream, address.call.key, address.chunk_binding(number), envelope)
        output = _Output(stream, envelope, store)
        items = _items(stream, envelope, store, output)
        times = _times(cast(Mapping[str, Any], envelope.header["table"]))
        return TaskReport(items, stdout=output.outside(0), stderr=output.outside(1), task=task, round=round, **times)
    except WireError as error:
        raise OutcomeError(f"items of task {task} in the bucket are refused: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise OutcomeError(
            f"items of task {task} in the bucket make no sense: {type(error).__name__}: {error!s:.300}"
        ) from error


@dataclass(frozen=True)
class PrintedItems:
    """Stdout and stderr of items by their index, and of what a task printed outside them.

    Attributes:
        chunks: how many objects with items of its own came before its outcome.
    """

    items: Mapping[int, tuple[str, str]]
    outside: tuple[str, str] = ("", "")
    chunks: int = 0


def read_printed(stream: BinaryIO, envelope: Envelope) -> PrintedItems | None:
    """What was printed, in an outcome or a chunk of a map whose header was checked; its values are not looked at.

    Returns:
        None where the task never came to its items.

    Raises:
        WireError, KeyError, TypeError, ValueError, OverflowError: it makes no sense.
    """
    header: Mapping[str, Any] = envelope.header
    if header.get("outcome", ITEMS) != ITEMS:
        return None
    output = _Output(stream, envelope, None)
    table = header["table"]
    indices, spots = _numbers(table["index"]), _numbers(table["output"])
    if len(spots) not in (0, 4 * len(indices)):
        raise ValueError("its table has columns of different lengths")
    places = {index: spots[4 * row : 4 * row + 4] for row, index in enumerate(indices) if spots}
    if header.get("ended") and header["ended"].get("running"):
        index, _, spot = header["ended"]["running"]
        places[_index(index)] = _numbers(spot)
    items = {
        index: (output.text(0, [spot[:2]]), output.text(1, [spot[2:4]])) for index, spot in places.items() if any(spot)
    }
    return PrintedItems(items, (output.outside(0), output.outside(1)), parse_count(header.get("chunks", 0)))


class _Output:
    """A task's streams as far as they were kept: of a long one the beginning and the end; moved to a store, if any."""

    def __init__(self, stream: BinaryIO, envelope: Envelope, store: ValueStore | None):
        header: Mapping[str, Any] = envelope.header
        self._sizes = [parse_count(size) for size in header["streams"]]
        self._outside = header["outside"]
        if len(self._sizes) != 2 or len(self._outside) != 2:
            raise ValueError("there are two streams")
        self._kept = [read_output(stream, envelope, name) for name in ("stdout", "stderr")]
        self._starts = [store.add(iter((data,))) if store is not None else 0 for data in self._kept]

    def place(self, stream: int, start: object, end: object) -> tuple[int, int]:
        """Offset and size in the store of what lies between these two offsets of the stream."""
        first, last = self._bounds(stream, parse_count(start), parse_count(end))
        return self._starts[stream] + first, max(last - first, 0)

    def text(self, stream: int, spots: Iterable[Sequence[object]]) -> str:
        """The text of these spots of the stream."""
        bounds = [self._bounds(stream, parse_count(start), parse_count(end)) for start, end in spots]
        if sum(max(last - first, 0) for first, last in bounds) > len(self._kept[stream]):
            raise ValueError("its spots of a stream overlap")
        return decode_output(b"".join(self._kept[stream][first:last] for first, last in bounds))

    def outside(self, stream: int) -> str:
        """What was printed outside all items."""
        return self.text(stream, self._outside[stream])

    def _bounds(self, stream: int, start: int, end: int) -> tuple[int, int]:
        size, there = self._sizes[stream], len(self._kept[stream])
        if size > 2 * KEPT_BYTES and start != end:
            # What follows the line in the middle is counted from the end; that line stands for what was left out.
            if start > KEPT_BYTES:
                start = max(start - size + there, KEPT_BYTES)
            if end > KEPT_BYTES:
                end = max(end - size, -KEPT_BYTES) + there
        return min(start, there), min(end, there)


def _items(stream: BinaryIO, envelope: Envelope, store: ValueStore, output: _Output) -> ItemTable:
    table = cast(Mapping[str, Any], envelope.header["table"])
    indices, sizes, spots = (_numbers(table[name]) for name in ("index", "size", "output"))
    if len(sizes) != len(indices) or len(spots) not in (0, 4 * len(indices)):
        raise ValueError("its table has columns of different lengths")
    entry = envelope.entry("values")
    if sum(sizes) != entry.size:
        raise ValueError("its table does not fit its values")
    raised = {
        parse_count(row): (raised_of(exception), storable_text(given)) for row, exception, given in table["raised"]
    }
    shown = {parse_count(row): storable_text(text) for row, text in table["shown"]}
    # The digest is checked on the way: what does not have it is in the store, and nothing refers to it.
    offset = store.add(_checked(stream, envelope, entry))
    items = ItemTable()
    for row, (index, size) in enumerate(zip(indices, sizes, strict=True)):
        stdout = output.place(0, *spots[4 * row : 4 * row + 2]) if spots else (0, 0)
        stderr = output.place(1, *spots[4 * row + 2 : 4 * row + 4]) if spots else (0, 0)
        exception, given = raised.get(row, (None, ""))
        items.append(Item(_index(index), offset, size, stdout, stderr, exception, given, shown.get(row, "")))
        offset += size
    return items


def _times(table: Mapping[str, Any]) -> dict[str, Any]:
    """When items began and how long they took; nothing where that makes no sense, since no value needs it."""
    columns = {name: table.get(name) for name in ("begin_ms", "took_ms")}
    rows = len(table["index"])
    is_sound = all(
        isinstance(each, list) and len(each) == rows and all(map(is_number, each)) for each in columns.values()
    )
    return {name: array("q", map(int, each or ())) for name, each in columns.items()} if is_sound else {}


def _numbers(column: object) -> list[int]:
    if not isinstance(column, list):
        raise TypeError("its table has a column that is not a list")
    return [parse_count(number) for number in column]


def _checked(stream: BinaryIO, envelope: Envelope, entry: PartEntry) -> Iterator[bytes]:
    digest = hashlib.sha256()
    stream.seek(envelope.body_offset + entry.offset)
    left = entry.size
    while left > 0:
        chunk = stream.read(min(left, COPY_BYTES))
        if not chunk:
            raise TruncatedError("the object ends within its values")
        left -= len(chunk)
        digest.update(chunk)
        yield chunk
    if not hmac.compare_digest(digest.hexdigest(), entry.sha256):
        raise ForgedError("the values are not the ones that were sealed")


def _index(value: object) -> int:
    number = parse_count(value)
    if number > MOST_ITEMS:
        raise ValueError(f"{number} is no item's index")
    return number
