"""The versions that an image and this environment have to share."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata

from ... import __version__

LABELS = {
    "python": "covalent-parallel.python",
    "covalent": "covalent-parallel.covalent",
    "cloudpickle": "covalent-parallel.cloudpickle",
    "plugin": "covalent-parallel.plugin",
}
"""Field of `Versions` -> the label that the Dockerfile gives it."""


@dataclass(frozen=True)
class Versions:
    """What is installed: None where that is not known, "" where a package is not there.

    `python` may be the minor version alone (3.11) or the whole (3.11.2).
    """

    python: str | None = None
    covalent: str | None = None
    cloudpickle: str | None = None
    plugin: str | None = None

    @property
    def python_minor(self) -> str | None:
        """Python's version without its last part; None where it is not known."""
        return None if self.python is None else ".".join(self.python.split(".")[:2])


def versions_here() -> Versions:
    """This process's own."""
    return Versions(
        python=".".join(map(str, sys.version_info[:2])),
        covalent=_installed("covalent"),
        cloudpickle=_installed("cloudpickle"),
        plugin=__version__,
    )


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
