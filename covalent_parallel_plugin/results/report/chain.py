"""The chain of electrons that a dispatch's end waited for; pure."""

from __future__ import annotations

from collections.abc import Iterable

from .model import Electron


def chain_of(electrons: Iterable[Electron]) -> tuple[int, ...]:
    """Return the nodes of the chain in order: back from the electron that ended last, each time through the parent
    that ended last. There is none unless parents are known."""
    known = {electron.node: electron for electron in electrons if electron.ended is not None}
    if not any(electron.parents for electron in known.values()) and len(known) > 1:
        return ()
    chain: list[int] = []
    latest = max(known.values(), key=_end, default=None)
    while latest is not None and latest.node not in chain:
        chain.append(latest.node)
        latest = max((known[node] for node in latest.parents if node in known), key=_end, default=None)
    return tuple(reversed(chain))


def _end(electron: Electron) -> tuple[float, int]:
    return electron.ended or 0.0, electron.node
