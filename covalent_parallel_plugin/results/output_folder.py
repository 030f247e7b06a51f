"""A folder that results are written to: files that are new, for their owner alone, values whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO


class OutputFolder:
    """Files below one folder.

    Attributes:
        path: the folder's.
        files: how many files were written.

    Raises:
        OSError: from each method, where a file cannot be written.
    """

    def __init__(self, path: Path):
        self.path = path
        self.files = 0

    def make(self) -> None:
        """Make the folder, unless it is there."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def existing(self, base: str) -> list[str]:
        """The names of files and folders that are `base`, or continue after it with a dot."""
        return sorted(found.name for found in self.path.iterdir() if f"{found.name}.".startswith(f"{base}."))

    def write(self, name: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Write a file; it has its name once all of it is written."""
        path = self.path / name
        unfinished = path.with_name(f"{path.name}.part")
        with self._open(unfinished, os.O_EXCL) as file:
            for chunk in chunks:
                file.write(chunk)
        unfinished.replace(path)
        self.files += 1

    def append(self, name: str, text: str) -> None:
        """Write a text behind what is in a file, or begin one; without a text nothing is done."""
        if text:
            self.files += not (self.path / name).exists()
            with self._open(self.path / name, os.O_APPEND) as file:
                file.write(text.encode("utf-8", "backslashreplace"))

    def remove(self, name: str) -> None:
        """Remove a file that was written here."""
        (self.path / name).unlink()
        self.files -= 1

    def _open(self, path: Path, flags: int) -> BinaryIO:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flags, 0o600), "wb")
