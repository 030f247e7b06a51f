"""What Covalent's server reports of one dispatch; without it, which of its nodes have something in the bucket."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..cloud.timed_calls import Deadline, call_all_within, call_within
from ..covalent_api.server_client import (
    EXECUTOR,
    UNANSWERED,
    DispatchRecord,
    ElectronRecord,
    ServerClient,
    reason_of,
)
from ..errors import CloudError, MissingResourceError
from ..protocol.object_names import PREFIX, parse_name
from ..settings import nearest
from .wanted_output import Place, Wanted, is_sublattice, name_of, place_of, wanted_nodes

if TYPE_CHECKING:
    from ..cloud.interfaces import Bucket

SERVER_SECONDS, TEXT_SECONDS, LIST_SECONDS = 15.0, 60.0, 20.0
READS_AT_ONCE = 6
# For so many times as long as its last answer took the server is left alone
SPARED = 5.0
# So many dispatches are named where one is unknown
LATEST = 10
UNKNOWN = ElectronRecord("node", EXECUTOR)


class KnownDispatch:
    """One dispatch, as far as it is known.

    Args:
        given, configured: where its electrons may be; see `place_of`.
        store_at: connects to a bucket.

    Attributes:
        problem: why Covalent's server does not report it; "" where it did. failures: how often it has not since.
        is_gone: whether the bucket, in the server's place, has nothing more of it.
    """

    def __init__(
        self,
        dispatch_id: str,
        server: ServerClient,
        given: Mapping[str, object],
        configured: Mapping[str, object],
        store_at: Callable[[Place, Deadline], Bucket],
        clock: Callable[[], float] = time.monotonic,
    ):
        self.dispatch_id, self._server = dispatch_id, server
        self._given, self._configured, self._store_at = given, configured, store_at
        self._clock = clock
        # When the server is asked again
        self._due = clock()
        self._seen: list[int] = []
        self.is_gone = False
        self._record: DispatchRecord | None = None
        self.problem = ""
        self.failures = 0

    @property
    def state(self) -> str:
        """Covalent's, "" where it is not known."""
        return self._record.state if self._record is not None else ""

    def lineage(self) -> tuple[str, ...]:
        """The dispatch, and those that it continues, the nearest first."""
        return (self.dispatch_id, *(self._record.ancestors if self._record is not None else ()))

    def electron(self, node: int) -> ElectronRecord:
        """What Covalent's server reported of an electron; without that it is taken for one on Batch."""
        found = self._record.electrons.get(str(node)) if self._record is not None else None
        return found or UNKNOWN

    def name(self, node: int) -> str:
        """An electron's, a sublattice's without what Covalent puts before it."""
        return name_of(self.electron(node).name)

    def is_sublattice(self, node: int) -> bool:
        """Whether an electron makes the dispatch of a sublattice."""
        return is_sublattice(self.electron(node).name)

    def title(self, node: int) -> str:
        """An electron's name and node."""
        return f"{self.name(node)}[{node}]"

    def place(self, node: int) -> Place | None:
        """Where an electron runs; None where that is not on Batch, or not known."""
        return place_of(self.electron(node), self._given, self._configured)

    def ask(self, deadline: Deadline) -> None:
        """Ask Covalent's server; if it does not answer, what it reported before stays known.

        A server that takes long to answer, as for thousands of electrons, is asked less often.
        """
        begun = self._clock()
        if begun < self._due:
            return
        seconds, who = deadline.share(SERVER_SECONDS), f"Covalent's server at {self._server.address}"
        try:
            found = call_within(seconds, who, lambda: self._server.dispatch(self.dispatch_id, seconds))
        except CloudError as error:
            self.problem = str(error)
        except UNANSWERED as error:
            self.problem = f"{who} cannot be asked ({reason_of(error)}); `covalent start` starts one here"
        else:
            self.problem = "" if found is not None else f"{who} does not know it"
            self._record = found or self._record
        self.failures = self.failures + 1 if self.problem else 0
        self._due = self._clock() + SPARED * (self._clock() - begun)

    def nodes(self, wanted: Wanted, deadline: Deadline) -> list[int]:
        """The nodes that are meant; without Covalent's server those of which the bucket has something.

        Raises:
            MissingResourceError: there is no such dispatch, or no such electron.
        """
        if self._record is not None:
            return wanted_nodes(wanted, self.dispatch_id, self._record)
        title = f"dispatch {self.dispatch_id}: {self.problem}"
        place = place_of(UNKNOWN, self._given, self._configured)
        if place is None:
            raise MissingResourceError(f"{title}{self._latest(deadline)}")
        prefix = f"{PREFIX}/{self.dispatch_id}/"
        try:
            store = self._store_at(place, deadline)
            names = call_within(deadline.share(LIST_SECONDS), "the bucket", lambda: store.names(prefix))
        except CloudError as error:
            if self._seen:
                return self._seen
            first = str(error).split("\n", 1)[0]
            raise MissingResourceError(f"{title}, and {first}{self._latest(deadline)}") from error
        there = sorted({name.node_id for name in map(parse_name, names) if name is not None})
        if not there and self._seen:
            self.is_gone = True
            return self._seen
        if not there:
            bucket = f"gs://{place.bucket_name}"
            raise MissingResourceError(f"{title}, and {bucket} has nothing of it{self._latest(deadline)}")
        unknown = [word for word in wanted.electrons if word not in map(str, there)]
        if unknown:
            raise MissingResourceError(
                f"{title}, so electrons are known by their nodes alone, and of {', '.join(unknown)}"
                f" gs://{place.bucket_name} has nothing: it has the nodes {', '.join(map(str, there))}"
            )
        self._seen = [node for node in there if not wanted.electrons or str(node) in wanted.electrons]
        return self._seen

    def texts(self, nodes: Sequence[int], names: Sequence[str], deadline: Deadline) -> dict[int, dict[str, str]]:
        """What Covalent keeps of electrons under these names, of "function" its docstring.

        Electrons are left out of which not all was read in time.

        Raises one of UNANSWERED: Covalent's server did not give them.
        """
        wanted = [
            (node, name, text)
            for node in nodes
            for name, text in self.electron(node).files.items()
            if name in names and text.size
        ]

        reads = [
            partial(self._server.docstring if name == "function" else self._server.get_text, text.path, TEXT_SECONDS)
            for _, name, text in wanted
        ]
        results = call_all_within(deadline.share(TEXT_SECONDS), reads, READS_AT_ONCE)
        found: dict[int, dict[str, str]] = {node: {} for node in nodes}
        for (node, name, _), result in zip(wanted, results, strict=True):
            if result is None:
                found.pop(node, None)
            elif node in found:
                found[node][name] = result
        return found

    def _latest(self, deadline: Deadline) -> str:
        """What dispatches there are, as far as Covalent's server reports."""
        seconds = deadline.share(LIST_SECONDS)
        try:
            ids = call_within(seconds, "Covalent's server", lambda: self._server.latest_dispatches(LATEST, seconds))
        except (*UNANSWERED, CloudError):
            return ""
        near = nearest(self.dispatch_id, ids)
        hint = f": did you mean {near}?" if near else "."
        return f"{hint} Its latest dispatches are {', '.join(ids)}" if ids else ". It has no dispatch"
