"""Make folders that a living process holds by a lock, and remove those whose process has died.

The lock is the folder's own (flock(2)), which the system drops however a process ends: so a folder of a running
emulator is never taken for a dead one's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "cpe-"
# tempfile's own choice of names
_NAME = re.compile(rf"{_PREFIX}(tasks|objects|session)-[a-z0-9_]{{8}}")


class OwnFolder:
    """A folder for temporary files, of this process and this user alone; `kind` is "tasks", "objects" or "session"."""

    def __init__(self, kind: str, parent: Path | None = None) -> None:
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-", dir=parent))
            # another emulator, which starts now, may find it before it is locked: then it is gone
            with contextlib.suppress(FileNotFoundError):
                self._lock = os.open(self.path, os.O_RDONLY)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                if self.path.exists():
                    return
                os.close(self._lock)

    def remove(self) -> None:
        """Remove it, after the processes that are at home in it."""
        remove_tree(self.path)
        os.close(self._lock)


def remove_dead_folders() -> None:
    """Remove this user's folders of emulators that do not run any more, after their tasks."""
    for path in Path(tempfile.gettempdir()).iterdir():
        if _NAME.fullmatch(path.name) is not None:
            with contextlib.suppress(OSError):  # one that is another user's, held, or gone
                _remove_if_dead(path)


def remove_tree(folder: Path) -> None:
    """Remove a folder, after killing process groups whose HOME is in it: they may have left their task's group."""
    for pid in _processes_at_home_in(folder):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(os.getpgid(pid), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_if_dead(path: Path) -> None:
    """Raise BlockingIOError where a process holds it."""
    lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        status = os.fstat(lock)
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(path)
    finally:
        os.close(lock)


def _processes_at_home_in(folder: Path) -> Iterator[int]:
    """Find processes by the HOME they were given, or the folder they are in (Linux only: elsewhere none is found)."""
    marker = b"HOME=" + os.fsencode(folder) + b"/"
    resolved = folder.resolve()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # another user's, or gone
            variables = (entry / "environ").read_bytes().split(b"\0")
            if any(variable.startswith(marker) for variable in variables) or _is_left_in(resolved, entry):
                yield int(entry.name)


def _is_left_in(folder: Path, process: Path) -> bool:
    """Whether a process's working directory is in the folder; never one of a terminal, where a user is at work."""
    if not (process / "cwd").readlink().is_relative_to(folder):
        return False
    # proc_pid_stat(5), field 7: its controlling terminal
    return (process / "stat").read_text().rpartition(")")[2].split()[4] == "0"
