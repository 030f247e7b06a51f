"""Sections of what an electron printed, each under a title: written so that they can be separated again, and read.

A section ends where the next title begins. Where its text has a line that looks like a title, or is followed by
something else than a title, its own title says how many characters follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# What users may print too
_TITLE = re.compile(r"^--- .+ ---$", re.MULTILINE)
_COUNTED = re.compile(r"--- (.+) \(([0-9]{1,15}) characters\) ---")


class Section(NamedTuple):
    """A title, "" for what stands under none, and the text under it."""

    title: str
    text: str


def section(title: str, text: str, is_followed: bool = False) -> str:
    """A text under its title; nothing where there is none.

    `is_followed` says that something may come after it that has no title.
    """
    if not text:
        return ""
    count = f" ({len(text)} characters)" if is_followed or _TITLE.search(text) is not None else ""
    return f"--- {title}{count} ---\n{text}" + ("" if text.endswith("\n") else "\n")


def note(text: str) -> str:
    """A line that ends a section, with nothing under it."""
    return f"--- {text} ---\n"


def split_sections(text: str) -> Iterator[Section]:
    """Give the sections of a text in order; what stands under no title has the title ""."""
    position = 0
    while position < len(text):
        title = _TITLE.match(text, position)
        if title is None:
            end = _next_title(text, position)
            yield Section("", text[position:end])
            position = end
            continue
        counted = _COUNTED.fullmatch(title[0])
        start = min(title.end() + 1, len(text))
        if counted is None:
            position = _next_title(text, start)
            yield Section(title[0][4:-4], text[start:position])
            continue
        position = min(start + int(counted[2]), len(text))
        yield Section(counted[1], text[start:position])
        if position < len(text) and not text.endswith("\n", start, position):
            # The line end that the text did not have
            position += 1


def _next_title(text: str, position: int) -> int:
    found = _TITLE.search(text, position)
    return len(text) if found is None else found.start()
