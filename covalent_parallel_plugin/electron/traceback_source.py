"""The user's own lines in a remote traceback: the container has the electron's bytecode, and not its source file."""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable

from .outcome import Raised

_FRAME = re.compile(r'  File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>.+)')

# The source line of a frame, given file, line number and function; "" where it is not known
Lookup = Callable[[str, int, str], str]


def with_source_lines(traceback: str, lookup: Lookup) -> str:
    """The traceback with a source line under each frame that has none."""
    lines = traceback.split("\n")
    result = []
    for index, line in enumerate(lines):
        result.append(line)
        frame = _FRAME.fullmatch(line)
        if frame and not (index + 1 < len(lines) and lines[index + 1].startswith("    ")):
            source = lookup(frame["file"], int(frame["line"]), frame["name"]).strip()
            if source:
                result.append(f"    {source}")
    return "\n".join(result)


def electron_lookup(raised: Raised, name: str, source: str) -> Lookup:
    """Look lines up in the electron's own source, as Covalent keeps it, then in Python files of this machine.

    Args:
        name: the electron's function.
        source: its text, from its first line (a decorator's, if it has one) on; "" if not known.
    """
    known = source.splitlines()

    def lookup(file: str, line: int, function: str) -> str:
        first = raised.first_lines.get((file, function))
        if function == name and first is not None and 0 <= line - first < len(known):
            return known[line - first]
        return linecache.getline(file, line) if file.endswith(".py") else ""

    return lookup
