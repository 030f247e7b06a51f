"""Which electrons of a dispatch are meant, and what of their output; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..covalent_api.builtin_nodes.classify import SUBLATTICE_PREFIX, may_be_builtin_node
from ..covalent_api.server_client import DispatchRecord, ElectronRecord
from ..errors import MissingResourceError
from ..settings import nearest
from ..settings import options as options
from .electron_log import LogLine

# If there are more, the first are named
NAMED = 12


@dataclass(frozen=True)
class Wanted:
    """What of a dispatch is to be read.

    Attributes:
        electrons: names or nodes, none for all.
        item, attempt: the only one, None for all.
        streams: of "stdout" and "stderr".
        since_seconds: what was printed before (seconds since 1970) is left out; None for nothing.
    """

    electrons: Sequence[str] = ()
    item: int | None = None
    attempt: int | None = None
    streams: Sequence[str] = ("stdout",)
    since_seconds: float | None = None

    def has(self, line: LogLine) -> bool:
        """Whether this line is."""
        return (
            line.stream in self.streams
            and (self.item is None or line.item == self.item)
            and (self.attempt is None or line.attempt == self.attempt)
            and (self.since_seconds is None or line.seconds is None or line.seconds >= self.since_seconds)
        )


def wanted_nodes(wanted: Wanted, dispatch_id: str, record: DispatchRecord) -> list[int]:
    """The nodes whose output is to be read, in order.

    Of all of a dispatch, Covalent's own small nodes are left out, but not those that make dispatches of sublattices.

    Raises:
        MissingResourceError: there is no such electron; those that there are are named.
    """
    names = {int(node): electron.name for node, electron in record.electrons.items()}
    if not wanted.electrons:
        return sorted(node for node, name in names.items() if is_users(name))
    found: set[int] = set()
    unknown = []
    for word in wanted.electrons:
        nodes = [int(word)] if word.isdecimal() and int(word) in names else _named(word, names)
        found.update(nodes)
        if not nodes:
            unknown.append(word)
    if unknown:
        raise MissingResourceError("\n".join(_unknown(word, dispatch_id, names) for word in unknown))
    return sorted(found)


def _named(word: str, names: Mapping[int, str]) -> list[int]:
    return [node for node, name in names.items() if word in (name, name_of(name), f"{name_of(name)}[{node}]")]


def _unknown(word: str, dispatch_id: str, names: Mapping[int, str]) -> str:
    own = {node: name_of(name) for node, name in sorted(names.items()) if is_users(name)}
    near = nearest(word, set(own.values()))
    shown = ", ".join(f"{name}[{node}]" for node, name in list(own.items())[:NAMED])
    more = f" and {len(own) - NAMED} more" if len(own) > NAMED else ""
    hint = f": did you mean {near}?" if near else "."
    return f"dispatch {dispatch_id} has no electron {word!r}{hint} It has {shown or 'none'}{more}"


def is_sublattice(name: str) -> bool:
    """Whether an electron of this name makes the dispatch of a sublattice."""
    return name.startswith(SUBLATTICE_PREFIX)


def is_users(name: str) -> bool:
    """Whether an electron of this name is one that the user has written."""
    return is_sublattice(name) or not may_be_builtin_node(name)


def name_of(name: str) -> str:
    """The name that the user has given."""
    return name.removeprefix(SUBLATTICE_PREFIX)


@dataclass(frozen=True)
class Place:
    """Where an electron runs, and where it leaves its objects."""

    project_id: str
    region: str
    bucket_name: str

    @property
    def parent(self) -> str:
        """The projects/PROJECT/locations/REGION its job is in."""
        return f"projects/{self.project_id}/locations/{self.region}"


def place_of(electron: ElectronRecord, given: Mapping[str, object], configured: Mapping[str, object]) -> Place | None:
    """Where an electron is; None where it runs elsewhere, or that is not known. For `given` see `executor_options`."""
    if not electron.is_on_batch:
        return None
    values = executor_options(electron.options, given, configured)
    if not options.is_given(values["project_id"]) or not options.is_given(values["bucket_name"]):
        return None
    return Place(*(str(values[name]) for name in ("project_id", "region", "bucket_name")))


def executor_options(
    own: Mapping[str, object], given: Mapping[str, object], configured: Mapping[str, object]
) -> dict[str, object]:
    """Return the options of an electron's executor.

    Args:
        own: the executor's attributes, none where it has only a name.
        given: from the command line; None or "" where the executor decides.
        configured: the section of Covalent's configuration file, which decides for executors that have only a name.
    """
    named = {name: value for name, value in given.items() if options.is_given(value)}
    # An executor that was made has taken what it lacked from its client's file, so this machine's file adds nothing.
    return options.resolve({**own, **named}, {} if own else configured)
