"""Many pickles as one pickle of a list, none of them loaded: each stands in it as a call of `pickle.loads`.

The opcodes are those of the pickle machine (see the module pickletools).
"""

from __future__ import annotations

from typing import Iterable, Iterator, Tuple, Union

# Protocol 4, `pickle.loads` as number 0 of the memory
HEAD = b"\x80\x04c_pickle\nloads\nq\x000"
STOP = b"."
LIST, BEGIN, LIST_END = b"]", b"(", b"e"
RECALL_LOADS, BYTES, CALL = b"h\x00", b"\x8e", b"\x85R"
# As Python's own pickler, which appends to a list in batches
BATCH = 1000

Buffer = Union[bytes, memoryview]


def opening_of(size: int) -> bytes:
    """The opcodes before a pickle of so many bytes that stands in another one; CALL stands behind it."""
    return RECALL_LOADS + BYTES + size.to_bytes(8, "little")


def pickle_of_list(pickles: Iterable[Tuple[int, Iterable[Buffer]]]) -> Iterator[Buffer]:
    """The bytes of a pickle of a list of values, given the length and the bytes of each one's pickle."""
    return list_of_entries(_entry(size, chunks) for size, chunks in pickles)


def pickles_in(data: bytes) -> list[memoryview] | None:
    """The values' pickles in the bytes that `pickle_of_list` makes, nothing loaded; None in any other bytes."""
    opening, view = RECALL_LOADS + BYTES, memoryview(data)
    found: list[memoryview] = []
    position = len(HEAD + LIST)
    if not data.startswith(HEAD + LIST):
        return None
    while len(found) % BATCH == 0 and data.startswith(BEGIN, position):
        position += len(BEGIN)
        before = len(found)
        for _ in range(BATCH):
            start = position + len(opening) + 8
            end = start + int.from_bytes(data[start - 8 : start], "little")
            if not (data.startswith(opening, position) and data.startswith(CALL, end)):
                break
            found.append(view[start:end])
            position = end + len(CALL)
        if len(found) == before or not data.startswith(LIST_END, position):
            return None
        position += len(LIST_END)
    return found if position == len(data) - len(STOP) and data.endswith(STOP) else None


def list_of_entries(entries: Iterable[Iterable[Buffer]], batch: int = BATCH) -> Iterator[Buffer]:
    """The bytes of a pickle of a list, given those that make each of its values on the pickle machine."""
    yield HEAD + LIST
    is_open = False
    for number, entry in enumerate(entries):
        if number % batch == 0:
            if is_open:
                yield LIST_END
            yield BEGIN
            is_open = True
        yield from entry
    if is_open:
        yield LIST_END
    yield STOP


def _entry(size: int, chunks: Iterable[Buffer]) -> Iterator[Buffer]:
    yield opening_of(size)
    for chunk in chunks:
        yield chunk
    yield CALL
