"""Remove a sweep's folder: what the sweep made, and nothing else."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from .local.container_backend import CLIENTS_FOLDER
from .records.journal import State
from .records.out_folder import (
    COPY,
    DOWNLOADS,
    DRAIN,
    INPUT_DIGESTS,
    KEY,
    MOVED_PREFIX,
    STAGED_FILES,
    STANDARD_INPUT_COPY,
    TRIALS,
    UNFINISHED,
    OutFolder,
)
from .records.table import CSV_FILE, JSON_FILE

OWN = (
    COPY,
    CSV_FILE,
    JSON_FILE,
    STANDARD_INPUT_COPY,
    INPUT_DIGESTS,
    KEY,
    DOWNLOADS,
    STAGED_FILES,
    TRIALS,
    DRAIN,
    CLIENTS_FOLDER,
)


def bytes_of(out: OutFolder) -> int:
    """Return how many bytes the files in a sweep's folder have."""
    total = 0
    for folder, _, names in os.walk(out.path):
        for name in names:
            path = Path(folder, name)
            total += path.lstat().st_size if os.path.lexists(path) else 0
    return total


def remove_sweep(out: OutFolder) -> list[str]:
    """Remove what a sweep made, its journal last, and the folder if nothing else is in it; return what is left.

    Raises:
        JournalError: the journal cannot be read. OSError: something cannot be removed.
    """
    state = State.read(out.journal_path)
    ours = {*state.ends, *state.running, *OWN}
    for path in out.path.iterdir():
        is_unfinished = path.name.startswith(".") and path.name.endswith(UNFINISHED)
        if path.name in ours or path.name.startswith(MOVED_PREFIX) or is_unfinished:
            _remove(path)
    out.journal_path.unlink()
    left = sorted(path.name for path in out.path.iterdir())
    if not left:
        out.path.rmdir()
    return left


def _remove(path: Path) -> None:
    # Not shutil's function, for which folders can be too deep
    ended = subprocess.run(["rm", "-rf", "--", path], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise OSError(errno.EACCES, ended.stderr.strip().splitlines()[0].rpartition(": ")[2], str(path))
