"""The archive in which an electron's own modules travel: the same bytes for the same files, named by their SHA-256."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from ...protocol.object_names import modules_name
from .module_files import ModuleFile

FIXED_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class ModulesArchive:
    """Own modules as one object.

    Attributes:
        modules: the names, without a dot, of what is in it.
        data: its bytes; sha256: theirs.
    """

    modules: tuple[str, ...]
    sha256: str
    data: bytes = field(repr=False, compare=False)

    def object_name(self, now: float) -> str:
        """Return the object for calls of the day of `now` (UTC, seconds since 1970).

        The bucket's lifecycle rule counts days from when an object was made: so what a call needs is not older than it.
        """
        return modules_name(datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%d"), self.sha256)


def make_archive(files: Sequence[ModuleFile], modules: Sequence[str]) -> ModulesArchive:
    """Read the files.

    Raises:
        OSError: a file cannot be read, or is not there any more.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.name, FIXED_TIME)
            entry.external_attr = file.mode << 16
            archive.writestr(entry, Path(file.path).read_bytes(), zipfile.ZIP_DEFLATED)
    data = buffer.getvalue()
    return ModulesArchive(tuple(modules), hashlib.sha256(data).hexdigest(), data)
