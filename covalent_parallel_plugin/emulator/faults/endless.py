"""Make the page tokens of a list that never ends: each leads to the list's first page again."""

from __future__ import annotations

import itertools

ENDLESS = "endless-"
"""What such tokens begin with."""
SAME, NEW = "same", "new"
"""A token that comes again and again, or another one each time."""
_numbers = itertools.count(1)


def endless_token(which: str) -> str:
    """Return a token: one that was given out before, or a new one."""
    return f"{ENDLESS}{next(_numbers) if which == NEW else 0}"
