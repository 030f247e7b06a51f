"""How an electron that is a map is known without loading it: by a line of its docstring, and the name of its items.

Covalent keeps the docstring and the name of whatever it pickles beside the pickle.
"""

from __future__ import annotations

import json
import re
from typing import Any

# The last line of the docstring begins so; what follows is JSON. The number is the format's.
MARKER = "covalent-parallel-map/1 "
# The name that the items go by, wherever how many they are is known when the lattice is built
_ITEMS = re.compile(r"(\d{1,10}) items for a map")
# The function that takes one item is this attribute of the electron's; its first parameter has this name
MAPPED_FUNCTION = "covalent_parallel_map"
MAPPED_ITEMS = "items"


def add_marker(doc: str | None, described: dict[str, Any]) -> str:
    """Return a docstring with the marker at its end."""
    return f"{doc or ''}\n\n{MARKER}{json.dumps(described)}"


def read_marker(doc: object) -> dict[str, Any] | None:
    """Return what the marker of a docstring says; None where there is none."""
    last = str(doc or "").rsplit("\n", 1)[-1]
    if not last.startswith(MARKER):
        return None
    try:
        described = json.loads(last[len(MARKER) :])
    except ValueError:
        return None
    return described if isinstance(described, dict) else None


def items_label(count: int) -> str:
    """Return the name of so many items."""
    return f"{count} items for a map"


def item_count(name: object) -> int | None:
    """Return how many items go by this name; None where it does not say."""
    found = _ITEMS.fullmatch(str(name or ""))
    return int(found[1]) if found else None
