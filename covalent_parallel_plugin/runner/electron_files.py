"""What the electron's process leaves for its supervisor: files without a name, and memory that both processes share.

All of it is made before the electron's process begins. Nothing that the electron deletes is needed for its report.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import tempfile
from typing import TYPE_CHECKING, BinaryIO, Dict, List, Mapping, Optional, cast

if TYPE_CHECKING:
    from .map_items import ItemShare

# Taken now: the electron may put something else in their places.
_fstat, _open = os.fstat, io.open
# More than the longest message and traceback take as JSON; pages that nobody writes to cost nothing
REPORT_BYTES = 32 * 1024 * 1024
ORIGIN_BYTES = 64 * 1024
LENGTH_BYTES = 8


class _Encoder(json.JSONEncoder):
    """JSONEncoder as it is now, whatever is put into it later."""

    encode = json.JSONEncoder.encode
    iterencode = json.JSONEncoder.iterencode
    default = json.JSONEncoder.default


_encoder = _Encoder()


def encode_json(value: Mapping[str, object]) -> bytes:
    """Encode as JSON in one line."""
    return _encoder.encode(value).encode("ascii")


class KeptFile:
    """A file without a name, which both processes have open: it is below no folder, and lasts until both have ended.

    Attributes:
        path: where the process that made it can open it again.
    """

    def __init__(self) -> None:
        self._file = cast(BinaryIO, tempfile.TemporaryFile())
        self._identity = _identity_of(self._file)
        self._closed: "List[BinaryIO]" = []
        self.path = "/proc/self/fd/%d" % self._file.fileno()
        self._path_for_others = "/proc/%d/fd/%d" % (os.getpid(), self._file.fileno())

    def appended(self) -> BinaryIO:
        """Return the file, to be appended to; opened anew where the electron has closed its descriptor.

        Raises:
            OSError: it cannot be opened, since the electron changed its user as well.
        """
        try:
            if _identity_of(self._file) == self._identity:
                return self._file
        except (OSError, ValueError):
            pass
        # Its number may be another file's by now, which ends with an object that is let go.
        self._closed.append(self._file)
        try:
            self._file = cast(BinaryIO, _open(self._path_for_others, "ab"))
        except OSError as error:
            told = (
                "the runner's own files were closed and cannot be opened again (%s): close those that you have opened"
            )
            raise OSError(error.errno, told % error.strerror) from None
        return self._file

    def close(self) -> None:
        """Close it in this process."""
        self._file.close()

    def discard(self) -> None:
        """Free its room on the disk."""
        os.ftruncate(self._file.fileno(), 0)


def _identity_of(file: BinaryIO) -> "tuple[int, int]":
    status = _fstat(file.fileno())
    return status.st_dev, status.st_ino


class SharedRecord:
    """A JSON object in memory that both processes see: it takes neither a descriptor nor room on a disk."""

    def __init__(self, size: int):
        self._memory = mmap.mmap(-1, size)
        self._room = size - LENGTH_BYTES

    def write(self, record: Mapping[str, object]) -> None:
        """Write it; its length comes last, so that a process that dies meanwhile leaves none.

        Raises:
            ValueError: it is longer than its room.
        """
        data = encode_json(record)
        if len(data) > self._room:
            raise ValueError("a record of %d bytes is more than the %d allowed" % (len(data), self._room))
        self._memory[LENGTH_BYTES : LENGTH_BYTES + len(data)] = data
        self._memory[:LENGTH_BYTES] = len(data).to_bytes(LENGTH_BYTES, "big")

    def read(self) -> Optional[Dict[str, object]]:
        """Read what was written; None if nothing was."""
        length = int.from_bytes(self._memory[:LENGTH_BYTES], "big")
        if not 0 < length <= self._room:
            return None
        try:
            found: Dict[str, object] = json.loads(self._memory[LENGTH_BYTES : LENGTH_BYTES + length].decode())
            return found
        except ValueError:
            return None


class ElectronFiles:
    """What the electron of one task leaves.

    Attributes:
        folder: for what has to have a name: a home, packages, what pip says.
        report: how the electron ended; origin: where its function was written, noted before it runs.
        value, text: the value's pickle, and its text; of a map the values of all items, and the notes on them.
        stdout, stderr: what it printed.
        scratch: of the supervisor alone, since the electron may delete the folder for such files.
        share: of a map, which items are this task's.
    """

    def __init__(self, folder: str):
        self.folder = folder
        self.share: "Optional[ItemShare]" = None
        self.report = SharedRecord(REPORT_BYTES)
        self.origin = SharedRecord(ORIGIN_BYTES)
        self.value = KeptFile()
        self.text = KeptFile()
        self.stdout = KeptFile()
        self.stderr = KeptFile()
        self.scratch = cast(BinaryIO, tempfile.TemporaryFile())

    def close(self) -> None:
        """Give back what they take."""
        for kept in (self.value, self.text, self.stdout, self.stderr, self.scratch):
            kept.close()
