"""One task of a map, seen from the supervisor: what the items left is delivered, also where the process was killed.

Values travel in the task's outcome. Those of a long task travel before it, in chunks, so that a machine that is lost
takes no more than the last minute with it; a new attempt continues where the chunks end.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, cast

from ..protocol import envelope
from ..protocol.identity import TaskAddress
from . import bucket_http as storage
from .electron_files import ElectronFiles
from .map_items import Note, Notes, NotesReader, table_of
from .outcome_report import Ending, Packed, head_and_tail, outcome_of

if TYPE_CHECKING:
    from .output_capture import Stream

# What is noted for longer than this, or is larger, is delivered while the task goes on
CHUNK_SECONDS = 60.0
CHUNK_BYTES = 64 * 1024 * 1024
# What an object says of its items besides their values is in its header, which may have MAX_HEADER_BYTES: many
# long tracebacks go into several objects
TABLE_BYTES = 8 * 1024 * 1024
ROW_BYTES = 400


class MapDelivery:
    """Delivers what a task's items left in `files`, part by part.

    Args:
        open_bucket: makes a connection of its own: chunks are sent from another thread than the outcome.
        chunk_seconds, chunk_bytes: after how long, or past which size, a chunk is sent.
    """

    def __init__(
        self,
        address: TaskAddress,
        files: ElectronFiles,
        open_bucket: Callable[[], storage.BucketClient],
        chunk_seconds: float = CHUNK_SECONDS,
        chunk_bytes: int = CHUNK_BYTES,
    ):
        self._address = address
        self._files = files
        self._notes = NotesReader(files.text.path)
        self._open_bucket = open_bucket
        self._chunk_seconds = chunk_seconds
        self._chunk_bytes = chunk_bytes
        self._sent_items = 0
        self._sent_bytes = 0
        # How far the output of the sent items goes, in stdout and in stderr
        self.sent_output = (0, 0)
        self._sent_at = time.monotonic()
        self._thread = None  # type: Optional[threading.Thread]
        self.chunks = 0
        # Of earlier attempts, and how many notes of this one are counted
        self._delivered = 0
        self._failed = 0
        self._counted = 0

    def skip_delivered(self, bucket: storage.BucketClient) -> int:
        """Find the chunks that an earlier attempt has delivered; returns how many items they hold."""
        while True:
            table = self._table_in_chunk(bucket, self.chunks)
            if table is None:
                return self._delivered
            self._delivered += len(table["index"])
            self._failed += len(table["raised"])
            self.chunks += 1

    def counts(self) -> "Tuple[int, int, Optional[int]]":
        """Return how many items have ended, earlier attempts' too, how many of them raised, and which runs."""
        notes = self.notes()
        self._failed += sum(note.exception is not None for note in notes.ended[self._counted :])
        self._counted = len(notes.ended)
        return self._delivered + self._counted, self._failed, None if notes.running is None else notes.running[0]

    def send_due_chunk(self, streams: "Sequence[Stream]") -> None:
        """Send a chunk from a thread, where there is enough for one."""
        if self._thread is not None and self._thread.is_alive():
            return
        size = os.path.getsize(self._files.value.path)
        if time.monotonic() - self._sent_at >= self._chunk_seconds or size - self._sent_bytes >= self._chunk_bytes:
            self._sent_at = time.monotonic()
            fresh = self._notes.read().ended[self._sent_items :]
            # What an item printed is in the pipes before it is noted as ended.
            for stream in streams:
                stream.pump()
            if fresh:
                self._thread = threading.Thread(target=self._send_quietly, args=(fresh, printed(streams)))
                self._thread.start()

    def send_unsent(self, streams: "Sequence[Stream]") -> None:
        """Send what was noted and not sent yet, after the end of the process.

        Raises:
            BucketError: it could not be sent.
        """
        fresh = self.unsent(self.notes())
        if fresh:
            self._send(fresh, printed(streams))

    def notes(self) -> Notes:
        """Return what the electron's process has noted so far."""
        return self._notes.read()

    def unsent_for_outcome(self, notes: Notes, output: "Printed") -> "List[Note]":
        """What is left for the outcome: the rest, unless that is too much and has gone into chunks as well.

        Raises:
            BucketError: they could not be sent.
        """
        rest = self.unsent(notes)
        if fitting(rest) < len(rest):
            self._send(rest, output)
        return notes.ended[self._sent_items :]

    def unsent(self, notes: Notes) -> "List[Note]":
        """What was noted and is in no chunk."""
        if self._thread is not None:
            self._thread.join()
        return notes.ended[self._sent_items :]

    def values(self, notes: Sequence[Note]) -> envelope.FilePart:
        """The values of these notes, which follow those that were sent."""
        size = sum(note.size for note in notes)
        return envelope.span_part(self._files.value.path, self._sent_bytes, size)

    def _send(self, fresh: "List[Note]", output: "Printed") -> None:
        bucket = self._open_bucket()
        try:
            while fresh:
                fresh = fresh[self._send_one(bucket, fresh[: fitting(fresh)], output) :]
        finally:
            bucket.close()

    def _send_one(self, bucket: storage.BucketClient, fresh: "List[Note]", output: "Printed") -> int:
        """Send the next chunk; returns how many of the notes are delivered by now."""
        address = self._address
        number = self.chunks
        start, end = self.sent_output, _end_of_output(self.sent_output, fresh, output.items)
        header = {
            "kind": envelope.ITEMS,
            "call_id": address.call.call_id,
            "task_index": address.task,
            "table": table_of(fresh, _counted_from(start, output.items)),
            "outside": [
                [[first - begin, last - begin] for first, last in spots if begin <= first and last <= finish]
                for spots, begin, finish in zip(output.outside, start, end)
            ],
            "streams": [end[0] - start[0], end[1] - start[1]],
        }  # type: Dict[str, object]
        parts: Dict[str, envelope.Part] = {
            name: head_and_tail(path, start[index], end[index])
            for index, (name, path) in enumerate(_streams_of(self._files))
        }
        # Last: what was printed can be read without them.
        parts["values"] = self.values(fresh)
        prefix = envelope.seal_envelope(header, parts, address.call.key, address.chunk_binding(number))
        name = address.chunk_name(number)
        count = len(fresh)
        if not bucket.put(name, envelope.envelope_size(prefix, parts), lambda: envelope.envelope_chunks(prefix, parts)):
            # Another run of this very attempt was here before: its chunk counts, however many items it has.
            table = self._table_in_chunk(bucket, number)
            count = min(len(table["index"]) if table is not None else 0, count)
        self.sent_output = _end_of_output(start, fresh[:count], output.items)
        self._sent_bytes += sum(note.size for note in fresh[:count])
        self._sent_items += count
        self.chunks += 1
        return count

    def _send_quietly(self, fresh: "List[Note]", output: "Printed") -> None:
        try:
            self._send(fresh, output)
        except storage.BucketError:
            # The next chunk, or the outcome, takes these items along.
            return

    def _table_in_chunk(self, bucket: storage.BucketClient, number: int) -> "Optional[Dict[str, List[object]]]":
        """A chunk's table of items, an empty one if this task did not seal it; None where there is no such chunk."""
        address = self._address
        found = self._files.scratch
        found.seek(0)
        found.truncate()
        if not bucket.get(address.chunk_name(number), found, is_expected=False):
            return None
        try:
            header = envelope.read_header(found, address.call.key, address.chunk_binding(number)).header
        except envelope.WireError:
            # Somebody else wrote it. The dispatcher refuses it, and this task continues under the next name.
            return {"index": [], "raised": []}
        return cast(Dict[str, List[object]], header["table"])


