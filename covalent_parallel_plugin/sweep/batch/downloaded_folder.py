"""A task's folder as downloads fill it: check its files, record its owner, and move it to its place."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ...programs.task_folder import FILES, STDERR_FILE, STDOUT_FILE, TASK_FILE, make_folder, open_folder
from .delivered_body import BodyAddress, DeliveredFile

STREAMS = {"stdout": STDOUT_FILE, "stderr": STDERR_FILE}


class CheckedFile:
    """A file that takes the bytes that were sealed, and no others."""

    def __init__(self, file: BinaryIO, expected: DeliveredFile, address: BodyAddress) -> None:
        self._file = file
        self._expected = expected
        self._address = address
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes, /) -> int:
        """Append. Raises OutcomeError: there is more than was sealed."""
        self._size += len(data)
        if self._size > self._expected.size:
            self._refuse()
        self._digest.update(data)
        return self._file.write(data)

    def seek(self, offset: int, /) -> int:
        """Start again."""
        self._digest, self._size = hashlib.sha256(), 0
        return self._file.seek(offset)

    def truncate(self) -> int:
        """Cut the file off where it stands."""
        return self._file.truncate()

    def check(self) -> None:
        """Raise OutcomeError where these are not the bytes that were sealed."""
        if (self._size, self._digest.hexdigest()) != (self._expected.size, self._expected.sha256):
            self._refuse()

    def _refuse(self) -> None:
        self._address.refuse(f"its file {self._expected.path!r} in the bucket is not the one that was delivered")


def put_in_place(part: Path, folder: Path, earlier: Sequence[Path]) -> None:
    """Make a folder the task's; what was there becomes one of its earlier attempts, and so do these."""
    for attempt in earlier:
        make_folder(folder)
        _move(attempt, folder)
    make_folder(folder)
    _move(part, folder)
    open_folder(folder)


def empty(folder: Path) -> None:
    """Remove all that is in a folder."""
    shutil.rmtree(folder)
    folder.mkdir()


def write_nothing(folder: Path) -> None:
    """Write what a task has that delivered nothing."""
    (folder / FILES).mkdir()
    for file in STREAMS.values():
        (folder / file).touch()


def _move(source: Path, folder: Path) -> None:
    """Move what makes a task's folder, task.json last; `files` takes the place of an empty one."""
    for name in (FILES, *STREAMS.values(), TASK_FILE):
        (source / name).rename(folder / name)


def recorded_end(folder: Path, mark: Mapping[str, object]) -> dict[str, Any] | None:
    """Return what task.json says, if it is of this task and execution."""
    found = _task_file(folder) or {}
    return found if all(found.get(name) == value for name, value in mark.items()) else None


def _task_file(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / TASK_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def tokens_in(folder: Path) -> set[object]:
    """Return the tokens of the executions that a task's folder has."""
    if not folder.is_dir():
        return set()
    folders = [folder, *folder.glob("attempt-*")]
    return {found.get("token") for each in folders if (found := _task_file(each)) is not None}
