"""What the entries of `files` name: files, folders and patterns beside the sweep's file, and nowhere else."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..mistakes import Location, Mistake
from ..sweep_file import FileEntry
from .file_templates import target_name
from .file_tree import files_below

MOST_BYTES = 1_000_000_000
# Written by Python beside the files that it runs, and no part of them
CACHE_FOLDER = "__pycache__"
# In a folder that a sweep has written, which is left out of those that it is in
JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class SourceFile:
    """A file that `files` brings.

    Attributes:
        path: where it is.
        name: its path from the sweep's file on, with `/`.
        target: its path in the task's folder, without the suffix of a template.
        keep: whether it stays there after the task if it was changed.
        size: bytes.
        location: the entry's.
    """

    path: Path
    name: str
    target: str
    keep: bool
    size: int
    location: Location


def find_files(folder: Path, entries: Iterable[FileEntry], config_name: str) -> tuple[list[SourceFile], list[Mistake]]:
    """Find what the entries name below a folder; nothing is read.

    Args:
        folder: of the sweep's file.
        config_name: of the file that `config` asks for, "" for none.
    """
    search = _Search(folder)
    for entry in entries:
        search.add(entry)
    sources = sorted(search.sources.values(), key=lambda source: source.name)
    return sources, [*search.mistakes, *_clashes(sources, config_name)]


class _Search:
    def __init__(self, folder: Path):
        self._folder, self._real = folder, os.path.realpath(folder)
        self.sources: dict[str, SourceFile] = {}
        self.mistakes: list[Mistake] = []
        self._bytes = 0

    def add(self, entry: FileEntry) -> None:
        mistakes = len(self.mistakes)
        count = 0
        try:
            for name, path in self._named(entry):
                count += 1
                self._add_file(entry, name, path)
        except OSError as error:
            self._refuse(entry, f"cannot be read ({error.strerror}: {error.filename})")
        if not count and len(self.mistakes) == mistakes and not self._is_folder(entry):
            self._refuse(entry, f"does not exist in {self._folder}: name a file, a folder or a pattern there")

    def _named(self, entry: FileEntry) -> Iterator[tuple[str, Path]]:
        text = entry.path.text
        path = self._folder / text
        if not os.path.lexists(path) and glob.has_magic(text):
            # Files only: a pattern for all that is there would bring folders that nobody thinks of
            for found in sorted(glob.glob(text, root_dir=self._folder, recursive=True)):  # noqa: PTH207  # not hidden
                name = os.path.normpath(found)
                if (self._folder / name).is_file() and not any(map(self._is_left_out, self._folders(name))):
                    yield name, self._folder / name
        elif not self._is_inside(path):
            self._refuse_outside(entry, path)
        elif path.is_dir():
            prefix = os.path.normpath(text)
            for name, inside in files_below(path, lambda inner: self._is_entered(entry, inner)):
                yield os.path.normpath(f"{prefix}/{name}"), inside
        elif os.path.lexists(path):
            yield os.path.normpath(text), path

    def _add_file(self, entry: FileEntry, name: str, path: Path) -> None:
        if not self._is_inside(path):
            return self._refuse_outside(entry, path)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return self._refuse(entry, f"includes {name}, which is neither a file nor a folder of files: leave it out")
        if not os.access(path, os.R_OK):
            return self._refuse(entry, f"includes {name}, which cannot be read: allow reading, or leave it out")
        before = self.sources.get(name)
        if before is not None:
            self.sources[name] = replace(before, keep=before.keep and entry.keep)
            return None
        self.sources[name] = SourceFile(path, name, target_name(name), entry.keep, status.st_size, entry.path.location)
        was_small, self._bytes = self._bytes <= MOST_BYTES, self._bytes + status.st_size
        if was_small and self._bytes > MOST_BYTES:
            self._refuse(
                entry,
                f"adds more than 1 GB to every task's folder, with {name} ({status.st_size / 1e9:.1f} GB):"
                " name large files under `inputs`, which tasks read in one place",
            )
        return None

    def _is_folder(self, entry: FileEntry) -> bool:
        return (self._folder / entry.path.text).is_dir()

    def _is_inside(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self._real)

    def _is_entered(self, entry: FileEntry, folder: Path) -> bool:
        if not self._is_inside(folder):
            self._refuse_outside(entry, folder)
            return False
        return not self._is_left_out(folder)

    def _folders(self, name: str) -> Iterator[Path]:
        return (self._folder / parent for parent in Path(name).parents[:-1])

    def _is_left_out(self, folder: Path) -> bool:
        return folder.name == CACHE_FOLDER or (folder / JOURNAL).exists()

    def _refuse_outside(self, entry: FileEntry, path: Path) -> None:
        self._refuse(
            entry,
            f"leads out of the file's folder, to {os.path.realpath(path)}: copy it into {self._folder},"
            " or name it under `inputs`",
        )

    def _refuse(self, entry: FileEntry, why: str) -> None:
        self.mistakes.append(Mistake(f"files: {entry.path.text!r} {why}", entry.path.location))


def _clashes(sources: list[SourceFile], config_name: str) -> Iterator[Mistake]:
    """Yield what would be written over another file of the task's folder."""
    by_target: dict[str, str] = {config_name: "`config`"} if config_name else {}
    folders = {parent.as_posix() for source in sources for parent in Path(source.target).parents}
    for source in sources:
        other = by_target.setdefault(source.target, source.name)
        if other != source.name:
            text = f"files: {source.name} and {other} both become {source.target} in the task's folder: rename one"
            yield Mistake(text, source.location)
        if source.target in folders:
            text = f"files: {source.name} becomes {source.target}, which is a folder too: rename one"
            yield Mistake(text, source.location)
