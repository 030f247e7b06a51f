"""A map that runs again what another one left: its items and constants from the bucket, beside the electron's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from covalent._workflow.transportable_object import TransportableObject

from ..cloud.interfaces import Bucket
from ..electron.call import Call, Map, Pickles
from ..electron.map.stored_map import StoredMap, find_runs
from ..electron.outcome import Outcome
from ..electron.server_secret import ServerSecret
from ..errors import MissingResourceError
from ..protocol.envelope import VALUE
from ..protocol.map_marker import MAPPED_ITEMS
from ..protocol.object_names import parse_name
from .server_client import UNANSWERED, ServerClient
from .transportable import raw_pickle

ITEMS = ("arg0", f"kwarg:{MAPPED_ITEMS}")


@dataclass(frozen=True)
class Rerun:
    """A map that runs another one again.

    Attributes:
        call, pickles: with the other one's items.
        runs: of the other one, the latest first.
        value: where it completed, and there is nothing to run.
    """

    call: Call
    pickles: Pickles
    runs: Sequence[StoredMap] = ()
    value: Outcome | None = None


def read_rerun(call: Call, pickles: Pickles, store: Bucket, secret: ServerSecret, folder: str) -> Rerun:
    """Read what a call needs of the map that it runs again.

    Constants are those of the map before, but for those that are given here.

    Raises:
        MissingResourceError: nothing of it is there.
        OutcomeError: its call is not the one that was sealed.
        CloudError: Google refused, or could not be reached.
    """
    assert call.map is not None and call.map.rerun is not None
    dispatch_id, node_id = call.map.rerun
    runs = find_runs(store, secret, dispatch_id, node_id)
    if not runs:
        # A resumed dispatch's may be where one that it continues began it
        earlier_ids = ServerClient.configured().lineage(dispatch_id)[1:]
        runs = next(filter(None, (find_runs(store, secret, each, node_id) for each in earlier_ids)), [])
    if not runs:
        value = _value_of(dispatch_id, node_id)
        if value is None:
            raise MissingResourceError(_nothing_left(dispatch_id, node_id, store.bucket_name))
        return Rerun(call, pickles, value=value)
    own = {name: part for name, part in pickles.items() if name not in ITEMS}
    merged: Pickles = {**{name: part for name, part in runs[0].inputs(folder).items() if name not in own}, **own}
    names = tuple(name.partition(":")[2] for name in merged if name.startswith("kwarg:"))
    place = parse_name(runs[0].identity.object_name)
    earlier = (place.dispatch_id if place is not None else dispatch_id, node_id, runs[0].identity.call_id)
    described = Map(runs[0].total, call.map.return_exceptions, call.map.rerun, earlier)
    return Rerun(replace(call, args=int("arg0" in merged), kwargs=names, map=described), merged, runs)


def _nothing_left(dispatch_id: str, node_id: int, bucket_name: str) -> str:
    return (
        f"node {node_id} of dispatch {dispatch_id} cannot be run again: gs://{bucket_name} has nothing of it. Items"
        " stay there where a map failed and some of them returned, until `covalent-parallel clean` or the bucket's"
        " lifecycle rule deletes them; those of a map that was cancelled do not. If its executor had another"
        " bucket, name that in this one's bucket_name; else give the map its items again"
    )


def _value_of(dispatch_id: str, node_id: int) -> Outcome | None:
    """The value of an electron that completed, as Covalent's server keeps it; None where it does not."""
    server = ServerClient.configured()
    try:
        record = server.dispatch(dispatch_id)
        electron = record.electrons.get(str(node_id)) if record is not None else None
        if electron is None or electron.status != "COMPLETED" or "output" not in electron.files:
            return None
        value = TransportableObject.deserialize(server.get_bytes(electron.files["output"].path))
    except UNANSWERED:
        return None
    header = value.header
    return Outcome(
        kind=VALUE,
        stdout="",
        stderr="",
        pickle=raw_pickle(value),
        shown=value.object_string,
        python=str(header["py_version"]),
        cloudpickle=str(header["cloudpickle_version"]),
    )
