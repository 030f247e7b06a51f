"""Where a value in the cache comes from, and the line that says so. Pure."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import NamedTuple

from ..verdict import Value


class Source(NamedTuple):
    """Dispatch and node of the call whose job made a value, and when that was, in seconds since 1970."""

    dispatch_id: str
    node_id: int
    made_seconds: float

    @classmethod
    def now(cls, dispatch_id: str, node_id: int) -> Source:
        """Return the source of a value that has just been made."""
        return cls(dispatch_id, node_id, time.time())


def explained(value: Value, source: Source) -> Value:
    """Return a value with a first line of stderr that says when it was made, and how to run the electron anyway."""
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(source.made_seconds))
    line = (
        f"from the cache: made at {made} by node {source.node_id} of dispatch {source.dispatch_id}, whose output this"
        " is. To run it anyway: cache=False, or another cache_version.\n"
    )
    return Value(replace(value.outcome, stderr=line + value.outcome.stderr))
