"""Store what a user's emulators share, beyond the end of each: a Python without packages, and packages."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

FOLDER = "covalent-parallel"
# Requirements without a version are looked up again each day; what nobody uses any more goes later
KEPT_DAYS = 7


class UserCache:
    """The user's own folder, which nobody else may enter; `path` is None where there can be none.

    Args:
        environment: XDG_CACHE_HOME or HOME says where it is.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        parent = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or Path.home(), ".cache"))
        self.path = _own_folder(Path(parent, FOLDER)) if Path(parent).is_absolute() else None

    def folder(self, *names: str) -> Path | None:
        """Return a folder in it, which is there then."""
        if self.path is None:
            return None
        folder = self.path.joinpath(*names)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder


def make_once(folder: Path, make: Callable[[Path], None]) -> None:
    """Fill a folder with `make` unless it is there; safe where other processes do the same at the same time.

    It is under another name until it is whole: a process that is killed here leaves nothing that looks complete.
    """
    with locked(folder.with_name(f"{folder.name}.lock")):
        if folder.is_dir():
            return
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder.parent))
        try:
            make(partial)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


class TodaysFolder:
    """A folder of the day, held until `release`; those of a week ago are removed unless an emulator holds them."""

    def __init__(self, parent: Path, today: date | None = None) -> None:
        day = date.today() if today is None else today
        self.path = parent / day.isoformat()
        self.path.mkdir(mode=0o700, exist_ok=True)
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        oldest = (day - timedelta(days=KEPT_DAYS)).isoformat()
        for old in parent.glob("????-??-??"):
            if old.name < oldest:
                _remove_unless_held(old)

    def release(self) -> None:
        """Let others remove it."""
        os.close(self._lock)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock, for which others wait."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _own_folder(path: Path) -> Path | None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return None
        if stat.S_IMODE(found.st_mode) != 0o700:
            path.chmod(0o700)
        tempfile.TemporaryFile(dir=path).close()
    except OSError:
        return None
    return path


def _remove_unless_held(folder: Path) -> None:
    with contextlib.suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
