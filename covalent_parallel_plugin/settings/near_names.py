"""Which known name a mistyped one most likely means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Comparing takes time that grows with the square of the length
LONGEST_NAME = 100


def near_names(name: str, names: Iterable[str], count: int = 3, cutoff: float = 0.5) -> list[str]:
    """Return the names that are like this one, the nearest first; `cutoff` is difflib's ratio, from 0 to 1."""
    return [] if len(name) > LONGEST_NAME else difflib.get_close_matches(name, list(names), count, cutoff)


def nearest(name: str, names: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the name that is most like this one; None where none is."""
    return next(iter(near_names(name, names, 1, cutoff)), None)
