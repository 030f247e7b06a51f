"""The electrons of a dispatch: their states, as Covalent's server knows them, and what a failed one wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from covalent_parallel_plugin.covalent_api.server_client import ServerClient
from covalent_parallel_plugin.protocol.ending_event import RETURNED


@dataclass(frozen=True)
class ElectronState:
    """One electron; `seconds` since its start, None before it.

    Attributes:
        node: its number in the dispatch.
        ending: how it ended, in `watch`'s words, "" before that or if it is not known.
        progress: of a map that runs, how far it is.
    """

    name: str
    executor: str
    status: str
    seconds: float | None
    node: int = 0
    ending: str = ""
    progress: str = ""

    @property
    def shown(self) -> str:
        """How it ended, or else its status."""
        return self.ending or self.status


def read_electrons(graph: Mapping[str, Any], now: datetime) -> tuple[ElectronState, ...]:
    """The user's electrons in the answer of Covalent's graph request, in the order they started.

    Covalent's own nodes have names that start with a colon. Its times are UTC without saying so.
    """
    nodes: Sequence[Mapping[str, Any]] = graph["graph"]["nodes"]
    rows = []
    for node in sorted(nodes, key=lambda node: (node["started_at"] or "9999", node["node_id"])):
        if node["type"] != "function" or node["name"].startswith(":"):
            continue
        seconds = None
        if node["started_at"]:
            end = _utc(node["completed_at"]) if node["completed_at"] else now
            seconds = max(0.0, (end - _utc(node["started_at"])).total_seconds())
        ending = RETURNED if node["status"] == "COMPLETED" else ""
        rows.append(
            ElectronState(node["name"], node["executor_label"], node["status"], seconds, node["node_id"], ending)
        )
    return tuple(rows)


def fetch_electrons(server: ServerClient, dispatch_id: str) -> tuple[ElectronState, ...]:
    """Ask for a dispatch's electrons. Raises OSError."""
    graph = server.get_json(f"/api/v1/dispatches/{dispatch_id}/graph")
    return read_electrons(graph, datetime.now(timezone.utc))


def failed_texts(server: ServerClient, dispatch_id: str) -> dict[int, tuple[str, str]]:
    """Return the name of each failed electron, and what it wrote to stderr with its error, by node.

    Raises one of UNANSWERED.
    """
    found = {}
    for node, electron in server.electrons(dispatch_id).items():
        if electron.status == "FAILED":
            files = [electron.files[name] for name in ("stderr", "error") if name in electron.files]
            found[int(node)] = (electron.name, "\n".join(server.get_text(file.path) for file in files if file.size))
    return found


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
