"""Upload what a task's program has left in its folder, under names of this execution's own."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...programs.task_folder import NAMED, walk
from ...protocol.envelope import TruncatedError, envelope_chunks, file_part
from ...protocol.sweep_identity import SweepTaskAddress
from .. import bucket_http as storage
from .side_by_side import each

# More would not fit into an outcome's header
MOST_FILES = 100_000


@dataclass(frozen=True)
class FoundFile:
    """A file of a task's folder: its path there, with `/`, and what it is like."""

    path: str
    place: Path
    mode: int
    mtime_ns: int


@dataclass(frozen=True)
class SentFiles:
    """What was uploaded, as an outcome's header lists it, and the names of what could not be."""

    entries: tuple[dict[str, object], ...]
    left: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(int(str(entry["size"])) for entry in self.entries)


def find_files(files: Path) -> tuple[list[FoundFile], list[str]]:
    """List the files below a folder, links to some of them too; and the names of links to folders in it."""
    found, left = [], []
    top = files.resolve()
    for path, status in walk(files):
        place = path
        if stat.S_ISLNK(status.st_mode):
            try:
                place = path.resolve(strict=True)
                if not place.is_relative_to(top):  # it is among those that are named
                    continue
                status = place.lstat()
            except (OSError, RuntimeError):
                continue
            if not stat.S_ISREG(status.st_mode):
                left.append(str(path.relative_to(files)))
        if stat.S_ISREG(status.st_mode):
            found.append(FoundFile(str(path.relative_to(files)), place, status.st_mode & 0o777, status.st_mtime_ns))
    if len(found) > MOST_FILES:
        left.append("and %d more files: %d is the most" % (len(found) - MOST_FILES, MOST_FILES))
        found[MOST_FILES:] = []
    return found, left


def send_files(
    bucket_name: str, address: SweepTaskAddress, token: str, found: Iterable[FoundFile], seconds: float | None = None
) -> SentFiles:
    """Upload files, some at a time; after `seconds` no further one is begun.

    Raises:
        BucketError: one cannot be written.
    """
    give_up_at = None if seconds is None else time.monotonic() + seconds
    entries: dict[str, dict[str, object]] = {}
    left: list[str] = []

    def send(client: storage.BucketClient, file: FoundFile) -> None:
        if give_up_at is not None and time.monotonic() > give_up_at:
            left.append(file.path)
            return
        try:
            _make_readable(file)
            part = file_part(str(file.place))
            name = address.output_name(token, file.path)
            client.put(name, part.size, lambda: envelope_chunks(b"", {"": part}))
        # gone, cut, or unreadable: a process that outlived its program may still be at work
        except (FileNotFoundError, PermissionError, TruncatedError):
            left.append(file.path)
            return
        entries[file.path] = {
            "path": file.path,
            "size": part.size,
            "sha256": part.sha256,
            "mode": file.mode,
            "mtime_ns": file.mtime_ns,
        }

    each(found, send, lambda: storage.from_environment(bucket_name))
    left.sort()
    if len(left) > NAMED:
        left[NAMED:] = ["and %d more" % (len(left) - NAMED)]
    return SentFiles(tuple(entries[path] for path in sorted(entries)), tuple(left))


def _make_readable(file: FoundFile) -> None:
    if not file.mode & 0o400 and os.geteuid() != 0:
        file.place.chmod(file.mode | 0o400)
