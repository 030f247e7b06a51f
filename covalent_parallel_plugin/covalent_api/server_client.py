"""What Covalent's server tells of a dispatch: its state, and its electrons with their executors."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

STATE_SECONDS = 5.0
# Of a dispatch of thousands of electrons the whole takes the server seconds
NODES_SECONDS = 15.0
# What is raised where the server is out of reach, or answers what it should not
UNANSWERED = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Node:
    """An electron; `options` are its executor's attributes, empty where it has only the executor's name.

    `status` is Covalent's, of when the server was asked.
    """

    name: str
    executor: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    status: str = ""


class CovalentServer:
    """Covalent's server at `address` (http://host:port); what goes wrong raises one of UNANSWERED."""

    def __init__(self, address: str):
        self.address = address.rstrip("/")

    def state(self, dispatch_id: str) -> str:
        """The dispatch's state, "" where the server knows no such dispatch."""
        path = f"/api/v2/dispatches?status_only=true&dispatch_id={quote(dispatch_id)}"
        found = self._get(path, STATE_SECONDS)["dispatches"]
        return str(found[0]["status"]) if isinstance(found, list) and found else ""

    def nodes(self, dispatch_id: str) -> dict[str, Node]:
        """The electrons by node, from the manifest that `ct.get_result` reads too."""
        lattice = self._get(f"/api/v2/dispatches/{quote(dispatch_id)}", NODES_SECONDS)["lattice"]
        if not isinstance(lattice, dict):
            raise TypeError("the dispatch has no lattice")
        found = {}
        for node in lattice["transport_graph"]["nodes"]:
            told = node["metadata"]
            options = (told["executor_data"] or {}).get("attributes") or {}
            found[str(node["id"])] = Node(str(told["name"]), str(told["executor"]), dict(options), str(told["status"]))
        return found

    def _get(self, path: str, seconds: float) -> dict[str, object]:
        # The server is on this machine or near it: no proxy leads there.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.address + path, timeout=seconds) as answer:
            read: dict[str, object] = json.load(answer)
            return read


def reason(error: Exception) -> str:
    """One line that says why the server did not tell."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(cause).split("\n", 1)[0] or type(error).__name__
