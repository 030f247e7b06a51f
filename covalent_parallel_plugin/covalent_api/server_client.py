"""HTTP client of the Covalent server: any of its answers, a dispatch's state and its electrons."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from ..settings.config_file import read_config_file
from .config_file import server_address
from .lineage import ancestors_in, read_note

ANSWER_SECONDS = 10.0
STATE_SECONDS = 5.0
# Of a dispatch of thousands of electrons the whole takes the server seconds
ELECTRONS_SECONDS = 15.0
HEADER_OFFSET, LONGEST_HEADER_BYTES = 16, 1024 * 1024
PIECE_BYTES = 64 * 1024
# What is raised where the server cannot be reached, or answers in another form
UNANSWERED = (OSError, ValueError, KeyError, TypeError, AttributeError)
# Answers with little whatever the database holds
LATEST_DISPATCH = "/api/v2/dispatches?count=1&status_only=true"
# Covalent's states that an electron and a dispatch end with (covalent._shared_files.util_classes.Status)
OVER = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
# The assets of an electron and of a dispatch that are read here
ELECTRON_FILES = ("stdout", "stderr", "function", "error", "output")
DISPATCH_FILES = ("result", "error")
# The name of this package's executor
EXECUTOR = "gcpbatch"


@dataclass(frozen=True)
class StoredFile:
    """A file that the server keeps: the path of its address, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class ElectronRecord:
    """An electron of a dispatch, as of when the server was asked.

    Attributes:
        options: its executor's attributes, empty where it has only the executor's name.
        status: Covalent's.
        sub_dispatch_id: the dispatch of a sublattice, "" before there is one and of other electrons.
        files: some of its assets, by Covalent's names (ELECTRON_FILES).
        began_seconds, ended_seconds: when it began and ended, since 1970; None if it has not.
    """

    name: str
    executor: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    status: str = ""
    sub_dispatch_id: str = ""
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    ended_seconds: float | None = None
    began_seconds: float | None = None

    @property
    def is_reused(self) -> bool:
        """Whether it has the value of an electron of the dispatch that its own continues, and did not run."""
        is_at_once = self.began_seconds is not None and self.began_seconds == self.ended_seconds
        return self.status == "PENDING_REUSE" or (self.status == "COMPLETED" and is_at_once)

    @property
    def is_on_batch(self) -> bool:
        """Whether its executor is this package's, or one derived from it."""
        return self.executor == EXECUTOR or "project_id" in self.options


@dataclass(frozen=True)
class DispatchRecord:
    """A dispatch as the server has it: its state, by node its electrons, its lattice's name and its own assets.

    Attributes:
        note: what this package has noted of it; see `lineage`.
        links: from which node a value goes to which.
        began_seconds, ended_seconds: when it began and ended, since 1970; None if it has not.
    """

    state: str
    electrons: Mapping[str, ElectronRecord]
    lattice: str = ""
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    note: Mapping[str, object] = field(default_factory=dict)
    links: Sequence[tuple[int, int]] = ()
    began_seconds: float | None = None
    ended_seconds: float | None = None

    @property
    def ancestors(self) -> tuple[str, ...]:
        """The dispatches that this one continues, the nearest first."""
        return ancestors_in(self.note)

    @property
    def resumed_as(self) -> str:
        """The dispatch that continues this one, "" if there is none."""
        return str(self.note.get("resumed_as") or "")


