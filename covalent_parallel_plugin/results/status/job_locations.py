"""The projects and regions where a dispatch's jobs may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...covalent_api.server_client import ElectronRecord
from ...settings import options as options
from ..wanted_output import executor_options

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
        return _locations([{}], given, {}, GIVEN)
    sent = [node.options for node in nodes or () if node.is_on_batch]
    origin = EXECUTORS if all(sent) else BOTH if any(sent) else CONFIGURED
    is_given = any(options.is_given(given.get(name)) for name in ("project_id", "region"))
    before = f"{GIVEN}, else " if is_given else ""
    return _locations(sent, given, configured, before + origin) or _locations(
        [{}], given, configured, before + CONFIGURED
    )


def _locations(
    executors: Iterable[Mapping[str, object]],
    given: Mapping[str, object],
    configured: Mapping[str, object],
    origin: str,
) -> JobLocations | None:
    found = []
    for own in executors:
        values = executor_options(own, given, configured)
        if options.is_given(values["project_id"]):
            found.append(f"projects/{values['project_id']}/locations/{values['region']}")
    return JobLocations(tuple(dict.fromkeys(found)), origin) if found else None