def _streams_of(files: ElectronFiles) -> "Tuple[Tuple[str, str], Tuple[str, str]]":
    return ("stdout", files.stdout.path), ("stderr", files.stderr.path)


class Printed(NamedTuple):
    """What of the streams is whose: of each item where its stdout and its stderr begin and end, and what is no item's.

    `outside` has the spots in stdout, and those in stderr.
    """

    items: "Dict[int, List[int]]"
    outside: "List[List[Tuple[int, int]]]"


def printed(streams: "Sequence[Stream]") -> Printed:
    """What of the streams is whose, so far."""
    both = [stream.spans() for stream in streams]
    found = {}  # type: Dict[int, List[int]]
    for index in set().union(*both) if both else ():
        found[index] = [offset for part in both for offset in part.get(index, (0, 0))]
    return Printed(found, [stream.outside() for stream in streams] or [[], []])


def fitting(notes: "Sequence[Note]") -> int:
    """How many of the notes, from the first on and one at least, fit into one table."""
    size = 0
    for count, note in enumerate(notes):
        size += ROW_BYTES + len(note.arguments) + len(note.shown) + len(json.dumps(note.exception))
        if size > TABLE_BYTES and count:
            return count
    return len(notes)


def _end_of_output(
    start: Tuple[int, int], notes: "Sequence[Note]", output: Mapping[int, "List[int]"]
) -> Tuple[int, int]:
    """Where the output of these items ends in stdout and stderr, which begins at `start`."""
    found = [output[note.item] for note in notes if note.item in output]
    return max([start[0], *(span[1] for span in found)]), max([start[1], *(span[3] for span in found)])


def _counted_from(start: Tuple[int, int], output: Mapping[int, "List[int]"]) -> Dict[int, "List[int]"]:
    both = (start[0], start[0], start[1], start[1])
    return {index: [max(0, offset - first) for offset, first in zip(span, both)] for index, span in output.items()}


def outcome_of_items(
    files: ElectronFiles, ending: Ending, streams: "Sequence[Stream]", delivery: MapDelivery
) -> Packed:
    """Header and parts of a task's outcome: the items that ended, and how the process did if it did not end well."""
    header, parts = outcome_of(files, ending)
    notes = delivery.notes()
    if notes.total is None and header["outcome"] != envelope.KILLED:
        # It never came to the items: a hook raised, a module is missing.
        return header, parts
    output = printed(streams)
    rest = delivery.unsent_for_outcome(notes, output)
    whole = {"outcome": envelope.ITEMS, "count": notes.total, "chunks": delivery.chunks}  # type: Dict[str, object]
    whole["table"] = table_of(rest, output.items)
    whole["outside"] = output.outside
    for measured in ("peak_memory_bytes", "cpu_seconds", "times"):
        whole[measured] = header.pop(measured)
    whole["streams"] = [os.path.getsize(path) for _, path in _streams_of(files)]
    if header["outcome"] != envelope.VALUE:
        running = None if notes.running is None else [*notes.running, output.items.get(notes.running[0], [0, 0, 0, 0])]
        whole["ended"] = {**header, "running": running, "running_ms": notes.running_ms}
    else:
        whole["cloudpickle"] = header["cloudpickle"]
    return whole, {"stdout": parts["stdout"], "stderr": parts["stderr"], "values": delivery.values(rest)}