class ServerClient:
    """A client of the Covalent server at `address` (http://host:port).

    The server is mostly on this machine or near it, so no proxy is asked unless `uses_proxy`.
    """

    def __init__(self, address: str, uses_proxy: bool = False):
        self.address = address.rstrip("/")
        self._opener = urllib.request.build_opener(*([] if uses_proxy else [urllib.request.ProxyHandler({})]))

    @classmethod
    def configured(cls) -> ServerClient:
        """Return a client of the server that Covalent's configuration names.

        Without an import of Covalent, which takes a second, unless only Covalent knows what to make of the file.
        """
        if "covalent" not in sys.modules and not (file := read_config_file(os.environ)).problem:
            host, port = server_address(file, os.environ)
            if "/" not in host and port not in (80, 443):
                return cls(f"http://{host}:{port}")
        from covalent._shared_files.utils import format_server_url

        return cls(format_server_url())

    def get_text(self, path: str, timeout_seconds: float = ANSWER_SECONDS) -> str:
        """Return the answer to `path`, such as `/api/v2/dispatches/<dispatch id>`, as text.

        Raises:
            OSError: the server could not be reached or answered with an error status.
        """
        return self.get_bytes(path, timeout_seconds).decode(errors="replace")

    def get_json(self, path: str, timeout_seconds: float = ANSWER_SECONDS) -> Any:
        """Return the answer to `path`, read as JSON.

        Raises:
            OSError: as `get_text`. ValueError: the answer is not JSON.
        """
        return json.loads(self.get_bytes(path, timeout_seconds))

    def dispatch_state(self, dispatch_id: str) -> str:
        """Return the dispatch's state, "" if the server knows no such dispatch. Raises one of UNANSWERED."""
        path = f"/api/v2/dispatches?status_only=true&dispatch_id={quote(dispatch_id)}"
        found = self.get_json(path, STATE_SECONDS)["dispatches"]
        return str(found[0]["status"]) if isinstance(found, list) and found else ""

    def electrons(self, dispatch_id: str) -> dict[str, ElectronRecord]:
        """Return the electrons by node, from the manifest that `ct.get_result` reads too. Raises one of UNANSWERED."""
        return _electrons(self.get_json(f"/api/v2/dispatches/{quote(dispatch_id)}", ELECTRONS_SECONDS))

    def dispatch(self, dispatch_id: str, timeout_seconds: float = ELECTRONS_SECONDS) -> DispatchRecord | None:
        """Return a dispatch, from the same manifest; None if there is none of this id. Raises one of UNANSWERED."""
        try:
            manifest = self.get_json(f"/api/v2/dispatches/{quote(dispatch_id)}", timeout_seconds)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise
        return DispatchRecord(
            str(manifest["metadata"]["status"]),
            _electrons(manifest),
            str(manifest["lattice"]["metadata"]["name"]),
            _files(manifest.get("assets") or {}, DISPATCH_FILES),
            read_note(manifest["lattice"]["metadata"].get("executor_data") or {}, dispatch_id),
            [
                (int(link["source"]), int(link["target"]))
                for link in manifest["lattice"]["transport_graph"].get("links") or ()
            ],
            _seconds(manifest["metadata"].get("start_time")),
            _seconds(manifest["metadata"].get("end_time")),
        )

    def lineage(self, dispatch_id: str) -> tuple[str, ...]:
        """Return a dispatch, and those that it continues, the nearest first, as far as the server reports them."""
        try:
            record = self.dispatch(dispatch_id)
        except UNANSWERED:
            record = None
        return (dispatch_id, *(record.ancestors if record is not None else ()))

    def latest_dispatches(self, count: int, timeout_seconds: float = ANSWER_SECONDS) -> list[str]:
        """Return the ids of the latest dispatches. Raises one of UNANSWERED."""
        path = f"/api/v2/dispatches?count={count}&status_only=true"
        return [str(found["dispatch_id"]) for found in self.get_json(path, timeout_seconds)["dispatches"]]

    def unfinished_dispatches(self, count: int, offset: int = 0) -> list[str]:
        """Return dispatches that run by the server's record, sublattices' too. Raises one of UNANSWERED."""
        states = "&".join(f"status={state}" for state in ("STARTING", "RUNNING"))
        path = f"/api/v2/dispatches?count={count}&offset={offset}&latest=false&status_only=true&{states}"
        return [str(found["dispatch_id"]) for found in self.get_json(path)["dispatches"]]

    def cancel(self, dispatch_id: str, timeout_seconds: float = ANSWER_SECONDS) -> None:
        """Ask for a dispatch to be cancelled. Raises one of UNANSWERED."""
        self._put(f"/api/v2/dispatches/{quote(dispatch_id)}/status", {"status": "CANCELLED"}, timeout_seconds)

    def start(self, dispatch_id: str, timeout_seconds: float = ANSWER_SECONDS) -> None:
        """Have a dispatch started that is registered; one that was started stays as it is. Raises one of UNANSWERED."""
        self._put(f"/api/v2/dispatches/{quote(dispatch_id)}/status", {"status": "RUNNING"}, timeout_seconds)

    def tell_executor(self, dispatch_id: str, node: int, data: object) -> None:
        """Have the executor of a node `receive` this, in the server's process, some time later. Raises UNANSWERED."""
        self._put(f"/api/v2/dispatches/{quote(dispatch_id)}/electrons/{node}/job", data, ANSWER_SECONDS)

    def docstring(self, path: str, timeout_seconds: float = ANSWER_SECONDS) -> str:
        """Return the docstring of the function in a file of Covalent's, from its first bytes. Raises one of UNANSWERED.

        Such a file begins with two offsets of eight bytes, of which the first is where its header of JSON ends
        (covalent._workflow.transportable_object, 0.240).
        """
        with self._opener.open(self.address + path, timeout=timeout_seconds) as answer:
            end = int.from_bytes(answer.read(HEADER_OFFSET)[: HEADER_OFFSET // 2], "big")
            header = json.loads(answer.read(min(end - HEADER_OFFSET, LONGEST_HEADER_BYTES)))
        return str(header["attrs"].get("doc") or "")

    def _put(self, path: str, data: object, timeout_seconds: float) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.address + path, json.dumps(data).encode(), headers, method="PUT")
        with self._opener.open(request, timeout=timeout_seconds):
            pass

    def get_tail(self, path: str, size: int, timeout_seconds: float = ANSWER_SECONDS) -> str:
        """Return the last bytes of an answer as text, without keeping the others. Raises OSError, as `get_text`."""
        tail = b""
        with self._opener.open(self.address + path, timeout=timeout_seconds) as answer:
            while piece := answer.read(max(size, PIECE_BYTES)):
                tail = (tail + piece)[-size:]
        return tail.decode(errors="replace")

    def get_bytes(self, path: str, timeout_seconds: float = ANSWER_SECONDS) -> bytes:
        """Return the answer to `path` as it is. Raises OSError, as `get_text`."""
        with self._opener.open(self.address + path, timeout=timeout_seconds) as answer:
            body: bytes = answer.read()
            return body


def _electrons(manifest: Any) -> dict[str, ElectronRecord]:
    lattice = manifest["lattice"]
    if not isinstance(lattice, dict):
        raise TypeError("the dispatch has no lattice")
    return {str(node["id"]): _electron(node) for node in lattice["transport_graph"]["nodes"]}


def _electron(node: Any) -> ElectronRecord:
    told = node["metadata"]
    return ElectronRecord(
        str(told["name"]),
        str(told["executor"]),
        dict((told["executor_data"] or {}).get("attributes") or {}),
        str(told["status"]),
        str(told.get("sub_dispatch_id") or ""),
        _files(node.get("assets") or {}, ELECTRON_FILES),
        _seconds(told.get("end_time")),
        _seconds(told.get("start_time")),
    )


def _files(assets: Any, names: Sequence[str]) -> dict[str, StoredFile]:
    files = {}
    for name in names:
        asset = assets.get(name) or {}
        # The server's own name for itself may be another one than it is reached by.
        address = urlsplit(str(asset.get("remote_uri") or ""))
        if address.path:
            files[name] = StoredFile(address.path, int(asset.get("size") or 0))
    return files


def _seconds(time: Any) -> float | None:
    if not time:
        return None
    when = datetime.fromisoformat(str(time).replace("Z", "+00:00"))
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()


def reason_of(error: Exception) -> str:
    """Return one line that says why the server did not answer."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(cause).split("\n", 1)[0] or type(error).__name__
