"""What is to be run: one electron as a header and raw pickles, none of which is loaded here."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..batch.job_names import is_plain_id
from ..errors import SettingsError
from ..protocol.envelope import CALL, Part, envelope_chunks, seal_envelope
from ..protocol.identity import CallIdentity
from ..protocol.object_names import PREFIX

# The pickles of a call by the names under which the runner looks for them: "function", "arg0", "kwarg:NAME",
# "before0.function", "before0.args", "before0.kwargs", "after0.function", ...
Pickles = dict[str, Part]


@dataclass(frozen=True)
class Map:
    """An electron that maps its function over items; `items` is how many there are, None where only the task knows."""

    items: int | None = None
    return_exceptions: bool = False


@dataclass(frozen=True)
class Call:
    """One electron on its way, without its pickles.

    Attributes:
        dispatch_id, node_id: Covalent's name for it.
        name: the function's, for messages.
        python, cloudpickle: the versions on the dispatching client, such as "3.11.7"; covalent: the one here.
        args: how many positional arguments there are.
        kwargs: the names of the keyword arguments.
        before, after: for each hook its name and the keyword that takes its value, "" for none.
        whole_string: whether the value's `str()` is needed in full (the graph of a sublattice is).
        lattice: the lattice's name, for cost reports; "" where nobody knows it.
        map: how to map, for an electron that is one.
    """

    dispatch_id: str
    node_id: int
    name: str
    python: str
    covalent: str
    args: int = 0
    kwargs: tuple[str, ...] = ()
    before: tuple[tuple[str, str], ...] = ()
    after: tuple[tuple[str, str], ...] = ()
    whole_string: bool = False
    lattice: str = ""
    map: Map | None = None
    cloudpickle: str = ""

    def __post_init__(self) -> None:
        if not is_plain_id(self.dispatch_id):
            raise SettingsError(
                [
                    f"the dispatch id {self.dispatch_id!r} cannot be part of an object's name: use at most 100 letters,"
                    " digits, '-' and '_', a letter or digit first"
                ]
            )

    def __str__(self) -> str:
        return f"electron {self.name!r} (node {self.node_id} of dispatch {self.dispatch_id})"

    def header(self, call_id: str, requirements: Sequence[str] = ()) -> dict[str, object]:
        """The readable part of the call's envelope, with what pip is to install first."""
        return {
            "kind": CALL,
            "call_id": call_id,
            "dispatch_id": self.dispatch_id,
            "node_id": self.node_id,
            "name": self.name,
            "python": self.python,
            "covalent": self.covalent,
            "cloudpickle": self.cloudpickle,
            "args": self.args,
            "kwargs": self.kwargs,
            "before": self.before,
            "after": self.after,
            "whole_string": self.whole_string,
            "requirements": list(requirements),
            "map": self.map is not None,
        }

    def folder(self, call_id: str) -> str:
        """Where the call's objects lie in the bucket."""
        return f"{PREFIX}/{self.dispatch_id}/{self.node_id}/{call_id}"

    def sealed(self, identity: CallIdentity, pickles: Mapping[str, Part], requirements: Sequence[str]) -> list[bytes]:
        """Return the bytes of the object that holds the call."""
        header = self.header(identity.call_id, requirements)
        prefix = seal_envelope(header, pickles, identity.key, identity.binding)
        return list(envelope_chunks(prefix, pickles))


def new_identity(call: Call) -> CallIdentity:
    """Return an identity for a new submission of the call, with a key of its own."""
    # Drawn at once: each draw gives the interpreter to the threads, and the loop waits until it has it back.
    drawn = secrets.token_bytes(8 + 32)
    call_id = drawn[:8].hex()
    return CallIdentity(call_id, drawn[8:], call.folder(call_id))
