"""The files of an electron's own modules: found by name, with what they import in turn, and refused where too many."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .import_paths import EXTENSIONS, NEVER_OWN, ImportFolder, ImportPaths, importable_names
from .source_imports import imports_of

# What all modules of an electron may have together. Code is far smaller; what is larger is data, which is better off in
# a bucket: every task fetches all of it.
MOST_BYTES = 50 * 2**20
MOST_FILES = 10_000
SOURCES = (".py", *EXTENSIONS)
LEFT_OUT = "__pycache__"
# Written by venv into the folder of a virtual environment (PEP 405)
ENVIRONMENT = "pyvenv.cfg"
METADATA = ("METADATA", "entry_points.txt", "top_level.txt")
REMEDIES = (
    "install it in the image, or with `requirements`, and set own_modules=False; or give the electron a smaller package"
)


@dataclass(frozen=True)
class ModuleFile:
    """A file that travels: its name in the archive, and where it is here."""

    name: str
    path: str
    size: int
    mode: int


@dataclass(frozen=True)
class ModuleFiles:
    """What travels with an electron.

    Attributes:
        files: by name.
        modules: names without a dot, of what was found.
        mistakes: a sentence for each that cannot travel.
    """

    files: tuple[ModuleFile, ...]
    modules: tuple[str, ...]
    mistakes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(file.size for file in self.files)


def own_names(paths: ImportPaths) -> frozenset[str]:
    """Return the names of all own modules, without a dot."""
    names = {name.partition(".")[0] for name, _ in paths.mapped}
    for folder in paths.folders:
        names |= importable_names(folder.path) if folder.names is None else folder.names
    return frozenset(names - NEVER_OWN)


def find_files(names: Iterable[str], paths: ImportPaths) -> ModuleFiles:
    """Find the files of own modules, and of the own modules that these import."""
    search = _Search(paths, own_names(paths))
    todo = sorted(set(names) & search.known)
    while todo:
        name = todo.pop()
        if name in search.found:
            continue
        search.take(name)
        todo.extend(sorted((search.imported & search.known) - search.found))
    search.take_metadata()
    return ModuleFiles(
        tuple(search.files[name] for name in sorted(search.files)),
        tuple(sorted(search.found)),
        tuple(search.mistakes),
    )


@dataclass
class _Search:
    paths: ImportPaths
    known: frozenset[str]
    files: dict[str, ModuleFile] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    mistakes: list[str] = field(default_factory=list)
    roots: set[str] = field(default_factory=set)
    size: int = 0

    def take(self, name: str) -> None:
        """Take a module, or a package with all that is in its folder."""
        self.found.add(name)
        places = list(self._places(name))
        if not places:
            self.mistakes.append(self._absence(name))
        for dotted, path in places:
            size, count = self.size, len(self.files)
            self._take_path(dotted.replace(".", "/"), path)
            if self.size > MOST_BYTES or len(self.files) > MOST_FILES:
                self.mistakes.append(
                    f"the own module {name!r} in {path} is too large to travel with the electron: more than"
                    f" {MOST_BYTES >> 20} MB or {MOST_FILES:,} files in all: {REMEDIES}"
                )
                self.size = size
                for file in list(self.files)[count:]:
                    del self.files[file]
                return

    def _places(self, name: str) -> Iterator[tuple[str, str]]:
        """Where a module is, with its name: one place, but that packages without `__init__.py` may have several."""
        has_portions = False
        for folder in self.paths.folders:
            path = _in_folder(folder, name)
            if path is None or (has_portions and not _is_portion(path)):
                continue
            yield name, path
            if not _is_portion(path):
                return
            has_portions = True
        for dotted, path in self.paths.mapped:
            if dotted.partition(".")[0] == name:
                for place in (path, *(path + ending for ending in SOURCES)):
                    if Path(place).exists():
                        yield dotted, place
                        break

    def _absence(self, name: str) -> str:
        there = [folder.path for folder in self.paths.folders if folder.names is not None and name in folder.names]
        there += [path for dotted, path in self.paths.mapped if dotted.partition(".")[0] == name]
        return (
            f"the own module {name!r} was in {there[0] if there else 'a folder'} where the electron was dispatched, and"
            " is not there on the machine that Covalent's server is on: give the server the same folder, or install the"
            " module in the image, or with `requirements`, and set own_modules=False"
        )

    def _take_path(self, name: str, path: str) -> None:
        if Path(path).is_dir():
            self._take_folder(name, path, not _is_portion(path), (os.path.realpath(path),))
        else:
            self._take_file(name + _ending(path, name), path)

    def _take_folder(self, name: str, path: str, is_package: bool, above: tuple[str, ...]) -> None:
        """Take what is in a folder; of one that is no package the modules alone, and the packages in it."""
        self.roots.add(os.path.realpath(path))
        try:
            with os.scandir(path) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            self.mistakes.append(f"the own package {path} cannot be read ({error.strerror}): {REMEDIES}")
            return
        if any(entry.name == ENVIRONMENT for entry in entries):
            return
        for entry in entries:
            if self.size > MOST_BYTES or len(self.files) > MOST_FILES:
                return
            inner = f"{name}/{entry.name}"
            if entry.name.startswith(".") or entry.name == LEFT_OUT or entry.name.endswith(".pyc"):
                continue
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                # A link to a folder above would have no end.
                if real not in above and (is_package or entry.name.isidentifier()):
                    self._take_folder(inner, entry.path, is_package or not _is_portion(entry.path), (*above, real))
            elif is_package or entry.name.endswith(SOURCES):
                self._take_file(inner, entry.path)

    def _take_file(self, name: str, path: str) -> None:
        try:
            status = Path(path).stat()
            if not stat.S_ISREG(status.st_mode) or name in self.files:
                return
            if name.endswith(".py"):
                key = (path, status.st_mtime_ns, status.st_size, status.st_ino)
                self.imported |= imports_of(*key)
        except FileNotFoundError:
            # A link to nothing, or deleted meanwhile
            return
        except OSError as error:
            self.mistakes.append(f"the own module {path} cannot be read ({error.strerror}): {REMEDIES}")
            return
        self.size += status.st_size
        self.files[name] = ModuleFile(name, path, status.st_size, 0o755 if status.st_mode & 0o100 else 0o644)
        self.roots.add(os.path.realpath(Path(path).parent))

    def take_metadata(self) -> None:
        """Take the metadata of editable installs that files are from: `importlib.metadata` reads the version there."""
        for project, metadata in self.paths.metadata:
            real = os.path.realpath(project)
            if any(root == real or root.startswith(real + os.sep) for root in self.roots):
                for name in METADATA:
                    self._take_file(f"{Path(metadata).name}/{name}", str(Path(metadata, name)))


def _in_folder(folder: ImportFolder, name: str) -> str | None:
    """Where a folder has a module, as Python looks for it: a package, an extension, a source, a folder."""
    if folder.names is not None and name not in folder.names:
        return None
    path = Path(folder.path, name)
    if (path / "__init__.py").is_file():
        return str(path)
    try:
        there = sorted(Path(folder.path).iterdir())
    except OSError:
        return None
    for ending in (*EXTENSIONS, ".py"):
        for entry in there:
            if entry.name.partition(".")[0] == name and entry.name.endswith(ending):
                return str(entry)
    return str(path) if path.is_dir() else None


def _is_portion(path: str) -> bool:
    """Whether it is a folder that is no package by itself (PEP 420)."""
    folder = Path(path)
    return folder.is_dir() and not any(entry.name.endswith(SOURCES) for entry in folder.glob("__init__.*"))


def _ending(path: str, name: str) -> str:
    """What follows the module's name in the file's."""
    file, stem = Path(path).name, name.rpartition("/")[2]
    return file[len(stem) :] if file.startswith(stem) else Path(path).suffix
