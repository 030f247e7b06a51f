"""PYTHONPATH, which the runner does without: given to the electron, unless it hides modules of the standard library."""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from typing import List

from ..protocol.exception_record import is_of_the_standard_library

# What a message names, of a folder that hides many
MOST_NAMED = 5


def restore_python_path() -> str:
    """Put the folders of PYTHONPATH where Python had them: before its own, and behind the runner's archive.

    Returns:
        Why the electron cannot run with them, "" if it can.
    """
    named = [os.path.abspath(entry) for entry in os.environ["PYTHONPATH"].split(os.pathsep) if entry]
    own = [entry for entry in sys.path if entry in named]
    rest = [entry for entry in sys.path if entry not in named]
    first = int(rest[:1] == [getattr(__spec__.loader, "archive", None)])
    sys.path[:] = [*rest[:first], *own, *rest[first:]]
    hidden = _hidden(own)
    if not hidden:
        return ""
    return (
        "PYTHONPATH hides modules of Python's standard library, which the runner and other modules of Python's need: "
        "%s. Rename these files, or take their folders out of PYTHONPATH." % ", ".join(hidden[:MOST_NAMED])
    )


def _hidden(folders: "List[str]") -> "List[str]":
    """Return the files in these folders that hide standard modules in use; Python 3.9 does not know their names."""
    found = []
    for name in sorted(set(getattr(sys, "stdlib_module_names", ())).intersection(sys.modules)):
        if getattr(getattr(sys.modules[name], "__spec__", None), "origin", None) in (None, "built-in", "frozen"):
            # Found before any folder is looked into
            continue
        spec = PathFinder.find_spec(name, folders)
        if spec is None or spec.origin is None:
            continue
        if not is_of_the_standard_library(spec.origin):
            found.append("%s (hides %s)" % (spec.origin, name))
    return found
