"""The electron's own modules: fetched as the call pins them, and first on the path of its process, as in its script."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import List, cast

from ..protocol.envelope import Json
from ..protocol.environment import IMPORT_PATHS_FILE
from . import bucket_http as storage
from .output_capture import say

ARCHIVE = "modules.zip"
FOLDER = "modules"
COPY_BYTES = 1024 * 1024


def fetch_modules(bucket: storage.BucketClient, header: Json, folder: str) -> bool:
    """Have the archive in `folder`.

    Returns:
        False where the bucket has none, or another one than the call pins.

    Raises:
        BucketError: the bucket cannot be read. OSError: there is no room.
    """
    path = os.path.join(folder, ARCHIVE)
    with open(path, "w+b") as file:
        found = bucket.get(str(header["modules_object"]), file, is_expected=False)
    if found and _sha256(path) == header["modules_sha256"]:
        return True
    what = "another archive of the electron's own modules than the call pins" if found else "no archive of them"
    say("own modules: the bucket has %s: %s" % (what, header["modules_object"]))
    return False


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(COPY_BYTES), b""):
            digest.update(piece)
    return digest.hexdigest()


def add_modules(header: Json, folder: str) -> None:
    """Unpack the archive below `folder`, first on the path, and have its modules hide others of their names."""
    # Loaded here only: most electrons have no modules of their own.
    import importlib
    import zipfile

    place = os.path.join(folder, FOLDER)
    os.mkdir(place)
    with zipfile.ZipFile(os.path.join(folder, ARCHIVE)) as archive:
        for entry in archive.infolist():
            path = archive.extract(entry, place)
            os.chmod(path, entry.external_attr >> 16 or 0o644)
    if "import_paths" in header:
        with open(os.path.join(place, IMPORT_PATHS_FILE), "w", encoding="utf-8") as file:
            json.dump(header["import_paths"], file)
    os.remove(os.path.join(folder, ARCHIVE))
    sys.path.insert(0, place)
    importlib.invalidate_caches()
    for name in cast(List[str], header["modules"]):
        _forget(name)


def _forget(name: str) -> None:
    """Have the next import of a name find the electron's own module, also where Python has loaded one of that name."""
    for loaded in [loaded for loaded in sys.modules if loaded == name or loaded.startswith(name + ".")]:
        # Whoever has it keeps it.
        del sys.modules[loaded]
