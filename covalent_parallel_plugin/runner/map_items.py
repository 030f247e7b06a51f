"""The items of a map, in the electron's process: one after the other, each value pickled by itself and noted at once.

What is noted is whole: a process that is killed during an item leaves all the items before it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, cast

from ..protocol.code_files import origin_of
from ..protocol.exception_record import describe
from ..protocol.exit_codes import EXIT_TERMINATED
from ..protocol.item_call import call_with, listed
from ..protocol.value_text import name_of, shortened
from .electron_files import ElectronFiles, KeptFile, encode_json, identity_of
from .unpicklable import refusal
from .user_call import call_user, hold_signals

# Taken now: an item may put something else in their places.
_getpid, _time, _write = os.getpid, time.time, os.write
# The values that are shown for the whole list
SHOWN_ITEMS = 20


class ItemShare(NamedTuple):
    """Which items are this task's: `task` of `tasks`, from `position` on; of `chosen`, or of all where that is None."""

    task: int
    tasks: int
    position: int
    chosen: "Optional[List[int]]"
    marker: str

    def indices(self, count: int) -> "List[int]":
        """The items' indices, in the order in which they run; `count` is how many there are in all."""
        every = range(count) if self.chosen is None else [index for index in self.chosen if index < count]
        return list(every[self.task :: self.tasks])[self.position :]


def run_items(
    function: Callable[..., Any],
    items: Iterable[Any],
    constants: Mapping[str, Any],
    share: ItemShare,
    files: ElectronFiles,
    dump: Callable[[Any], bytes],
) -> Dict[str, object]:
    """Call the function with each item of this task's share, and note how each one ended.

    Returns:
        What the report says: how many items there are in all.
    """
    if isinstance(items, (set, frozenset)):
        # Each task has its own: Python's hashes of texts differ from process to process.
        raise TypeError(
            "a set has no order that all tasks of a map share: have the electron that made it return sorted(...)"
            " or list(...) of it"
        )
    held = listed(items)
    origin = origin_of(function)
    marks = Marks(share.marker.encode())
    _note(files.text, {"count": len(held)})
    for index in share.indices(len(held)):
        # Handlers of the user's run while the item does: what they raise belongs to it.
        hold_signals()
        _stop_if_terminated(files)
        marks.write(index)
        begun = _time()
        _note(files.text, {"begun": index, "arguments": shortened(held[index]), "at": int(begun * 1000)})
        note = _ended(function, held[index], constants, dump, files.value, index)
        note["took"] = max(0, round((_time() - begun) * 1000))
        if "exception" in note:
            raised = dict(cast(Any, note["exception"]), origin=origin)
            note["exception"] = raised
            if files.terminated.is_set and raised["type"] != "SystemExit":
                # That is why it raised: another attempt runs it again.
                _write(2, str(raised["traceback"]).encode("utf-8", "backslashreplace"))
            _stop_if_terminated(files)
        marks.write(-1)
        _note(files.text, note)
    return {"count": len(held)}


def _stop_if_terminated(files: ElectronFiles) -> None:
    if files.terminated.is_set:
        raise SystemExit(EXIT_TERMINATED)


def _ended(
    function: Callable[..., Any],
    item: Any,
    constants: Mapping[str, Any],
    dump: Callable[[Any], bytes],
    kept: KeptFile,
    index: int,
) -> Dict[str, object]:
    process = _getpid()
    try:
        value = call_with(partial(call_user, function), item, constants)
        if _getpid() != process:
            # The function forked, and this is the copy: only the original continues.
            raise SystemExit
        data = _dumped(value, dump, name_of(function, "the function"))
    except BaseException as error:
        if _getpid() != process:
            raise
        # SystemExit and KeyboardInterrupt of the user's are endings like any other.
        hold_signals()
        return {"ended": index, "exception": describe(error)}
    hold_signals()
    kept.append(data)
    note = {"ended": index, "size": len(data)}  # type: Dict[str, object]
    if index < SHOWN_ITEMS:
        note["shown"] = shortened(value)
    return note


