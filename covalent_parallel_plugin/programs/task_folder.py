"""A task's folder: earlier attempts set aside, brought files tidied away, links that lead out named, owners changed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from .core_schema import json_value

TASK_FILE = "task.json"
STDOUT_FILE = "stdout.txt"
STDERR_FILE = "stderr.txt"
FILES = "files"
_ATTEMPT = re.compile(r"attempt-([0-9]+)")
# More names of what was left than this help nobody
NAMED = 100
FULL_REMEDY = ": make room, then run again"


class LaidFile(Protocol):
    """A file that `files` brought into a task's folder: its path below it, and what it was like then."""

    @property
    def path(self) -> str:
        """The path, relative to the task's folder."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def mtime_ns(self) -> int:
        """Time of its last change in ns since 1970."""

    @property
    def keep(self) -> bool:
        """Whether it stays if it has changed."""


def make_folder(folder: Path) -> Path:
    """Make a task's folder for an attempt, with what an earlier one left in `attempt-N`; return `files`, empty.

    Nobody else can look into the folder until `open_folder`. Raises OSError.
    """
    # a link in its place could lead anywhere
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        folder.unlink()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    with os.scandir(folder) as found:
        names = [entry.name for entry in found]
    if names:
        _set_aside(folder, names)
    files = folder / FILES
    files.mkdir()
    return files


def open_folder(folder: Path) -> None:
    """Let others look into a task's folder as far as they may look into `OUT`."""
    folder.chmod(0o700 | folder.parent.stat().st_mode & 0o055)


def share_files(files: Path) -> list[tuple[Path, int]]:
    """Let everyone do in a folder what its owner may, which the closed folder around it keeps from all but a container.

    Returns the paths whose mode has changed, each with the mode that it had.
    """
    changed = []
    for path, status in walk(files):
        mode = stat.S_IMODE(status.st_mode)
        shared = mode | (mode >> 6 & 0o7)
        if not stat.S_ISLNK(status.st_mode) and shared != mode:
            path.chmod(shared)
            changed.append((path, mode))
    changed.insert(0, (files, stat.S_IMODE(files.stat().st_mode)))
    files.chmod(0o777)
    return changed


def unshare_files(files: Path, changed: Sequence[tuple[Path, int]]) -> None:
    """Give paths the mode that they had; those that are gone, or are or lie behind links by now, are passed over."""
    # what is in a folder before the folder, which may be closed then
    for path, mode in reversed(changed):
        if path.exists() and not path.is_symlink() and not _leads_through_link(files, path):
            path.chmod(mode)


def walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """List everything below a folder with its status, following no link; a folder comes before what is in it.

    Of a folder that cannot be looked into, nothing is listed. However deep they are: a program may make any number.
    """
    folders = [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            # one that a process which outlived its task removes
            with contextlib.suppress(FileNotFoundError):
                yield Path(entry.path), entry.stat(follow_symlinks=False)
        folders += [Path(entry.path) for entry in reversed(entries) if entry.is_dir(follow_symlinks=False)]


def has_foreign_owner(folder: Path, user: int) -> bool:
    """Return whether a folder or something in it belongs to another user, or may not be looked into."""
    return any(status.st_uid != user or _is_closed(status) for _, status in ((folder, folder.lstat()), *walk(folder)))


def take_ownership(folder: Path, user: int, group: int) -> None:
    """Make a folder and all in it this user's, following no link. Raises OSError."""
    for path, status in ((folder, folder.lstat()), *walk(folder)):
        if (status.st_uid, status.st_gid) != (user, group):
            os.chown(path, user, group, follow_symlinks=False)
        if _is_closed(status):
            path.chmod(stat.S_IMODE(status.st_mode) | 0o700)


def restore_folder(folder: Path) -> Path:
    """Make a task's folders again where its program has removed them or made links of them; return `files`."""
    files = folder / FILES
    for path in (folder, files):
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            path.unlink()
        path.mkdir(exist_ok=True)
        if _is_closed(status := path.lstat()):
            path.chmod(stat.S_IMODE(status.st_mode) | 0o700)
    return files


def tidy_files(files: Path, brought: Iterable[LaidFile]) -> None:
    """Remove the files that were brought in and have not changed, those not to be kept, and their folders if empty.

    A file below what has become a link is left: it is not in the folder. Raises OSError.
    """
    parents: set[Path] = set()
    for entry in brought:
        path = files / entry.path
        if _leads_through_link(files, path):
            continue
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        is_same = stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)
        if (is_same or not entry.keep) and not stat.S_ISDIR(status.st_mode):
            path.unlink()
            parents.update(parent for parent in path.parents if parent.is_relative_to(files) and parent != files)
    for parent in sorted(parents, key=lambda path: len(path.parts), reverse=True):
        if not any(parent.iterdir()):
            parent.rmdir()


def names_left(files: Path) -> tuple[str, ...]:
    """Name what is in a folder and is not followed: links that lead out of it, sockets, pipes and devices."""
    top = files.resolve()
    found: list[str] = []
    for path, status in walk(files):
        kind = stat.S_IFMT(status.st_mode)
        if kind in (stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFLNK and _stays_in(path, top)):
            continue
        found.append(str(path.relative_to(files)))
    found.sort()
    if len(found) > NAMED:
        found[NAMED:] = [f"and {len(found) - NAMED} more"]
    return tuple(found)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file aside and rename it. Raises OSError."""
    aside = path.with_name(f".{path.name}.part")
    text = json.dumps(json_value(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # what is not text, such as some names of files, becomes JSON's own escapes
    aside.write_text(text, encoding="utf-8", errors="backslashreplace")
    aside.replace(path)


def _is_closed(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode) and status.st_mode & 0o700 != 0o700


def _set_aside(folder: Path, names: list[str]) -> None:
    numbers = [int(match[1]) for name in names if (match := _ATTEMPT.fullmatch(name))]
    moved = [name for name in names if not _ATTEMPT.fullmatch(name)]
    if moved:
        aside = folder / f"attempt-{max(numbers, default=-1) + 1}"
        aside.mkdir()
        for name in moved:
            (folder / name).rename(aside / name)


def _leads_through_link(files: Path, path: Path) -> bool:
    return any(parent.is_symlink() for parent in path.parents if parent != files and parent.is_relative_to(files))


def _stays_in(link: Path, top: Path) -> bool:
    try:
        return link.resolve().is_relative_to(top)
    except (OSError, RuntimeError):  # links in a circle
        return False


def is_full(error: OSError) -> bool:
    """Return whether an error says that there is no room on the disk, or no more of the user's share."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
