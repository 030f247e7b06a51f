"""A checkpoint's folder as bytes, and back: pure files, no network.

One line of JSON for each directory, file and link, in an order in which directories come before what is in them; a
file's line is followed by its bytes, without its holes. Whatever the bytes are, `unpack` writes below its folder only:
they were sealed by a key that the electron's own code may have found.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Set, Tuple

from ..protocol.envelope import CHUNK_BYTES, WireError

# Of one checkpoint: bytes, directories and files, and bytes of a file's line, which lists the parts between its holes
MOST_BYTES = 5 * 2**30
MOST_ENTRIES = 100_000
MOST_SPANS = 10_000
LONGEST_LINE = 2**20
LONGEST_PATH = 4096
# A file's length, holes included
LONGEST_FILE = 2**43
# What a file system does not take, however much room it has
REFUSED = (errno.ENAMETOOLONG, errno.EFBIG, errno.EINVAL, errno.EILSEQ)
PERMISSIONS = 0o777

Entry = Tuple[str, os.stat_result]
Span = Tuple[int, int]


class PackError(Exception):
    """The folder cannot be packed; the message says why, and what to do."""


class ChangedError(Exception):
    """The folder was changed while it was packed."""


class FolderState(NamedTuple):
    """A folder at one moment.

    Attributes:
        fingerprint: another one once anything in it was changed.
        changed: when something was last changed, in seconds since 1970.
        entries: how many directories, files and links are in it.
    """

    fingerprint: bytes
    changed: float
    entries: int


class Packed(NamedTuple):
    """What was packed: files, and bytes with their SHA-256; and what was left out, a sentence each."""

    files: int
    size: int
    sha256: str
    left_out: Tuple[str, ...]


def folder_state(folder: str, most_bytes: int = MOST_BYTES, most_entries: int = MOST_ENTRIES) -> FolderState:
    """FolderState through a folder.

    Raises:
        PackError: it is too large, or cannot be read.
        ChangedError: something in it vanished meanwhile.
    """
    digest = hashlib.sha256()
    changed, entries, size = 0.0, 0, 0
    for path, status in _walk(folder):
        changed = max(changed, status.st_ctime)
        if not path:
            continue
        entries += 1
        # Of a file with holes what it takes on the disk
        size += min(status.st_size, status.st_blocks * 512) if stat.S_ISREG(status.st_mode) else 0
        if entries > most_entries:
            raise PackError("it has more than %d files: put them into fewer ones" % most_entries)
        if size > most_bytes:
            raise _too_large(most_bytes)
        digest.update(repr((path, _state(status))).encode("utf-8", "surrogatepass"))
    return FolderState(digest.digest(), changed, entries)


def pack(folder: str, into: BinaryIO, most_bytes: int = MOST_BYTES) -> Packed:
    """Write what is in a folder into a file, from its start.

    Raises:
        PackError: it is too large, or cannot be read.
        ChangedError: a file was changed meanwhile.
        OSError: there is no room.
    """
    into.seek(0)
    into.truncate()
    writer = _Writer(into, most_bytes)
    left_out: List[str] = []
    files = 0
    for path, status in _walk(folder):
        kind = status.st_mode
        head: List[object] = [path, kind & PERMISSIONS, status.st_mtime]
        if not path:
            continue
        if stat.S_ISDIR(kind):
            writer.line(["d", *head])
        elif stat.S_ISREG(kind):
            _pack_file(os.path.join(folder, path), status, head, writer)
            files += 1
        elif stat.S_ISLNK(kind):
            target = _reading(folder, path, os.readlink)
            if _leads_inside(path, target):
                writer.line(["l", path, target])
            else:
                left_out.append("the link %s leads out of the folder" % path)
        else:
            left_out.append("%s is neither a file nor a folder" % path)
    into.flush()
    return Packed(files, writer.size, writer.digest.hexdigest(), tuple(left_out))


def unpack(stream: BinaryIO, size: int, folder: str) -> None:
    """Write into an empty folder what `size` bytes of a stream, from its position on, say.

    Raises:
        WireError: they make no sense, lead out of the folder, or the file system does not take them.
        OSError: there is no room.
    """
    made: Set[str] = {""}
    directories: List[Tuple[str, int, float]] = []
    links: Dict[str, str] = {}
    entries = 0
    try:
        while size > 0:
            line = stream.readline(min(size, LONGEST_LINE))
            size -= len(line)
            kind, path, *rest = json.loads(line.decode("ascii"))
            entries += 1
            _check_path(path, made)
            if entries > MOST_ENTRIES or path in links:
                raise WireError("it has too many files, or one twice")
            if kind == "d":
                mode, time = _mode_and_time(rest)
                os.mkdir(os.path.join(folder, path), 0o700)
                made.add(path)
                directories.append((path, mode, time))
            elif kind == "f":
                size -= _unpack_file(stream, size, os.path.join(folder, path), rest)
            elif kind == "l" and _leads_inside(path, rest[0]):
                links[path] = rest[0]
            else:
                raise WireError("%.100r leads out of the folder, or is nothing known" % path)
        # Last, so that nothing is written through a link, or where its owner may not write
        for path, target in links.items():
            os.symlink(target, os.path.join(folder, path))
        for path, mode, time in reversed(directories):
            os.utime(os.path.join(folder, path), (time, time))
            os.chmod(os.path.join(folder, path), mode)
    except (ValueError, TypeError, IndexError, OverflowError, RecursionError, FileExistsError) as error:
        raise WireError("what is packed makes no sense: %.300s" % error) from error
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        raise WireError("the file system does not take it: %.300s" % error) from error


class _Writer:
    """What is packed, counted and hashed on its way into a file."""

    def __init__(self, file: BinaryIO, most_bytes: int):
        self._file = file
        self._most_bytes = most_bytes
        self.size = 0
        self.digest = hashlib.sha256()

    def line(self, entry: List[object]) -> None:
        self.write(json.dumps(entry, separators=(",", ":")).encode("ascii") + b"\n")

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._most_bytes:
            raise _too_large(self._most_bytes)
        self.digest.update(data)
        self._file.write(data)


def _too_large(most_bytes: int) -> PackError:
    return PackError("it holds more than %.3g GB: keep less there, such as the last state alone" % (most_bytes / 2**30))


def _walk(folder: str) -> Iterator[Entry]:
    """The folder, as "", and what is in it, directories before what is in them."""
    waiting = [""]
    while waiting:
        at = waiting.pop()
        yield at, _reading(folder, at, os.lstat)
        for name in sorted(_reading(folder, at, os.listdir)):
            path = os.path.join(at, name)
            status = _reading(folder, path, os.lstat)
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)
            else:
                yield path, status


def _reading(folder: str, path: str, read: Any) -> Any:
    try:
        return read(os.path.join(folder, path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ChangedError(path) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> PackError:
    return PackError("%s cannot be read: %s" % (path or "it", error.strerror or error))


def _state(status: os.stat_result) -> Tuple[int, ...]:
    """What of a file is another one once it was changed; of a directory its entries say that."""
    if stat.S_ISDIR(status.st_mode):
        return (status.st_mode,)
    return (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _pack_file(place: str, status: os.stat_result, head: List[object], writer: _Writer) -> None:
    path = str(head[0])
    if status.st_size > LONGEST_FILE:
        raise PackError("%s is longer than %d bytes, holes included: make it shorter" % (path, LONGEST_FILE))
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ChangedError(path) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    with open(descriptor, "rb", 0) as file:
        if _state(os.fstat(descriptor)) != _state(status):
            raise ChangedError(path)
        spans = _spans(descriptor, status.st_size)
        writer.line(["f", *head, status.st_size, spans])
        for start, length in spans:
            file.seek(start)
            while length:
                try:
                    chunk = file.read(min(length, CHUNK_BYTES))
                except OSError as error:
                    raise _unreadable(path, error) from error
                if not chunk:
                    raise ChangedError(path)
                length -= len(chunk)
                writer.write(chunk)
        if _state(os.fstat(descriptor)) != _state(status):
            raise ChangedError(path)


def _spans(descriptor: int, size: int) -> List[Span]:
    """Where a file has data, as offsets and lengths; what lies between is a hole."""
    found: List[Span] = []
    at = 0
    try:
        while at < size and len(found) < MOST_SPANS - 1:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
            at = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
            if at > start:
                found.append((start, at - start))
    except OSError as error:
        # Either only a hole follows, or the file system does not say where holes are.
        return found if error.errno == errno.ENXIO else [(0, size)]
    return found if at >= size else [*found, (at, size - at)]


def _leads_inside(path: str, target: object) -> bool:
    """Whether a link leads to somewhere in the folder: up first, no further than its top, and then down only."""
    if not isinstance(target, str) or not target or len(target) > LONGEST_PATH or target.startswith("/"):
        return False
    words = [word for word in target.split("/") if word not in ("", ".")]
    up = next((number for number, word in enumerate(words) if word != ".."), len(words))
    return "\0" not in target and ".." not in words[up:] and up <= path.count("/")


def _check_path(path: object, made: Set[str]) -> None:
    if not isinstance(path, str) or len(path) > LONGEST_PATH or "\0" in path:
        raise WireError("a file has no proper name")
    parent, _, name = path.rpartition("/")
    if parent not in made or name in ("", ".", "..") or path in made or path.startswith("/"):
        raise WireError("%.100r leads out of the folder, or comes before it" % path)


def _mode_and_time(rest: List[Any]) -> Tuple[int, float]:
    mode, time = rest[:2]
    if type(mode) is not int or type(time) not in (int, float):
        raise WireError("a file has no mode, or no time")
    return mode & PERMISSIONS, float(time)


def _unpack_file(stream: BinaryIO, room: int, place: str, rest: List[Any]) -> int:
    """Write one file of at most `room` bytes beside its holes; returns how many these were."""
    mode, time = _mode_and_time(rest)
    length, spans = rest[2], rest[3]
    taken = at = 0
    if type(length) is not int or not 0 <= length <= LONGEST_FILE or len(spans) > MOST_SPANS:
        raise WireError("a file has an impossible size")
    with open(place, "xb", 0) as file:
        for start, count in spans:
            if type(start) is not int or type(count) is not int or start < at or count < 0 or start + count > length:
                raise WireError("a file has an impossible size")
            at = start + count
            taken += count
            if taken > room:
                raise WireError("it ends within a file")
            file.seek(start)
            while count:
                chunk = stream.read(min(count, CHUNK_BYTES))
                if not chunk:
                    raise WireError("it ends within a file")
                count -= len(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[file.write(view) :]
        os.ftruncate(file.fileno(), length)
        os.utime(file.fileno(), (time, time))
        os.fchmod(file.fileno(), mode)
    return taken
