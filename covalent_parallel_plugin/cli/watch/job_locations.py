"""The projects and regions where a dispatch's jobs may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...covalent_api.server_client import ElectronRecord
from ...settings import options as options

EXECUTOR = "gcpbatch"
GIVEN, EXECUTORS, CONFIGURED = "as given", "from its executors", "from covalent.conf"
BOTH = "from its executors and covalent.conf"


@dataclass(frozen=True)
class JobLocations:
    """Each projects/PROJECT/locations/REGION once, and the source of that, GIVEN or one of the others."""

    parents: tuple[str, ...]
    origin: str

    def __str__(self) -> str:
        return f"{', '.join(self.parents)} ({self.origin})"


def find_locations(
    nodes: Iterable[ElectronRecord] | None, given: Mapping[str, object], configured: Mapping[str, object]
) -> JobLocations | None:
    """Return where jobs of these electrons may be; None if no project is known.

    Args:
        nodes: None if they are not known.
        given: `project_id` and `region` from the command line, None or "" where the electrons decide.
        configured: the section of Covalent's configuration file, which decides for electrons that have only the
            executor's name, and where there are none.
    """
    if all(options.is_given(given.get(name)) for name in ("project_id", "region")):
        return _locations([given], given, configured, GIVEN)
    sent = [node.options for node in nodes or () if is_on_batch(node)]
    # An executor that was made has taken what it lacked from its client's file, so this machine's file adds nothing.
    if all(sent):
        found = _locations(sent, given, {}, EXECUTORS)
    else:
        found = _locations([own or configured for own in sent], given, {}, BOTH if any(sent) else CONFIGURED)
    return found or _locations([configured], given, configured, CONFIGURED)


def is_on_batch(node: ElectronRecord) -> bool:
    """Whether its executor is this package's, or one derived from it."""
    return node.executor == EXECUTOR or "project_id" in node.options


def _locations(
    executors: Iterable[Mapping[str, object]],
    given: Mapping[str, object],
    configured: Mapping[str, object],
    origin: str,
) -> JobLocations | None:
    found = []
    for own in executors:
        named = {
            name: given.get(name) if options.is_given(given.get(name)) else own.get(name)
            for name in ("project_id", "region")
        }
        values = options.resolve(named, configured)
        if options.is_given(values["project_id"]):
            found.append(f"projects/{values['project_id']}/locations/{values['region']}")
    return JobLocations(tuple(dict.fromkeys(found)), origin) if found else None
