"""Where the dispatching process imports its own modules from, carried by each function that goes to Covalent's server.

Covalent's TransportableObject has a header, which the server keeps as it is. It is filled in where the workflow is
dispatched: a server cannot know the folder of a notebook, or what another environment has installed as editable.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from ..electron.modules.import_paths import ImportPaths, own_import_paths

KEY = "covalent_parallel_import_paths"


def carry_import_paths(transportable: type[Any]) -> None:
    """Have the header of each function say it; repeated calls change nothing."""
    make = transportable.__init__
    if hasattr(make, KEY):
        return

    @wraps(make)
    def make_with_paths(self: Any, obj: Any) -> None:
        make(self, obj)
        if callable(obj):
            self._header[KEY] = own_import_paths().to_json()

    setattr(make_with_paths, KEY, True)
    transportable.__init__ = make_with_paths


def carried_paths(header: Any) -> ImportPaths:
    """Read it; nothing is known of a function that was dispatched without this package."""
    return ImportPaths.from_json(header.get(KEY))
