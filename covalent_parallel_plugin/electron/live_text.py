"""What attempts had delivered of their output while they ran: its objects, fetched and checked, and put together."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..cloud.interfaces import Bucket
from ..cloud.threads import map_in_threads
from ..protocol.envelope import WireError
from ..protocol.identity import TaskAddress
from ..protocol.live_part import LARGEST_LIVE_BYTES, ItemSpan, LivePart, LiveStream, read_live_part
from ..protocol.object_names import ObjectName, live_folder, parse_name
from .outcome import decode_output

logger = logging.getLogger(__name__)

# The newest parts of one attempt are read: so many, and so many bytes at most
MOST_PARTS = 500
MOST_BYTES = 4 * 1024 * 1024
READS_AT_ONCE = 4


@dataclass(frozen=True)
class ItemTexts:
    """What a task of a map printed: each item's stdout and stderr, and those outside all items."""

    items: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    outside: tuple[str, str] = ("", "")


def listed_parts(store: Bucket, address: TaskAddress) -> dict[int, list[ObjectName]]:
    """The newest live parts of a task by attempt, those of each in order.

    Raises:
        CloudError: Google refused, or could not be reached.
    """
    found: dict[int, list[tuple[ObjectName, int]]] = {}
    for stored in store.list(f"{live_folder(address.call.folder, address.round)}{address.task}-"):
        name = parse_name(stored.name)
        # What is larger somebody else has written.
        if name is not None and name.kind == "live" and stored.size <= LARGEST_LIVE_BYTES:
            found.setdefault(name.attempt, []).append((name, stored.size))
    return {attempt: _newest(parts) for attempt, parts in found.items()}


def _newest(parts: list[tuple[ObjectName, int]]) -> list[ObjectName]:
    parts.sort(key=lambda part: (part[0].number, part[0].done))
    chosen: list[ObjectName] = []
    room = MOST_BYTES
    for name, size in reversed(parts[-MOST_PARTS:]):
        room -= size
        if room < 0:
            break
        chosen.append(name)
    return chosen[::-1]


def read_parts(store: Bucket, address: TaskAddress, names: Sequence[ObjectName]) -> list[LivePart]:
    """Read live parts of a task; those that it did not write are skipped, with one warning.

    Raises:
        CloudError: Google refused, or could not be reached.
    """
    parts, refused = checked_parts(store, address, names)
    if refused:
        logger.warning(
            "%d objects in the bucket have names of a task's output, and it did not write them; they are skipped: %s",
            len(refused),
            refused[0],
        )
    return parts


def checked_parts(
    store: Bucket, address: TaskAddress, names: Sequence[ObjectName]
) -> tuple[list[LivePart], list[WireError]]:
    """Read live parts of a task; returns also what is wrong with those that it did not write.

    Raises:
        CloudError: Google refused, or could not be reached.
    """

    def read(name: ObjectName) -> LivePart | WireError | None:
        object_name = address.live_name(name.attempt, name.number, name.done, name.failed)
        with io.BytesIO() as stream:
            if not store.get(object_name, stream):
                return None
            try:
                return read_live_part(stream, address, name.attempt, name.number)
            except WireError as error:
                return type(error)(f"gs://{store.bucket_name}/{object_name}: {error}")

    found = list(map_in_threads(read, names, READS_AT_ONCE))
    parts = [one for one in found if isinstance(one, LivePart)]
    return parts, [one for one in found if isinstance(one, WireError)]


def joined(parts: Iterable[LivePart]) -> tuple[str, str]:
    """Stdout and stderr of the parts of one attempt, with a note where bytes are missing."""
    texts = [bytearray(), bytearray()]
    for run in _runs(parts):
        for position, text in enumerate(texts):
            end = 0
            for part in run:
                stream = part.streams[position]
                end = _append(text, stream, stream.start, stream.end, end)
    return decode_output(bytes(texts[0])), decode_output(bytes(texts[1]))


def by_item(parts: Iterable[LivePart]) -> ItemTexts:
    """The same by item, as far as the parts report items."""
    items: dict[int, tuple[bytearray, bytearray]] = {}
    outside = (bytearray(), bytearray())
    for run in _runs(parts):
        for position in range(2):
            ends: dict[int, int] = {}
            end = 0
            for part in run:
                stream = part.streams[position]
                for item, start, stop in _pieces(part, position):
                    start = max(start, end)
                    if start >= stop:
                        continue
                    text = outside[position]
                    if item >= 0:
                        text = items.setdefault(item, (bytearray(), bytearray()))[position]
                    # What is missing in between is of the item only where it continues.
                    ends[item] = _append(text, stream, start, stop, ends.get(item, start) if item >= 0 else start)
                end = max(end, stream.end)
    texts = {item: (decode_output(bytes(out)), decode_output(bytes(err))) for item, (out, err) in items.items()}
    return ItemTexts(texts, (decode_output(bytes(outside[0])), decode_output(bytes(outside[1]))))


def _runs(parts: Iterable[LivePart]) -> list[list[LivePart]]:
    """The parts of each process that had this attempt's number, in the order in which these began."""
    runs: dict[str, list[LivePart]] = {}
    for part in parts:
        runs.setdefault(part.run, []).append(part)
    return list(runs.values())


def _pieces(part: LivePart, position: int) -> list[tuple[int, int, int]]:
    """Whose output of a stream lies from where to where in a part; -1 for no item's."""
    stream = part.streams[position]
    found, at = [], stream.start
    for span in sorted(part.items, key=lambda span: span[1 + 2 * position]):
        start, stop = _bounds(span, position)
        if start > at:
            found.append((-1, at, start))
        if stop > start:
            found.append((span.item, max(start, at), stop))
        at = max(at, stop)
    return [*found, (-1, at, stream.end)] if at < stream.end else found


def _bounds(span: ItemSpan, position: int) -> tuple[int, int]:
    return (span.stderr_start, span.stderr_end) if position else (span.stdout_start, span.stdout_end)


def _append(text: bytearray, stream: LiveStream, start: int, stop: int, end: int) -> int:
    """Add what a stream has between two offsets, of which the text has all before `end`; the text's new end."""
    if start > end:
        text += b"\n... %d bytes left out ...\n" % (start - end)
    start = max(start, end)
    text += stream.data[start - stream.start : max(stop, start) - stream.start]
    return max(end, stop)
