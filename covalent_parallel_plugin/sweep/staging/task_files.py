"""What a task's folder has before it runs: what `files` names, templates filled in, and what `config` asks for."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import ParallelError
from ...programs.task_folder import walk
from ..combinations import Combination
from ..mistakes import Mistake
from ..sweep_file import SweepFile
from .config_file import config_bytes, config_name
from .file_search import MOST_BYTES, SourceFile, find_files
from .file_templates import FileTemplate, read_template
from .file_tree import CHUNK_BYTES, content_digest
from .preparation import Preparation, PreparationError, TaskToPrepare, travelling


class LayOutError(ParallelError):
    """A task's folder cannot be laid out: a file has changed or gone since the run began, or a template fails."""


@dataclass(frozen=True)
class BroughtFile:
    """A file as it was laid out.

    Attributes:
        path: in the task's folder, with `/`.
        size: bytes.
        mtime_ns: of its last change, in ns since 1970; its source's, so that any change shows.
        keep: whether it stays if it was changed.
    """

    path: str
    size: int
    mtime_ns: int
    keep: bool


class TaskFiles:
    """What `files` and `config` put into every task's folder.

    Attributes:
        sources: the files, by name.
        templates: those of them that are filled in, by name.
        mistakes: why some cannot be brought.
        preparation: what is called for each task once its files are there; None for nothing.
    """

    def __init__(
        self,
        sources: Sequence[SourceFile],
        config: str,
        mistakes: Sequence[Mistake] = (),
        preparation: Preparation | None = None,
    ):
        self.sources, self._config = tuple(sources), config
        self.preparation = preparation
        self.templates: dict[str, FileTemplate] = {}
        self.mistakes = [*mistakes]
        for source in self.sources:
            # Those of more bytes are a mistake already
            if source.size > MOST_BYTES:
                continue
            try:
                template = read_template(source.path, source.name)
            except (OSError, ValueError) as error:
                self.mistakes.append(Mistake(f"files: {source.name} cannot be filled in: {error}", source.location))
            else:
                self.templates |= {source.name: template} if template is not None else {}

    @classmethod
    def find(cls, file: SweepFile, preparation: Preparation | None = None) -> TaskFiles:
        """Find what a sweep's file names."""
        sources, mistakes = find_files(file.path.parent, file.files, config_name(file.config))
        return cls(sources, file.config, mistakes, preparation)

    @property
    def digest(self) -> str:
        """The SHA-256 of all bytes that `files` names, their names, and what prepares; "" where there are mistakes."""
        return "" if self.mistakes else self._digest

    @cached_property
    def names_in_templates(self) -> frozenset[str]:
        """The names that templates use."""
        return frozenset(name for template in self.templates.values() for name in template.names)

    def staged(self, folder: Path) -> TaskFiles:
        """Copy what `files` names into a folder, once for each content; return the copies.

        Then whoever edits the files during a run changes nothing in it.

        Args:
            folder: for copies alone, of which one process at a time takes care.

        Raises:
            LayOutError: see there.
            OSError: the folder cannot be written to.
        """
        if not self.sources:
            return self
        place = folder / self.digest
        if not place.exists():
            shutil.rmtree(folder, ignore_errors=True)
            # what is closed to others may lie in a folder that is
            folder.mkdir(mode=0o700)
            unfinished = folder / "unfinished"
            for source in self.sources:
                self._write(source, unfinished / source.name, None)
            unfinished.rename(place)
        return TaskFiles(
            [replace(source, path=place / source.name) for source in self.sources],
            self._config,
            preparation=self.preparation,
        )

    def lay_out(self, combination: Combination, values: Mapping[str, str], folder: Path) -> tuple[BroughtFile, ...]:
        """Write all into a task's folder, which is empty, and have it prepared; return what was brought.

        Args:
            combination: the task's.
            values: those of all placeholders.
            folder: the task's.

        Raises:
            LayOutError: see there. PreparationError: it could not be prepared.
            OSError: the folder cannot be written to.
        """
        brought = tuple(self._bring(source, values, folder) for source in self.sources)
        if config := self.config(combination):
            (folder / config_name(self._config)).write_bytes(config)
        if self.preparation is None:
            return brought
        by_path = {file.path: file for file in brought}
        for path, status in self._prepare(self.preparation, combination, values, folder):
            name = path.relative_to(folder).as_posix()
            keep = by_path[name].keep if name in by_path else True
            by_path[name] = BroughtFile(name, status.st_size, status.st_mtime_ns, keep)
        return tuple(by_path.values())

    def config(self, combination: Combination) -> bytes:
        """Return the file that `config` asks for, b"" where none is asked for."""
        data = {name: value.data for name, value in combination.values.items()}
        return config_bytes(self._config, data) if self._config else b""

    def filled(self, values: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Return the templates, filled in, by their paths in the task's folder. Raises LayOutError."""
        made = {}
        for source in self.sources:
            if source.name in self.templates:
                status = self._contents[source.name][1]
                text = self._filled(source, values).decode("utf-8", "surrogateescape")
                made[source.target] = {"text": text, **_how(source, status)}
        return made

    def prepared(self, combination: Combination, values: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Return what a function has made for a task, by the paths in its folder, as `filled` returns templates.

        Raises:
            LayOutError: see there. PreparationError: it could not be prepared, or not for another machine.
        """
        if self.preparation is None:
            return {}
        with tempfile.TemporaryDirectory(prefix="sweep-task-") as name:
            folder = Path(os.path.realpath(name))
            unprepared = TaskFiles(self.sources, self._config)
            laid = unprepared.lay_out(combination, values, folder)
            before = {path for path, _ in walk(folder)}
            made = self._prepare(self.preparation, combination, values, folder)
            return travelling(folder, before, made, {file.path: file.keep for file in laid})

    def _prepare(
        self, preparation: Preparation, combination: Combination, values: Mapping[str, str], folder: Path
    ) -> list[tuple[Path, os.stat_result]]:
        """Call the function; return the files that it has made or changed."""
        parameters = {name: value.data for name, value in combination.values.items()}
        task = TaskToPrepare(values["sweep.task"], combination.index, parameters, combination.repeat)
        made = preparation.prepare(task, folder)
        if self._config and any(path == folder / config_name(self._config) for path, _ in made):
            raise PreparationError(
                f"prepare: it changed {config_name(self._config)}, which `config` writes: leave one of them out"
            )
        return made

    def contents(self) -> Iterator[tuple[SourceFile, str, dict[str, Any]]]:
        """Yield the files that are not templates, each with its SHA-256 and how it is laid out. Raises LayOutError."""
        for source in self.sources:
            if source.name not in self.templates:
                sha256, status = self._contents[source.name]
                yield source, sha256, {"size": status.st_size, **_how(source, status)}

    def _bring(self, source: SourceFile, values: Mapping[str, str], folder: Path) -> BroughtFile:
        text = self._filled(source, values) if source.name in self.templates else None
        size, mtime_ns = self._write(source, folder / source.target, text)
        return BroughtFile(source.target, size, mtime_ns, source.keep)

    def _write(self, source: SourceFile, target: Path, text: bytes | None) -> tuple[int, int]:
        """Write a file with the mode and the time of its source, and its bytes unless others are given."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._opened(source) as reader, target.open("xb") as writer:
            status = os.fstat(reader.fileno())
            if text is None:
                shutil.copyfileobj(reader, writer, CHUNK_BYTES)
            else:
                writer.write(text)
            size = writer.tell()
        target.chmod(status.st_mode & 0o777)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        return size, status.st_mtime_ns

    def _opened(self, source: SourceFile) -> BinaryIO:
        try:
            file = source.path.open("rb")
        except OSError as error:
            raise LayOutError(f"files: {source.name} cannot be read any more: {error.strerror}") from error
        if _version(os.fstat(file.fileno())) != self._versions[source.name]:
            file.close()
            raise LayOutError(f"files: {source.name} has changed since the run began: run the sweep again")
        return file

    def _filled(self, source: SourceFile, values: Mapping[str, str]) -> bytes:
        try:
            return self.templates[source.name].fill(values).encode("utf-8", "surrogateescape")
        except ValueError as error:
            raise LayOutError(f"files: {source.name} cannot be filled in: {error}") from error

    @cached_property
    def _contents(self) -> dict[str, tuple[str, os.stat_result]]:
        try:
            return {source.name: content_digest(source.path) for source in self.sources}
        except OSError as error:
            raise LayOutError(f"files: {error.filename} cannot be read any more: {error.strerror}") from error

    @cached_property
    def _versions(self) -> dict[str, tuple[int, ...]]:
        return {name: _version(status) for name, (_, status) in self._contents.items()}

    @cached_property
    def _digest(self) -> str:
        lines = "".join(f"{name}\0{content}\n" for name, (content, _) in self._contents.items())
        if self.preparation is not None:
            lines += f"\0{self.preparation.source}"
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _how(source: SourceFile, status: os.stat_result) -> dict[str, Any]:
    return {"mode": status.st_mode & 0o777, "mtime_ns": status.st_mtime_ns, "keep": source.keep}


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ino
