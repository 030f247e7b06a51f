"""The pickle of a list or dict of pickled values, none of which is loaded here.

Each value stands in it as a call of `pickle.loads`, which makes it where the whole is loaded. Numbers, text and the
like stand there as they are, and so do the entries of a list or dict that was made here, so that nesting costs nothing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...protocol import pickle_list

# Beside the opcodes of `protocol.pickle_list`
DICT, DICT_END = b"}", b"u"
# Longer texts are moved like any other value
LONGEST_PLAIN_BYTES = 4096

# What may stand before and behind a plain value in a pickle of it alone: protocol, frame; memory
_START = re.compile(rb"\x80[\x02-\x05](?:\x95.{8})?", re.DOTALL)
_MEMOIZED = b"\x94"
# Plain values that are one opcode and this many bytes, or a length of this many bytes first
_FIXED = {b"N": 0, b"\x88": 0, b"\x89": 0, b"K": 1, b"M": 2, b"J": 4, b"G": 8}
_SIZED = {b"\x8a": 1, b"\x8c": 1, b"X": 4, b"C": 1, b"B": 4}
_CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False}
# What stands before and behind the three bounds of a slice in a pickle of it alone
_SLICE, _SLICE_END = b"\x8c\x08builtins\x94\x8c\x05slice\x94\x93\x94", b"\x87\x94R\x94."


@dataclass(frozen=True)
class PickleEntry:
    """One value in a list or dict: the opcodes before its bytes, its bytes, the opcodes behind them.

    `is_plain` recognises a number, text or the like, which is hashable and means the same everywhere.
    """

    data: memoryview
    before: bytes = b""
    behind: bytes = b""
    is_plain: bool = False

    @property
    def size(self) -> int:
        return len(self.before) + len(self.data) + len(self.behind)

    def chunks(self) -> Iterator[bytes | memoryview]:
        yield from (self.before, self.data, self.behind)


def entry_of(pickle: bytes) -> PickleEntry:
    """What stands for a pickled value in a list or dict."""
    view = memoryview(pickle)
    plain = _plain_in(view)
    if plain is not None:
        return PickleEntry(plain, is_plain=True)
    if view[: len(pickle_list.HEAD)] == pickle_list.HEAD and entries_in(pickle) is not None:
        return PickleEntry(view[len(pickle_list.HEAD) : -len(pickle_list.STOP)])
    return PickleEntry(view, before=pickle_list.opening_of(len(view)), behind=pickle_list.CALL)


def pickle_of_list(entries: Sequence[PickleEntry]) -> Iterator[bytes | memoryview]:
    """The bytes of the pickle of a list."""
    # In one batch, so that `entries_in` finds them again.
    return pickle_list.list_of_entries((entry.chunks() for entry in entries), batch=max(len(entries), 1))


def pickle_of_dict(keys: Sequence[PickleEntry], values: Sequence[PickleEntry]) -> Iterator[bytes | memoryview]:
    """The bytes of the pickle of a dict, in the keys' order."""
    yield pickle_list.HEAD + DICT + (pickle_list.BEGIN if keys else b"")
    for key, value in zip(keys, values, strict=True):
        yield from key.chunks()
        yield from value.chunks()
    yield (DICT_END if keys else b"") + pickle_list.STOP


def entries_in(pickle: bytes) -> list[PickleEntry] | None:
    """The entries of a list that was made here, or of a dict, keys and values by turns; None of any other pickle."""
    view = memoryview(pickle)
    position = len(pickle_list.HEAD)
    if view[:position] != pickle_list.HEAD or bytes(view[-1:]) != pickle_list.STOP:
        return None
    end = len(view) - len(pickle_list.STOP)
    whole = bytes(view[position:end]) if end - position < 2 else b""
    if whole in (pickle_list.LIST, DICT):
        return []
    entries: list[PickleEntry] = []
    # The ends of the containers that are open, and where the entry began whose parts are being read
    open_ends: list[bytes] = []
    began = position
    while position < end:
        two = bytes(view[position : position + 2])
        plain_size = 0
        if len(open_ends) == 1:
            began = position
        if two in (pickle_list.LIST + pickle_list.BEGIN, DICT + pickle_list.BEGIN):
            open_ends.append(pickle_list.LIST_END if two[:1] == pickle_list.LIST else DICT_END)
            position += 2
            continue
        if open_ends and two[:1] == open_ends[-1]:
            open_ends.pop()
            position += 1
            if not open_ends:
                return entries if position == end else None
        elif not open_ends:
            return None
        elif two == pickle_list.RECALL_LOADS:
            position = _behind_call(view, position)
        elif two[:1] in (pickle_list.LIST, DICT):
            position += 1
        else:
            plain_size = _plain_size(view[position:end])
            position += plain_size
            if not plain_size:
                return None
        if position > end:
            return None
        if len(open_ends) == 1:
            entries.append(PickleEntry(view[began:position], is_plain=plain_size > 0))
    return None


