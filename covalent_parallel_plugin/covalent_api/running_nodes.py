"""Which nodes run in this process, and which were cancelled before they did.

Covalent cancels through another instance of the executor than the one that runs a node.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TypeVar

from ..batch.cancellation import Cancellation

# A node by its dispatch and its number there
NodeId = tuple[str, int]
K = TypeVar("K")
V = TypeVar("V")

MOST_REMEMBERED = 100_000


class RunningNodes:
    """The nodes of one process; of those that ended, or were cancelled early, the latest are remembered."""

    def __init__(self) -> None:
        self._running: dict[NodeId, list[Cancellation]] = {}
        self._cancelled_early: OrderedDict[NodeId, None] = OrderedDict()
        # Covalent cancels nodes that have run, too.
        self._ended: OrderedDict[NodeId, None] = OrderedDict()
        self._is_ending = False
        # By their ids; a dispatch is one process's
        self._dispatches: OrderedDict[str, None] = OrderedDict()
        self.since_seconds = time.time()
        """Since when this process takes nodes, in seconds since 1970."""

    def begin(self, node: NodeId) -> Cancellation:
        """Return the cancellation of a node that runs from here on; it may be set already."""
        cancelled = Cancellation()
        remember(self._dispatches, node[0], None)
        self._running.setdefault(node, []).append(cancelled)
        if node in self._cancelled_early:
            del self._cancelled_early[node]
            cancelled.set()
        if self._is_ending:
            cancelled.set(keeps_results=True)
        return cancelled

    def end(self, node: NodeId, cancelled: Cancellation) -> None:
        """The node runs no longer."""
        self._running[node].remove(cancelled)
        if not self._running[node]:
            del self._running[node]
            remember(self._ended, node, None)

    @property
    def count(self) -> int:
        """How many nodes run."""
        return len(self._running)

    @property
    def dispatches(self) -> frozenset[str]:
        """The ids of the dispatches whose nodes run."""
        return frozenset(node[0] for node in self._running)

    def cancel_all(self) -> set[str]:
        """Have all nodes cancelled that run, or begin from here on, since the server ends: results stay.

        Returns:
            The ids of the dispatches whose nodes run.
        """
        self._is_ending = True
        for cancelled in [each for node in self._running.values() for each in node]:
            if not cancelled.is_set():
                cancelled.set(keeps_results=True)
        return set(self.dispatches)

    def cancel(self, node: NodeId) -> bool:
        """Have a node cancelled that runs, or that has not run yet.

        Returns:
            Whether any node of its dispatch began here; else another process may have begun this one.
        """
        if node in self._running:
            for cancelled in self._running[node]:
                cancelled.set()
        elif node not in self._ended:
            remember(self._cancelled_early, node, None)
        return node[0] in self._dispatches


def remember(known: OrderedDict[K, V], key: K, value: V) -> None:
    """Keep a value, and of all of them the latest."""
    known[key] = value
    known.move_to_end(key)
    while len(known) > MOST_REMEMBERED:
        known.popitem(last=False)
