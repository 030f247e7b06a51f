"""The files below a folder, links followed, and digests of what is in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

CHUNK_BYTES = 1024 * 1024


def files_below(folder: Path, is_entered: Callable[[Path], bool] = lambda folder: True) -> Iterator[tuple[str, Path]]:
    """Yield all that is below a folder but folders, by name: its path from there, with `/`, and its path.

    Links to folders are followed; one to a folder that it is in is yielded as it is.

    Raises:
        OSError: a folder cannot be read.
    """
    waiting: list[tuple[str, Path, tuple[str, ...]]] = [("", folder, (os.path.realpath(folder),))]
    while waiting:
        prefix, parent, above = waiting.pop()
        inner: list[tuple[str, Path, tuple[str, ...]]] = []
        for entry in sorted(os.scandir(parent), key=lambda entry: entry.name):
            name, path = prefix + entry.name, Path(entry.path)
            if not entry.is_dir() or (real := os.path.realpath(path)) in above:
                yield name, path
            elif is_entered(path):
                inner.append((f"{name}/", path, (*above, real)))
        waiting += reversed(inner)


def content_digest(path: Path) -> tuple[str, os.stat_result]:
    """Return the SHA-256 of a file's bytes, and its status as it was before they were read. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest(), status