def is_list(pickle: bytes) -> bool:
    """Whether a pickle whose entries are known is a list's."""
    return bytes(pickle[len(pickle_list.HEAD) : len(pickle_list.HEAD) + 1]) == pickle_list.LIST


def plain_text(entry: PickleEntry) -> str:
    """The `repr()` of a plain value."""
    return repr(_plain_value(entry.data))


def text_in(pickle: memoryview) -> str:
    """The `repr()` of a pickled value that is plain; of any other an ellipsis."""
    plain = _plain_in(pickle)
    return "..." if plain is None else repr(_plain_value(plain))


def index_in(pickle: bytes) -> int | slice | None:
    """The index or the slice that a pickle holds, read without loading it; None of any other key."""
    view = memoryview(pickle)
    plain = _plain_in(view)
    if plain is not None:
        value = _plain_value(plain)
        return value if type(value) is int else None
    start = _START.match(view)
    position = 0 if start is None else start.end() + len(_SLICE)
    if start is None or view[start.end() : position] != _SLICE:
        return None
    bounds = []
    while size := _plain_size(view[position:]):
        bounds.append(_plain_value(view[position : position + size]))
        position += size
    is_slice = len(bounds) == 3 and all(bound is None or type(bound) is int for bound in bounds)
    return slice(*bounds) if is_slice and view[position:] == _SLICE_END else None


def _plain_value(view: memoryview) -> object:
    opcode, data = bytes(view[:1]), bytes(view[1:])
    if opcode in _CONSTANTS:
        return _CONSTANTS[opcode]
    if opcode in (b"K", b"M"):
        return int.from_bytes(data, "little")
    if opcode == b"J":
        return int.from_bytes(data, "little", signed=True)
    if opcode == b"G":
        return struct.unpack(">d", data)[0]
    held = data[_SIZED[opcode] :]
    if opcode == b"\x8a":
        return int.from_bytes(held, "little", signed=True)
    return held.decode("utf-8", "backslashreplace") if opcode in (b"\x8c", b"X") else held


def _plain_in(view: memoryview) -> memoryview | None:
    """The opcode of a plain value, with its bytes, in a pickle that is nothing else."""
    start = _START.match(view)
    if start is None or bytes(view[-1:]) != pickle_list.STOP:
        return None
    rest = view[start.end() : -1]
    size = _plain_size(rest)
    if size and bytes(rest[size:]) in (b"", _MEMOIZED):
        return rest[:size]
    return None


def _plain_size(view: memoryview) -> int:
    """The length of the plain value that stands first; 0 if none does."""
    opcode = bytes(view[:1])
    if opcode in _FIXED:
        size = 1 + _FIXED[opcode]
    elif opcode in _SIZED:
        width = _SIZED[opcode]
        size = 1 + width + int.from_bytes(view[1 : 1 + width], "little")
    else:
        return 0
    return size if size <= min(len(view), LONGEST_PLAIN_BYTES) else 0


def _behind_call(view: memoryview, position: int) -> int:
    """Where the call of `pickle.loads` at `position` ends; past the view's end if it is no such call."""
    start = position + len(pickle_list.RECALL_LOADS) + len(pickle_list.BYTES)
    size = int.from_bytes(view[start : start + 8], "little")
    end = start + 8 + size
    is_call = (
        bytes(view[start - 1 : start]) == pickle_list.BYTES
        and bytes(view[end : end + len(pickle_list.CALL)]) == pickle_list.CALL
    )
    return end + len(pickle_list.CALL) if is_call else len(view) + 1
