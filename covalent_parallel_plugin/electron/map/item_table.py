"""The items of a map that ended: numbers in one array, values and output in one file, whatever their number."""

from __future__ import annotations

import tempfile
import threading
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, cast, overload

from ...errors import OutcomeError
from ..outcome import Raised, decode_output
from ..value_buffer import IN_MEMORY_BYTES, disk_errors

COPY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """One item that ended: where in the store its value's pickle and its output lie, and what it raised, if it did.

    Attributes:
        stdout, stderr: offset and size in bytes of what it printed.
        arguments: the item's, shortened; of those that raised.
        shown: its value as text, of the first few.
    """

    index: int
    offset: int = 0
    size: int = 0
    stdout: tuple[int, int] = (0, 0)
    stderr: tuple[int, int] = (0, 0)
    raised: Raised | None = None
    arguments: str = ""
    shown: str = ""


class ItemTable(Sequence[Item]):
    """Items in the order in which they came, as numbers in one array and not as an object each.

    10,000 objects that stay are a pause of 100 ms in the process that holds them, for Python's garbage collector.
    """

    _NUMBERS = 7

    def __init__(self, items: Iterable[Item] = ()):
        self._numbers = array("q")
        self._raised: dict[int, tuple[Raised, str]] = {}
        self._shown: dict[int, str] = {}
        for item in items:
            self.append(item)

    def append(self, item: Item) -> None:
        position = len(self)
        self._numbers.extend((item.index, item.offset, item.size, *item.stdout, *item.stderr))
        if item.raised is not None:
            self._raised[position] = (item.raised, item.arguments)
        if item.shown:
            self._shown[position] = item.shown

    def __len__(self) -> int:
        return len(self._numbers) // self._NUMBERS

    def indices(self) -> list[int]:
        """The items' indices, in the order in which they came."""
        return self._numbers[:: self._NUMBERS].tolist()

    @property
    def raised(self) -> list[int]:
        """The positions of the items that raised."""
        return list(self._raised)

    def change_raised(self, change: Callable[[Raised], Raised]) -> None:
        """Replace what each of the items raised."""
        for position, (raised, arguments) in self._raised.items():
            self._raised[position] = (change(raised), arguments)

    def printed(self, position: int, stream: str) -> tuple[int, int]:
        """Offset and size in the store of what an item printed on "stdout" or "stderr", without making the item."""
        start = position * self._NUMBERS + (3 if stream == "stdout" else 5)
        return self._numbers[start], self._numbers[start + 1]

    @overload
    def __getitem__(self, position: int) -> Item: ...
    @overload
    def __getitem__(self, position: slice) -> list[Item]: ...
    def __getitem__(self, position: int | slice) -> Item | list[Item]:
        if isinstance(position, slice):
            return [self[each] for each in range(*position.indices(len(self)))]
        if not 0 <= position < len(self):
            raise IndexError(position)
        start = position * self._NUMBERS
        index, offset, size, out, out_size, err, err_size = self._numbers[start : start + self._NUMBERS]
        raised, arguments = self._raised.get(position, (None, ""))
        shown = self._shown.get(position, "")
        return Item(index, offset, size, (out, out_size), (err, err_size), raised, arguments, shown)


@dataclass
class ValueStore:
    """The values and the output of all items in one file without a name, in the order in which they came."""

    folder: str
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _size: int = 0

    def __post_init__(self) -> None:
        self._file = cast(
            IO[bytes],
            tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES, dir=self.folder),  # noqa: SIM115
        )
        # Values that an error offers keep it open, for as long as the user has them.
        weakref.finalize(self, self._file.close)

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
                with disk_errors(self.folder):
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

    def text(self, place: tuple[int, int]) -> str:
        """The text at this offset and of this size."""
        return decode_output(b"".join(self.read(*place)))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
