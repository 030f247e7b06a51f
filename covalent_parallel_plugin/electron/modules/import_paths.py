"""Where a program's own modules are: the folders that it imports from, apart from Python's and installed packages'.

The process that dispatches says so, in a form that travels with each function. It loads neither Covalent nor Google.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import sysconfig
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ...protocol.environment import IMPORT_PATHS_FILE

# Never a user's own: the runner brings the first two along itself, the third is the image's
NEVER_OWN = frozenset({"covalent_parallel_plugin", "cloudpickle", "covalent", "__main__"})
INSTALLED = ("site-packages", "dist-packages")
# What an extension module's name ends with, whatever Python it is for
EXTENSIONS = (".so", ".pyd")
NO_PACKAGES = ("__pycache__", "node_modules")
# The file by which Python finds its library, also that of another Python
LANDMARK = "os.py"
# How much of a folder is looked through for a module
MOST_ENTRIES, MOST_DEPTH = 500, 4

# A folder that has changed within this time may change again before its clock ticks
SETTLED_NS = 1_000_000_000

_packages: set[str] = set()
# Of folders that are none: all folders that were looked through, with when each had changed
_without_modules: dict[str, dict[str, int]] = {}


@dataclass(frozen=True)
class ImportFolder:
    """A folder that modules are imported from, and the names that were found there; None where nobody has looked."""

    path: str
    names: frozenset[str] | None = None


@dataclass(frozen=True)
class ImportPaths:
    """Where own modules are.

    Attributes:
        folders: in the order in which they are searched.
        mapped: of editable installs that a finder finds, the folder or file of each module, by its name.
        metadata: the folders of metadata (*.dist-info) of editable installs, by the folder of the project.
    """

    folders: tuple[ImportFolder, ...] = ()
    mapped: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return what JSON can say."""
        return {
            "folders": [[folder.path, sorted(folder.names or ())] for folder in self.folders],
            "mapped": dict(self.mapped),
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_json(cls, value: object) -> ImportPaths:
        """Read it; what has another form than `to_json` gives it is left out."""
        if not isinstance(value, Mapping):
            return cls()
        folders = value.get("folders")
        return cls(
            tuple(
                ImportFolder(entry[0], frozenset(map(str, entry[1])))
                for entry in (folders if isinstance(folders, Sequence) else ())
                if isinstance(entry, Sequence)
                and len(entry) == 2
                and isinstance(entry[0], str)
                and isinstance(entry[1], Sequence)
            ),
            _text_pairs(value.get("mapped")),
            _text_pairs(value.get("metadata")),
        )

    def with_folders(self, paths: Iterable[str]) -> ImportPaths:
        """Return these, and folders that are not among them, into which nobody has looked.

        A function may be written in an installed package, or in Python's library, as a decorator's: these are left out.
        """
        known = {folder.path for folder in self.folders}
        added = [ImportFolder(path) for path in paths if path not in known and _is_users(Path(path))]
        return ImportPaths((*self.folders, *added), self.mapped, self.metadata)


def own_import_paths() -> ImportPaths:
    """Return where this process imports its own modules from, as things are now."""
    for entry in sys.path:
        # The electron that makes a sublattice's graph imports from folders of its container; those here are the
        # dispatching machine's.
        try:
            return ImportPaths.from_json(json.loads(Path(entry, IMPORT_PATHS_FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    searched = _searched_folders(tuple(sys.path), str(Path.cwd()))
    folders = []
    for path, is_behind_python in searched.own:
        names = importable_names(path)
        folders.append(ImportFolder(path, names - sys.stdlib_module_names if is_behind_python else names))
    return ImportPaths(tuple(folders), _mapped_modules(), _editable_metadata(searched.installed))


class _SearchedFolders(NamedTuple):
    """The folders of sys.path: own ones, each with whether Python's come before it, and those of installed packages."""

    own: tuple[tuple[str, bool], ...]
    installed: tuple[str, ...]


@lru_cache(64)
def _searched_folders(entries: tuple[str, ...], here: str) -> _SearchedFolders:
    own: dict[str, bool] = {}
    installed = []
    standard = _standard_folders()
    is_behind_python = False
    for entry in entries:
        path = Path(here, entry)
        if path.resolve() in standard:
            is_behind_python = True
        elif _is_installed(path):
            installed.append(str(path))
        elif _may_be_own(path, standard):
            own.setdefault(str(path), is_behind_python)
    return _SearchedFolders(tuple(own.items()), tuple(installed))


def importable_names(folder: str) -> frozenset[str]:
    """Return the names, without a dot, of the modules and packages in a folder, as far as they can be own ones."""
    found = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name, _, rest = entry.name.partition(".")
                if not name.isidentifier() or name in NEVER_OWN or name in sys.builtin_module_names:
                    continue
                if (
                    rest == "py"
                    or entry.name.endswith(EXTENSIONS)
                    or (not rest and name not in NO_PACKAGES and entry.is_dir() and _holds_modules(entry.path))
                ):
                    found.add(name)
    except OSError:
        # A folder on the path need not be there.
        return frozenset(found)
    return frozenset(found)


def _is_users(path: Path) -> bool:
    return path.is_absolute() and not _is_installed(path) and _may_be_own(path, _standard_folders())


def _is_installed(path: Path) -> bool:
    return any(part in INSTALLED for part in path.parts)


def _standard_folders() -> set[Path]:
    return {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}


def _may_be_own(path: Path, standard: set[Path]) -> bool:
    real = path.resolve()
    if not real.is_dir() or real == Path(sys.executable).parent.resolve():
        return False
    if not standard.isdisjoint({real, *real.parents}) or (real / LANDMARK).is_file():
        return False
    # What pip was given as a target is full of them; the folder of an editable install has an *.egg-info.
    return not any(real.glob("*.dist-info"))


def _holds_modules(folder: str) -> bool:
    """Whether a folder is a package, also one without `__init__.py` (PEP 420): modules are in it, or in folders there.

    One that is none is looked through again once it, or a folder in it, has changed: each function asks for this.
    """
    if folder in _packages:
        return True
    looked = _without_modules.get(folder)
    if looked is not None and all(_changed_ns(path) == then for path, then in looked.items()):
        return False
    looked = {}
    if _is_package(folder, looked):
        _packages.add(folder)
        _without_modules.pop(folder, None)
    elif max(looked.values()) < time.time_ns() - SETTLED_NS:
        _without_modules[folder] = looked
    return folder in _packages


def _changed_ns(path: str) -> int:
    """Return when a folder, its entries or the permission to read it last changed; 0 if it is not there."""
    try:
        return Path(path).stat().st_ctime_ns
    except OSError:
        return 0


def _is_package(folder: str, looked: dict[str, int]) -> bool:
    """Whether modules are in a folder; `looked` gets the folders that are looked through."""
    todo, left = [(folder, 0)], MOST_ENTRIES
    while todo:
        path, depth = todo.pop(0)
        looked[path] = _changed_ns(path)
        try:
            with os.scandir(path) as entries:
                inner = list(islice(entries, left))
        except OSError:
            continue
        if any(entry.name.endswith((".py", *EXTENSIONS)) for entry in inner):
            return True
        left -= len(inner)
        if depth < MOST_DEPTH:
            todo += [
                (entry.path, depth + 1)
                for entry in inner
                if entry.name.isidentifier() and entry.name not in NO_PACKAGES and entry.is_dir()
            ]
    return False


def _mapped_modules() -> tuple[tuple[str, str], ...]:
    """Return what the finders of editable installs map, as setuptools writes them (`__editable___*_finder`)."""
    found: dict[str, str] = {}
    for finder in sys.meta_path:
        module = sys.modules.get(str(getattr(finder, "__module__", "")))
        if module is not None and module.__name__.startswith("__editable__"):
            found.update(_text_pairs(getattr(module, "MAPPING", None)))
            for name, paths in (getattr(module, "NAMESPACES", None) or {}).items():
                found.update((str(name), str(path)) for path in paths if Path(path).is_dir())
    return tuple((name, path) for name, path in found.items() if name.partition(".")[0] not in NEVER_OWN)


def _editable_metadata(folders: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for folder in folders:
        with contextlib.suppress(OSError):
            found.update(_editable_in(folder, Path(folder).stat().st_mtime_ns))
    return tuple(found.items())


@lru_cache(64)
def _editable_in(folder: str, changed_ns: int) -> dict[str, str]:
    """Return the metadata of editable installs (PEP 610) in a folder of packages, by the project's folder."""
    found = {}
    for path in Path(folder).glob("*.dist-info/direct_url.json"):
        try:
            described = json.loads(path.read_text(encoding="utf-8"))
            if described.get("dir_info", {}).get("editable"):
                found[unquote(urlsplit(described["url"]).path)] = str(path.parent)
        except (OSError, ValueError, KeyError, AttributeError):
            # Whatever an installer wrote there: without it the version of that package is not known to the electron.
            continue
    return found


def _text_pairs(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping):
        return ()
    return tuple((key, path) for key, path in value.items() if isinstance(key, str) and isinstance(path, str))
