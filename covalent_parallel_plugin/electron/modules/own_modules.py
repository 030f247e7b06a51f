"""The own modules of a call: which it needs, and the archive of them, made once for a dispatch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import SettingsError
from ...protocol.envelope import FilePart, Part
from ..call import Call
from .archive import ModulesArchive, make_archive
from .import_paths import ImportPaths
from .module_files import REMEDIES, find_files, own_names
from .pickled_names import PickledNames, read_argument, read_names

# Of dispatches that run at the same time
MOST_SNAPSHOTS = 64
MOST_FUNCTIONS = 1024

_functions: dict[tuple[str, str], PickledNames] = {}
_snapshots: OrderedDict[tuple[object, ...], ModulesArchive] = OrderedDict()
_snapshots_lock = threading.Lock()


@dataclass(frozen=True)
class NeededModules:
    """What a call imports.

    Attributes:
        imported: the names, without a dot, of all modules that its pickles name.
        own: those of them that are the user's own.
        paths: where these are.
    """

    imported: frozenset[str]
    own: frozenset[str]
    paths: ImportPaths


def needed_modules(call: Call, pickles: Mapping[str, Part], paths: ImportPaths) -> NeededModules:
    """Find out from a call's pickles, with their SHA-256 in `call`, which modules it needs; nothing of them is loaded.

    What functions import is read from their code. Of arguments it is read where the name of an own module is in them.
    """
    names, arguments = PickledNames(), []
    for name, pickle in pickles.items():
        if name.endswith("function"):
            names |= _names_of_function(_bytes_of(pickle), call.sha256.get(name, ""), call.python)
        else:
            arguments.append(pickle)
    paths = paths.with_folders(names.folders)
    own = own_names(paths)
    for pickle in arguments if own or call.whole_string else ():
        data = _bytes_of(pickle)
        # The graph of a sublattice has pickles in base64, where no name can be seen.
        if call.whole_string:
            names |= read_names(data, call.python)
        elif any(name.encode() in data for name in own):
            names |= read_argument(data, call.python, own)
    if call.whole_string:
        paths = paths.with_folders(names.folders)
        own = own_names(paths)
    return NeededModules(names.modules, names.modules & own, paths)


def archive_of(call: Call, needed: NeededModules, dispatch_id: str) -> ModulesArchive | None:
    """Return the archive of a call's own modules, None where it needs none; for a dispatch the same files make one.

    The modules of a dispatch are read once: electrons that begin later get what the first ones got. Without a dispatch
    they are read each time.

    Raises:
        SettingsError: what cannot travel, all of it in one message.
    """
    if not needed.own:
        return None
    key = (dispatch_id, needed)
    with _snapshots_lock:
        known = _snapshots.get(key) if dispatch_id else None
        if known is not None:
            _snapshots.move_to_end(key)
            return known
        archive = _read(call, needed)
        same = next((other for other in _snapshots.values() if other == archive), archive)
        if dispatch_id:
            _snapshots[key] = same
            if len(_snapshots) > MOST_SNAPSHOTS:
                _snapshots.popitem(last=False)
        return same


def _read(call: Call, needed: NeededModules) -> ModulesArchive:
    found = find_files(needed.own, needed.paths)
    if found.mistakes:
        raise SettingsError([f"{call}: {mistake}" for mistake in found.mistakes])
    try:
        return make_archive(found.files, found.modules)
    except OSError as error:
        raise SettingsError(
            [f"{call}: the own module {error.filename} cannot be read ({error.strerror}): {REMEDIES}"]
        ) from error


def _bytes_of(pickle: Part) -> bytes:
    if not isinstance(pickle, FilePart):
        return pickle if isinstance(pickle, bytes) else bytes(pickle)
    with Path(pickle.path).open("rb") as file:
        file.seek(pickle.offset)
        return file.read(pickle.size)


def _names_of_function(pickle: bytes, sha256: str, python: str) -> PickledNames:
    """Return the names of a function's pickle; those of a known one again, by its SHA-256, if that is given."""
    if not sha256:
        return read_names(pickle, python)
    known = _functions.get((sha256, python))
    if known is None:
        known = _functions[sha256, python] = read_names(pickle, python)
        while len(_functions) > MOST_FUNCTIONS:
            # Another thread may have removed the first one.
            _functions.pop(next(iter(_functions), ("", "")), None)
    return known
