"""What the electron's process leaves for its supervisor: files without a name, and memory that both processes share.

All of it is made before the electron's process begins. Nothing that the electron deletes is needed for its report.
"""

from __future__ import annotations

import errno
import io
import json
import mmap
import os
import tempfile
from typing import TYPE_CHECKING, BinaryIO, Dict, Mapping, Optional, cast

if TYPE_CHECKING:
    from .map_items import ItemShare

# Taken now: the electron may put something else in their places.
_fstat, _open, _open_descriptor, _close_descriptor = os.fstat, io.open, os.open, os.close
# More than the longest message and traceback take as JSON; pages that nobody writes to cost nothing
REPORT_BYTES = 32 * 1024 * 1024
ORIGIN_BYTES = 64 * 1024
TIMES_BYTES = 4096
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

    The electron's process ends with all its objects: none of them closes its number, which may be another file's.

    Attributes:
        path: where the process that made it can open it again.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self._descriptor = os.dup(file.fileno())
        self._file = _appended(self._descriptor)
        self._identity = identity_of(self._descriptor)
        self.path = "/proc/self/fd/%d" % self._descriptor
        self._path_for_others = "/proc/%d/fd/%d" % (os.getpid(), self._descriptor)

    def appended(self) -> BinaryIO:
        """Return the file, to be appended to; opened again where the electron has closed its descriptor.

        Raises:
            OSError: it cannot be opened, since the electron changed its user as well.
        """
        if identity_of(self._file.fileno()) == self._identity:
            return self._file
        try:
            self._file = _appended(_open_above_streams(self._path_for_others))
        except OSError as error:
            told = (
                "the runner's own files were closed and cannot be opened again (%s): close those that you have opened"
            )
            raise OSError(error.errno, told % error.strerror) from None
        return self._file

    def append(self, data: bytes) -> None:
        """Write at its end.

        Raises:
            OSError: there is no room, or the electron has limited the size of files.
        """
        file = self.appended()
        try:
            file.write(data)
            file.flush()
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            told = "the runner's own files may not grow as far as they have to: the electron has set RLIMIT_FSIZE"
            raise OSError(error.errno, told) from None

    def close(self) -> None:
        """Close it in the process that made it."""
        os.close(self._descriptor)

    def discard(self) -> None:
        """Free its room on the disk."""
        os.ftruncate(self._file.fileno(), 0)


def _appended(descriptor: int) -> BinaryIO:
    return _open(descriptor, "ab", closefd=False)


def _open_above_streams(path: str) -> int:
    """Open to append, under a number above those of the standard streams, which the electron prints to."""
    descriptor = _open_descriptor(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    if descriptor > 2:
        return descriptor
    try:
        return _open_above_streams(path)
    finally:
        _close_descriptor(descriptor)


def identity_of(descriptor: int) -> "Optional[tuple[int, int]]":
    """What identifies the file of a descriptor; None for a closed one."""
    try:
        status = _fstat(descriptor)
    except OSError:
        return None
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
        self.write_encoded(encode_json(record))

    def write_encoded(self, data: bytes) -> None:
        """Write a record that is JSON already. Raises ValueError."""
        if len(data) > self._room:
            raise ValueError("a record of %d bytes is more than the %d allowed" % (len(data), self._room))
        self._memory[LENGTH_BYTES : LENGTH_BYTES + len(data)] = data
        self._memory[:LENGTH_BYTES] = len(data).to_bytes(LENGTH_BYTES, "big")

    @property
    def is_written(self) -> bool:
        """Whether a whole record was written."""
        return self._length() > 0

    def read(self) -> Optional[Dict[str, object]]:
        """Read what was written; None if nothing was."""
        length = self._length()
        if not length:
            return None
        try:
            found: Dict[str, object] = json.loads(self._memory[LENGTH_BYTES : LENGTH_BYTES + length].decode())
            return found
        except ValueError:
            return None

    def _length(self) -> int:
        length = int.from_bytes(self._memory[:LENGTH_BYTES], "big")
        return length if length <= self._room else 0


class SharedFlag:
    """A yes or no in memory that both processes see."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def set(self) -> None:
        self._memory[0] = 1

    @property
    def is_set(self) -> bool:
        return self._memory[0] != 0


def leave_shared(file: BinaryIO) -> None:
    """Close in one of two processes a file whose position both share, without moving that, as `close` may do."""
    try:
        file.raw.close()  # type: ignore[attr-defined]  # a buffered file has it
    except OSError:
        # The electron has closed its number.
        return


class ElectronFiles:
    """What the electron of one task leaves.

    Attributes:
        folder: for what has to have a name: a home, packages, what pip says.
        report: how the electron ended; origin: where its function was written, noted before it runs.
        times: when packages were installed and the function began, noted then, in seconds since 1970.
        terminated: set once the task was asked to end.
        terminated_at: when that was, by `time.monotonic`; in the supervisor alone.
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
        self.times = SharedRecord(TIMES_BYTES)
        self.terminated = SharedFlag()
        self.terminated_at: Optional[float] = None
        self.value = KeptFile()
        self.text = KeptFile()
        self.stdout = KeptFile()
        self.stderr = KeptFile()
        self.scratch = cast(BinaryIO, tempfile.TemporaryFile())

    def close(self) -> None:
        """Give back what they take, in the process that made them."""
        for kept in (self.value, self.text, self.stdout, self.stderr, self.scratch):
            kept.close()
