"""What is to be run: one electron as a header and raw pickles, none of which is loaded here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..batch.job_names import is_plain_id
from ..batch.shared_object import SharedObject
from ..errors import SettingsError
from ..protocol.envelope import CALL, FilePart, Part, envelope_chunks, part_sha256, seal_envelope
from ..protocol.identity import CallIdentity
from ..protocol.object_names import call_folder
from .modules.archive import ModulesArchive
from .server_secret import ServerSecret

# The pickles of a call by the names under which the runner looks for them: "function", "arg0", "kwarg:NAME",
# "before0.function", "before0.args", "before0.kwargs", "after0.function", ...
Pickles = dict[str, Part]


@dataclass(frozen=True)
class Map:
    """An electron that maps its function over items.

    Attributes:
        items: how many there are, None where only the task knows.
        rerun: dispatch and node of the map whose items these are; only those run that have no value there.
        earlier: dispatch, node and call that has their values.
    """

    items: int | None = None
    return_exceptions: bool = False
    rerun: tuple[str, int] | None = None
    earlier: tuple[str, int, str] | None = None

    @property
    def header(self) -> dict[str, object]:
        """What a call's header says, beside that it is a map."""
        told = {"return_exceptions": self.return_exceptions or None, "items": self.items, "earlier": self.earlier}
        return {name: value for name, value in told.items() if value is not None}


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
        modules: the archive of its own modules, None where it needs none.
        import_paths: where own modules are on the dispatching machine, for the graph of a sublattice.
        sha256: of each pickle, by its name, where that is known already.
        lineage: of a call of a resumed dispatch: that dispatch, and those that it continues, the nearest first.
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
    modules: ModulesArchive | None = None
    import_paths: Mapping[str, object] | None = field(default=None, compare=False, repr=False)
    sha256: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    lineage: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_plain_id(self.dispatch_id):
            raise SettingsError(
                [
                    f"the dispatch id {self.dispatch_id!r} cannot be part of an object's name: use at most 100 letters,"
                    " digits, '-' and '_', a letter or digit first"
                ]
            )

    def __str__(self) -> str:
        dispatch_id = self.lineage[0] if self.lineage else self.dispatch_id
        return f"electron {self.name!r} (node {self.node_id} of dispatch {dispatch_id})"

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
            **({"modules_sha256": self.modules.sha256} if self.modules is not None else {}),
            **(self.map.header if self.map is not None else {}),
        }

    def folder(self, call_id: str) -> str:
        """Where the call's objects lie in the bucket."""
        return call_folder(self.dispatch_id, self.node_id, call_id)

    def shared_modules(self, now: float) -> SharedObject | None:
        """Return the object that holds its own modules, for a submission `now`, in seconds since 1970."""
        archive = self.modules
        return None if archive is None else SharedObject(archive.object_name(now), lambda: archive.data)

    def sealed(
        self, identity: CallIdentity, pickles: Mapping[str, Part], requirements: Sequence[str], modules_name: str = ""
    ) -> list[bytes]:
        """Return the bytes of the object that holds the call; `modules_name` is the one that holds its own modules."""
        header = self.header(identity.call_id, requirements)
        if self.modules is not None:
            header.update(modules_object=modules_name, modules=self.modules.modules)
            if self.import_paths is not None:
                header["import_paths"] = self.import_paths
        prefix = seal_envelope(header, pickles, identity.key, identity.binding, self.sha256)
        return list(envelope_chunks(prefix, pickles))


def refuse_too_large(call: Call, pickles: Pickles, memory_mib: int) -> None:
    """Refuse a call that does not fit into its task's memory, before anything is uploaded.

    Raises:
        SettingsError: its pickles alone are larger.
    """
    sizes = {name: part.size if isinstance(part, FilePart) else len(part) for name, part in pickles.items()}
    total_mib = -(-sum(sizes.values()) // 2**20)
    if total_mib <= memory_mib:
        return
    largest = max(sizes, key=lambda name: sizes[name])
    raise SettingsError(
        [
            f"memory = {memory_mib} (in MB) does not hold what {call} is called with, {total_mib} MB as pickles"
            f" ({sizes[largest] >> 20} MB of them {_described(largest)}): use more than twice as much, or have it read"
            " the data from a bucket (volumes)"
        ]
    )


def _described(name: str) -> str:
    """A pickle's name as the user knows it."""
    if name.startswith("arg"):
        return f"argument {int(name[3:]) + 1}"
    return f"argument {name.partition(':')[2]!r}" if name.startswith("kwarg:") else name


def with_sha256(call: Call, pickles: Mapping[str, Part]) -> Call:
    """Return the call with the SHA-256 of each pickle: its identity and its seal need them."""
    return replace(call, sha256={name: part_sha256(part) for name, part in pickles.items()})


def new_identity(call: Call, requirements: Sequence[str], secret: ServerSecret, nonce: str = "") -> CallIdentity:
    """Return the identity of a submission: the same for the same content, unless the nonce is another one."""
    header = call.header("", requirements)
    # What was done of a map before does not make it another one.
    header.pop("earlier", None)
    content = json.dumps([header, list(call.sha256.items())])
    digest = hashlib.sha256(content.encode()).hexdigest()
    call_id = secret.call_id(call.dispatch_id, call.node_id, digest, nonce)
    return secret.identity(call.dispatch_id, call.node_id, call_id)


def earlier_identities(call: Call, requirements: Sequence[str], secret: ServerSecret) -> tuple[CallIdentity, ...]:
    """Return the identities that a call has in the dispatches that its own one continues, the nearest first."""
    return tuple(new_identity(replace(call, dispatch_id=each), requirements, secret) for each in call.lineage[1:])
