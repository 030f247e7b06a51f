"""One task of a map, seen from the supervisor: what the items left is delivered, also where the process was killed.

Values travel in the task's outcome. Those of a long task travel before it, in chunks, so that a machine that is lost
takes no more than the last minute with it; a new attempt goes on where the chunks end.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional, Sequence

from .. import wire
from . import bucket as storage
from .items import VALUES_FILE, Note, Notes, read_notes, table_of
from .report import Ending, Packed, kept, outcome_of

if TYPE_CHECKING:
    from .streams import Stream

# What is noted for longer than this, or is larger, is delivered while the task goes on
CHUNK_SECONDS = 60.0
CHUNK_BYTES = 64 * 1024 * 1024


class Place(NamedTuple):
    """Whose items they are: the folder of the call, its id and key, the task, and which of the call's jobs this is."""

    folder: str
    call_id: str
    key: bytes
    task: int
    round: int


class Delivery:
    """Delivers what a task's items left in `folder`, part by part.

    Args:
        open_bucket: makes a connection of its own: chunks are sent from another thread than the outcome.
    """

    def __init__(self, place: Place, folder: str, open_bucket: Callable[[], storage.Bucket]):
        self._place = place
        self._folder = folder
        self._open_bucket = open_bucket
        self._sent_items = 0
        self._sent_bytes = 0
        self._sent_at = time.monotonic()
        self._thread = None  # type: Optional[threading.Thread]
        self.chunks = 0

    def skip_delivered(self, bucket: storage.Bucket) -> int:
        """Find the chunks that an earlier attempt has delivered; returns how many items they hold."""
        position = 0
        while True:
            table = self._table_of_chunk(bucket, self.chunks)
            if table is None:
                return position
            position += len(table)
            self.chunks += 1

    def tick(self, streams: "Sequence[Stream]") -> None:
        """Send a chunk from a thread, where there is enough for one."""
        if self._thread is not None and self._thread.is_alive():
            return
        size = os.path.getsize(os.path.join(self._folder, VALUES_FILE)) if self._has_values() else 0
        if time.monotonic() - self._sent_at >= CHUNK_SECONDS or size - self._sent_bytes >= CHUNK_BYTES:
            self._thread = threading.Thread(target=self._send_quietly, args=(streams,))
            self._thread.start()

    def send_chunk(self, streams: "Sequence[Stream]") -> None:
        """Send what was noted and not sent yet.

        Raises:
            BucketError: it could not be sent.
        """
        self._sent_at = time.monotonic()
        fresh = read_notes(self._folder).ended[self._sent_items :]
        if not fresh:
            return
        bucket = self._open_bucket()
        try:
            self._send(bucket, fresh, streams)
        finally:
            bucket.close()

    def rest(self, notes: Notes) -> "List[Note]":
        """What was noted and is in no chunk."""
        if self._thread is not None:
            self._thread.join()
        return notes.ended[self._sent_items :]

    def values(self, notes: Sequence[Note]) -> wire.FilePart:
        """The values of these notes, which follow those that were sent."""
        size = sum(note.size for note in notes)
        return wire.span_part(os.path.join(self._folder, VALUES_FILE), self._sent_bytes, size)

    def _send(self, bucket: storage.Bucket, fresh: "List[Note]", streams: "Sequence[Stream]") -> None:
        while fresh:
            place = self._place
            header = {
                "kind": wire.ITEMS,
                "call_id": place.call_id,
                "task_index": place.task,
                "table": table_of(fresh, spans(streams)),
            }  # type: Dict[str, object]
            parts = {"values": self.values(fresh)}  # type: Dict[str, wire.Part]
            for name in ("stdout", "stderr"):
                parts[name] = kept(os.path.join(self._folder, name))
            binding = wire.chunk_binding(place.call_id, place.task, place.round, self.chunks)
            prefix = wire.seal(header, parts, place.key, binding)
            name = wire.chunk_name(place.folder, place.task, place.round, self.chunks)
            size = wire.total_size(prefix, parts)
            if bucket.put(name, size, lambda prefix=prefix, parts=parts: wire.chunks(prefix, parts)):  # type: ignore[misc]
                count = len(fresh)
            else:
                # Another run of this very attempt was here before: its chunk counts, however many items it has.
                count = min(len(self._table_of_chunk(bucket, self.chunks) or ()), len(fresh))
            self._sent_bytes += sum(note.size for note in fresh[:count])
            self._sent_items += count
            self.chunks += 1
            fresh = fresh[count:] if count else []

    def _send_quietly(self, streams: "Sequence[Stream]") -> None:
        try:
            self.send_chunk(streams)
        except storage.BucketError:
            # The next chunk, or the outcome, takes these items along.
            return

    def _table_of_chunk(self, bucket: storage.Bucket, number: int) -> "Optional[List[object]]":
        place = self._place
        with tempfile.TemporaryFile(dir=self._folder) as file:
            try:
                bucket.get(wire.chunk_name(place.folder, place.task, place.round, number), file)
            except storage.BucketError as error:
                if error.status == 404:
                    return None
                raise
            binding = wire.chunk_binding(place.call_id, place.task, place.round, number)
            header = wire.read_header(file, place.key, binding).header
        table = header["table"]
        return table if isinstance(table, list) else []

    def _has_values(self) -> bool:
        return os.path.exists(os.path.join(self._folder, VALUES_FILE))


def spans(streams: "Sequence[Stream]") -> Dict[int, "List[int]"]:
    """For each item where its stdout begins and ends, and where its stderr does."""
    both = [stream.spans() for stream in streams]
    found = {}  # type: Dict[int, List[int]]
    for index in set().union(*both) if both else ():
        found[index] = [offset for part in both for offset in part.get(index, (0, 0))]
    return found


def outcome_of_items(folder: str, ending: Ending, streams: "Sequence[Stream]", delivery: Delivery) -> Packed:
    """Header and parts of a task's outcome: the items that ended, and how the process did if it did not end well."""
    header, parts = outcome_of(folder, ending)
    notes = read_notes(folder)
    if notes.total is None and header["outcome"] != wire.KILLED:
        # It never came to the items: a hook raised, a module is missing.
        return header, parts
    rest = delivery.rest(notes)
    whole = {"outcome": wire.ITEMS, "count": notes.total, "chunks": delivery.chunks}  # type: Dict[str, object]
    whole["table"] = table_of(rest, spans(streams))
    whole["peak_memory_bytes"] = header.pop("peak_memory_bytes")
    whole["streams"] = [os.path.getsize(os.path.join(folder, name)) for name in ("stdout", "stderr")]
    if header["outcome"] != wire.VALUE:
        whole["ended"] = {**header, "running": notes.running}
    else:
        whole["cloudpickle"] = header["cloudpickle"]
    return whole, {"stdout": parts["stdout"], "stderr": parts["stderr"], "values": delivery.values(rest)}
