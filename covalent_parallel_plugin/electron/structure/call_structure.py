"""The key of a call's structure: what decides its value, and nothing of where and when it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from ...protocol.envelope import FilePart, Part, part_sha256
from ..call import Call, Pickles
from .graph_digest import graph_digest
from .pickle_graph import read_graph
from .pickle_node import UnreadableError

# Raised with every change of what goes into the key
FORMAT = 1
# Larger parts are data, whose bytes are the same for equal values
MOST_BYTES = 64 * 2**20


def call_structure(call: Call, pickles: Pickles, facts: Mapping[str, object]) -> str:
    """Return the key of a call: 64 hex digits, the same for an equal function and equal inputs.

    `facts` is what decides the value beside them, such as the image: JSON, without an order of its own. Nothing that
    the pickles hold is loaded; of a part whose structure cannot be read the key has the bytes.
    """
    content = {
        "format": FORMAT,
        "args": call.args,
        "kwargs": call.kwargs,
        "before": call.before,
        "after": call.after,
        "whole_string": call.whole_string,
        "map": None if call.map is None else call.map.header,
        "facts": facts,
        "parts": {name: part_structure(part, call.sha256.get(name)) for name, part in pickles.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=repr).encode()).hexdigest()


def part_structure(part: Part, sha256: str | None = None) -> str:
    """Return what stands for one pickle in the key; `sha256` is that of its bytes, where it is known."""
    if (part.size if isinstance(part, FilePart) else len(part)) <= MOST_BYTES:
        try:
            return "structure " + graph_digest(read_graph(_bytes_of(part))).hex()
        except UnreadableError:
            pass
    return "bytes " + (sha256 or part_sha256(part))


def _bytes_of(part: Part) -> bytes:
    if not isinstance(part, FilePart):
        return part
    with Path(part.path).open("rb") as file:
        file.seek(part.offset)
        return file.read(part.size)
