"""The maps of a dispatch, as Covalent's server knows them."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import MissingResourceError
from ..protocol.map_marker import read_marker
from .builtin_nodes.classify import may_be_builtin_node
from .server_client import OVER, UNANSWERED, ElectronRecord, ServerClient, reason_of

# If there are more, the first are named
NAMED = 12


@dataclass(frozen=True)
class KnownMap:
    """A map that a dispatch has, as of when the server was asked."""

    dispatch_id: str
    node_id: int
    electron: ElectronRecord

    def __str__(self) -> str:
        return f"node {self.node_id} ({self.electron.name}, {self.electron.status})"


def find_map(dispatch_id: str, node: int | None = None, name: str = "") -> KnownMap:
    """Return the map of a dispatch that has ended: of this node, else the only one of this name, else the only one.

    Imports Covalent.

    Raises:
        MissingResourceError: Covalent's server does not answer, or there is no such dispatch or map, or there are
            several, or it has not ended.
    """
    server = ServerClient.configured()
    maps, state = _maps(server, dispatch_id, node, name)
    if len(maps) != 1:
        raise MissingResourceError(_not_one(maps or _maps(server, dispatch_id)[0], dispatch_id, node, name))
    found = maps[0]
    if found.electron.status in OVER:
        return found
    if state in OVER:
        raise MissingResourceError(
            f"{found} of dispatch {dispatch_id} did not run, as the dispatch ended before ({state}): give the map its"
            " items again"
        )
    raise MissingResourceError(
        f"{found} of dispatch {dispatch_id} has not ended: wait for it, or cancel it (a map that is cancelled leaves no"
        " values)"
    )


def _maps(
    server: ServerClient, dispatch_id: str, node: int | None = None, name: str = ""
) -> tuple[list[KnownMap], str]:
    """The maps of a dispatch that are meant, and the dispatch's state."""
    try:
        record = server.dispatch(dispatch_id)
        if record is None:
            raise MissingResourceError(
                f"Covalent's server at {server.address} does not know the dispatch {dispatch_id!r}: `ct.dispatch`"
                " returned its id, and the UI lists it"
            )
        found = [
            KnownMap(dispatch_id, int(number), electron)
            for number, electron in record.electrons.items()
            if (node is None or int(number) == node)
            and (not name or node is not None or electron.name == name)
            and _is_map(server, electron)
        ]
    except UNANSWERED as error:
        raise MissingResourceError(
            f"Covalent's server at {server.address} does not report dispatch {dispatch_id} ({reason_of(error)}): start"
            " it with `covalent start`, with the COVALENT_CONFIG_DIR of the dispatch"
        ) from error
    return found, record.state


def _is_map(server: ServerClient, electron: ElectronRecord) -> bool:
    """Whether an electron is a map that runs on Batch: its function's docstring says so. Raises one of UNANSWERED."""
    if may_be_builtin_node(electron.name) or not electron.is_on_batch or "function" not in electron.files:
        return False
    return read_marker(server.docstring(electron.files["function"].path)) is not None


def _not_one(maps: list[KnownMap], dispatch_id: str, node: int | None, name: str) -> str:
    if not maps:
        return f"dispatch {dispatch_id} has no map that ran on Batch (GCPBatchExecutor)"
    listed = ", ".join(map(str, maps[:NAMED])) + (f" and {len(maps) - NAMED} more" if len(maps) > NAMED else "")
    if node is not None:
        return f"node {node} of dispatch {dispatch_id} is not a map: its maps are {listed}"
    which = "no map" if not any(each.electron.name == name for each in maps) else "several maps"
    of_name = f" of the name {name!r}" if name else ""
    return f"dispatch {dispatch_id} has {which}{of_name}: write node=NODE, its maps are {listed}"
