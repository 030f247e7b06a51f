"""In which projects and regions a dispatch's jobs are looked for: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ... import settings as options
from ...covalent_api.server_client import Node

EXECUTOR = "gcpbatch"
GIVEN, EXECUTORS, CONFIGURED = "as given", "from its executors", "from covalent.conf"
BOTH = "from its executors and covalent.conf"


@dataclass(frozen=True)
class Places:
    """Where to look: each projects/PROJECT/locations/REGION once, and who says so, GIVEN or one of the others."""

    parents: tuple[str, ...]
    origin: str

    def __str__(self) -> str:
        return f"{', '.join(self.parents)} ({self.origin})"


def places_of(
    nodes: Iterable[Node] | None, given: Mapping[str, object], configured: Mapping[str, object]
) -> Places | None:
    """Where jobs of these electrons are; None where no project is known.

    Args:
        nodes: None where nobody could tell them.
        given: `project_id` and `region` from the command line, None or "" where the electrons decide.
        configured: the section of Covalent's configuration file, which decides for electrons that have only the
            executor's name, and where there are none.
    """
    if all(options.is_given(given.get(name)) for name in ("project_id", "region")):
        return _places([given], given, configured, GIVEN)
    sent = [node.options for node in nodes or () if is_on_batch(node)]
    # An executor that was made has taken what it lacked from its client's file, so this machine's file adds nothing.
    if all(sent):
        found = _places(sent, given, {}, EXECUTORS)
    else:
        found = _places([own or configured for own in sent], given, {}, BOTH if any(sent) else CONFIGURED)
    return found or _places([configured], given, configured, CONFIGURED)


def is_on_batch(node: Node) -> bool:
    """Whether its executor is this package's, or one derived from it."""
    return node.executor == EXECUTOR or "project_id" in node.options


def _places(
    whose: Iterable[Mapping[str, object]], given: Mapping[str, object], configured: Mapping[str, object], origin: str
) -> Places | None:
    found = []
    for own in whose:
        named = {
            name: given.get(name) if options.is_given(given.get(name)) else own.get(name)
            for name in ("project_id", "region")
        }
        values = options.resolve(named, configured)
        if options.is_given(values["project_id"]):
            found.append(f"projects/{values['project_id']}/locations/{values['region']}")
    return Places(tuple(dict.fromkeys(found)), origin) if found else None
