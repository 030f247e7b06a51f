"""Names of regions: those that can exist, and the nearest to one that cannot.

https://cloud.google.com/compute/docs/regions-zones: a continent, a direction and a number. Another one is refused only
where it looks like one of these, so that a new continent works before this file knows it.
"""

from __future__ import annotations

import re

from .near_names import nearest

_CONTINENTS = ("africa", "asia", "australia", "europe", "me", "northamerica", "southamerica", "us")
_DIRECTIONS = ("central", "east", "north", "northeast", "northwest", "south", "southeast", "southwest", "west")
_HEADS = [f"{continent}-{direction}" for continent in _CONTINENTS for direction in _DIRECTIONS]
_NAME = re.compile(r"([a-z]+(?:-[a-z]+)+)\d+")
# What other clouds, and people, call a continent
_OTHER_NAMES = {"eu": "europe", "ap": "asia", "na": "northamerica", "sa": "southamerica", "ca": "northamerica"}


def is_region(name: str) -> bool:
    """Whether a region may have this name."""
    found = _NAME.fullmatch(name)
    return found is not None and (found[1] in _HEADS or _nearest_head(found[1]) is None)


def nearest_region(name: str) -> str | None:
    """The region that a mistyped name most likely means; None where none is near."""
    found = re.fullmatch(r"(?:.*/)?([a-z][a-z _-]*?)[ _-]*(\d*)", name.strip().lower())
    head = _nearest_head(re.sub("[ _]", "-", found[1])) if found else None
    return f"{head}{found[2] or 1}" if head and found else None


def _nearest_head(head: str) -> str | None:
    continent, dash, rest = head.partition("-")
    head = f"{_OTHER_NAMES.get(continent, continent)}{dash}{rest}"
    swapped = [known for known in _HEADS if sorted(known) == sorted(head)]
    return swapped[0] if swapped else nearest(head, _HEADS, 0.8)
