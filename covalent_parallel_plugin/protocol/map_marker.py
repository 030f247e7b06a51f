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
# The name that stands for the items of another map, of which only those run that have no value
_OF_A_MAP = re.compile(r"the items of node (\d{1,10}) of dispatch ([A-Za-z0-9_-]{1,100}) for a map")
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


def rerun_label(dispatch_id: str, node_id: int) -> str:
    """Return the name of the items of a map that ran before."""
    return f"the items of node {node_id} of dispatch {dispatch_id} for a map"


def earlier_map(name: object) -> tuple[str, int] | None:
    """Return the dispatch and the node whose items go by this name; None where they are no map's."""
    found = _OF_A_MAP.fullmatch(str(name or ""))
    return (found[2], int(found[1])) if found else None