def _dumped(value: Any, dump: Callable[[Any], bytes], name: str) -> bytes:
    try:
        return dump(value)
    except BaseException as error:
        raise refusal(name, value, error, dump) from None


def _note(kept: KeptFile, note: Mapping[str, object]) -> None:
    kept.append(encode_json(note) + b"\n")


class Marks:
    """Lines in both streams that say which item's output follows; -1 for none."""

    def __init__(self, marker: bytes):
        self._marker = marker
        self._pipes = {descriptor: identity_of(descriptor) for descriptor in (1, 2)}

    def write(self, index: int) -> None:
        for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
            try:
                stream.flush()
            except BaseException:
                # The user has closed it, or put something else in its place: what that holds back is the user's affair.
                pass
            try:
                # Another file may have that number now, such as a log of the user's.
                if identity_of(descriptor) == self._pipes[descriptor]:
                    _write(descriptor, b"%s %d\n" % (self._marker, index))
            except OSError:
                # Closed below as well: then nothing of this item comes that way.
                continue


class Note(NamedTuple):
    """How one item ended: the size of its value's pickle, or its exception.

    `begin_ms` is when it began, in milliseconds since 1970, and `took_ms` how long it took.
    """

    item: int
    size: int
    exception: "Optional[Dict[str, object]]"
    arguments: str
    shown: str
    begin_ms: int
    took_ms: int


class Notes(NamedTuple):
    """What a process has noted: how many items there are (None: it never knew), the ended ones, and the begun one.

    `running_ms` is when that one began, in milliseconds since 1970.
    """

    total: "Optional[int]"
    ended: "List[Note]"
    running: "Optional[Tuple[int, str]]"
    running_ms: int


class NotesReader:
    """Reads what the electron's process notes, each line once, however often that is asked for."""

    def __init__(self, path: str):
        self._path = path
        self._offset = 0
        self._count = None  # type: Optional[int]
        self._ended = []  # type: List[Note]
        self._running = None  # type: Optional[Tuple[int, str]]
        self._begin_ms = 0

    def read(self) -> Notes:
        """Return all that was noted so far; a line that is not whole yet does not count."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                *lines, rest = file.read().split(b"\n")
                self._offset = file.tell() - len(rest)
        except OSError:
            lines = []
        for line in lines:
            self._take(json.loads(line.decode()))
        return Notes(self._count, self._ended, self._running, self._begin_ms)

    def _take(self, note: "Mapping[str, Any]") -> None:
        if "count" in note:
            self._count = int(note["count"])
        elif "begun" in note:
            self._running = (int(note["begun"]), str(note["arguments"]))
            self._begin_ms = int(note["at"])
        else:
            arguments = self._running[1] if self._running is not None else ""
            size, shown = int(note.get("size", 0)), note.get("shown", "")
            times = self._begin_ms, int(note["took"])
            self._ended.append(Note(int(note["ended"]), size, note.get("exception"), arguments, shown, *times))
            self._running = None


def table_of(notes: Sequence[Note], streams: Mapping[int, "List[int]"]) -> Dict[str, object]:
    """The notes as an outcome's header has them; `streams` has the location of each item's output.

    A table of columns: the dispatcher makes few objects of it, however many items there are.
    """
    spans = [streams.get(note.item, [0, 0, 0, 0]) for note in notes]
    return {
        "index": [note.item for note in notes],
        "size": [note.size for note in notes],
        "begin_ms": [note.begin_ms for note in notes],
        "took_ms": [note.took_ms for note in notes],
        "output": [offset for span in spans for offset in span] if any(map(any, spans)) else [],
        "raised": [
            [position, note.exception, note.arguments]
            for position, note in enumerate(notes)
            if note.exception is not None
        ],
        "shown": [[position, note.shown] for position, note in enumerate(notes) if note.shown],
    }
