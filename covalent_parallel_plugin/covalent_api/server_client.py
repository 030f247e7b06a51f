"""HTTP client of the Covalent server: any of its answers, a dispatch's state and its electrons."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

ANSWER_SECONDS = 10.0
STATE_SECONDS = 5.0
# Of a dispatch of thousands of electrons the whole takes the server seconds
ELECTRONS_SECONDS = 15.0
# What is raised where the server cannot be reached, or answers in another form
UNANSWERED = (OSError, ValueError, KeyError, TypeError, AttributeError)
# Answers with little whatever the database holds
LATEST_DISPATCH = "/api/v2/dispatches?count=1&status_only=true"


@dataclass(frozen=True)
class ElectronRecord:
    """An electron of a dispatch; `options` are its executor's attributes, empty where it has only the executor's name.

    `status` is Covalent's, of when the server was asked; `sub_dispatch_id` is that of the dispatch of a sublattice, ""
    before there is one and of other electrons.
    """

    name: str
    executor: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    status: str = ""
    sub_dispatch_id: str = ""


class ServerClient:
    """A client of the Covalent server at `address` (http://host:port).

    The server is mostly on this machine or near it, so no proxy is asked unless `uses_proxy`.
    """

    def __init__(self, address: str, uses_proxy: bool = False):
        self.address = address.rstrip("/")
        self._opener = urllib.request.build_opener(*([] if uses_proxy else [urllib.request.ProxyHandler({})]))

    @classmethod
    def configured(cls) -> ServerClient:
        """Return a client of the server that Covalent's configuration names. Imports Covalent."""
        from covalent._shared_files.utils import format_server_url

        return cls(format_server_url())

    def get_text(self, path: str, timeout_seconds: float = ANSWER_SECONDS) -> str:
        """Return the answer to `path`, such as `/api/v2/dispatches/<dispatch id>`, as text.

        Raises:
            OSError: the server could not be reached or answered with an error status.
        """
        return self._get(path, timeout_seconds).decode(errors="replace")

    def get_json(self, path: str, timeout_seconds: float = ANSWER_SECONDS) -> Any:
        """Return the answer to `path`, read as JSON.

        Raises:
            OSError: as `get_text`. ValueError: the answer is not JSON.
        """
        return json.loads(self._get(path, timeout_seconds))

    def dispatch_state(self, dispatch_id: str) -> str:
        """Return the dispatch's state, "" if the server knows no such dispatch. Raises one of UNANSWERED."""
        path = f"/api/v2/dispatches?status_only=true&dispatch_id={quote(dispatch_id)}"
        found = self.get_json(path, STATE_SECONDS)["dispatches"]
        return str(found[0]["status"]) if isinstance(found, list) and found else ""

    def electrons(self, dispatch_id: str) -> dict[str, ElectronRecord]:
        """Return the electrons by node, from the manifest that `ct.get_result` reads too. Raises one of UNANSWERED."""
        lattice = self.get_json(f"/api/v2/dispatches/{quote(dispatch_id)}", ELECTRONS_SECONDS)["lattice"]
        if not isinstance(lattice, dict):
            raise TypeError("the dispatch has no lattice")
        found = {}
        for node in lattice["transport_graph"]["nodes"]:
            told = node["metadata"]
            options = (told["executor_data"] or {}).get("attributes") or {}
            found[str(node["id"])] = ElectronRecord(
                str(told["name"]),
                str(told["executor"]),
                dict(options),
                str(told["status"]),
                str(told.get("sub_dispatch_id") or ""),
            )
        return found

    def _get(self, path: str, timeout_seconds: float) -> bytes:
        with self._opener.open(self.address + path, timeout=timeout_seconds) as answer:
            body: bytes = answer.read()
            return body


def reason_of(error: Exception) -> str:
    """Return one line that says why the server did not answer."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(cause).split("\n", 1)[0] or type(error).__name__
