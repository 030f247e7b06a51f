"""A function of the user's that prepares each task's folder: called before a task starts, and part of its key."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import stat
import textwrap
import threading
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ParallelError
from ...programs.task_folder import walk

# A machine reads a hundred tasks at once
MOST_BYTES = 1_000_000


class PreparationError(ParallelError):
    """A task could not be prepared: the function raised, or left what cannot be brought to a task."""


@dataclass(frozen=True)
class TaskToPrepare:
    """A task that is about to start: its name, its index in the sweep, its parameters, its repetition (or None)."""

    name: str
    index: int
    parameters: Mapping[str, Any]
    repeat: int | None = None


Prepare = Callable[[TaskToPrepare, Path], object]
# A file's size (bytes), time of its last change (ns) and number
Version = tuple[int, int, int]


class Preparation:
    """The function, one call at a time.

    Attributes:
        source: its source text, else its qualified name; what it calls is not part of that.
    """

    def __init__(self, function: Prepare) -> None:
        self.source = _source(function)
        self._function = function
        self._lock = threading.Lock()

    def prepare(self, task: TaskToPrepare, folder: Path) -> list[tuple[Path, os.stat_result]]:
        """Call the function for a task; return the files that it has made or changed, by their names.

        Raises:
            PreparationError: it raised.
        """
        before = {path: _version(status) for path, status in _files(folder)}
        try:
            with self._lock:
                self._function(task, folder)
        # SystemExit would end the thread, and not the task
        except (Exception, SystemExit) as error:
            raise PreparationError(_raised(error)) from error
        return [(path, status) for path, status in _files(folder) if before.get(path) != _version(status)]


def travelling(
    folder: Path, before: Collection[Path], made: list[tuple[Path, os.stat_result]], keeps: Mapping[str, bool]
) -> dict[str, dict[str, Any]]:
    """Return what a function has made for a task on Batch, as templates travel, by the paths in the folder.

    Args:
        before: all paths below the folder before the call.
        keeps: of `files` by their paths in the folder, whether they stay if they were changed.

    Raises:
        PreparationError: what it left is more than files, or too large.
    """
    there = dict(walk(folder))
    gone = sorted(path.relative_to(folder).as_posix() for path in before if path not in there)
    if gone:
        raise PreparationError(f"prepare: it removed {gone[0]}, which tasks on Batch still get")
    parents = {path.parent for path in there}
    for path, status in there.items():
        name, is_folder = path.relative_to(folder).as_posix(), stat.S_ISDIR(status.st_mode)
        if not is_folder and not stat.S_ISREG(status.st_mode):
            raise PreparationError(f"prepare: it made {name}, which is not a file: only files are uploaded to Batch")
        if is_folder and path not in parents and path not in before:
            raise PreparationError(f"prepare: it made the empty folder {name}: only files are uploaded to Batch")
    size = sum(status.st_size for _, status in made)
    if size > MOST_BYTES:
        raise PreparationError(
            f"prepare: it made {size:,} bytes for one task, and at most {MOST_BYTES:,} are uploaded to Batch:"
            " name large files under `inputs`"
        )
    brought = {}
    for path, status in made:
        name = path.relative_to(folder).as_posix()
        brought[name] = {
            "text": path.read_bytes().decode("utf-8", "surrogateescape"),
            "mode": status.st_mode & 0o777,
            "mtime_ns": status.st_mtime_ns,
            "keep": keeps.get(name, True),
        }
    return brought


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    return ((path, status) for path, status in walk(folder) if stat.S_ISREG(status.st_mode))


def _version(status: os.stat_result) -> Version:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _raised(error: BaseException) -> str:
    """Return what an error says in a traceback's last line, and which line of the function raised it."""
    last = traceback.format_exception_only(error)[-1].strip()
    # The first frame is the call in here
    inner = traceback.extract_tb(error.__traceback__)[1:]
    return f"prepare: {last}" + (f" ({Path(inner[0].filename).name}, line {inner[0].lineno})" if inner else "")


def _source(function: Callable[..., Any]) -> str:
    more = ""
    while isinstance(function, functools.partial):
        more += f"\n{function.args!r} {function.keywords!r}"
        function = function.func
    # A method's function, an object's call
    written = inspect.unwrap(getattr(function, "__func__", function))
    if not (inspect.isfunction(written) or inspect.isclass(written)):
        written = type(written)
    with contextlib.suppress(OSError, TypeError):
        return textwrap.dedent(inspect.getsource(written)) + more
    return f"{written.__module__}.{written.__qualname__}{more}"
