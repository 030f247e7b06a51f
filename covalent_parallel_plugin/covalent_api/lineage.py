"""The dispatches that a dispatch continues: `resume` writes them into its lattice's executor_data.

Covalent keeps that field, and reads it nowhere. It names its own dispatch too: a common `ct.redispatch` of a resumed
dispatch copies the field, and continues nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import server_data

FIELD = "covalent_parallel"
"""Of executor_data, and of what `resume` sends to the plugin in the server's process."""


async def ancestors(dispatch_id: str) -> tuple[str, ...]:
    """Return the dispatches that this one continues, the nearest first; asked inside the server's own process."""
    return read_lineage((await server_data.lattice_record(dispatch_id)).executor_data, dispatch_id)


async def resumed_as(dispatch_id: str) -> str:
    """Return the dispatch that continues this one, "" if none does; asked inside the server's own process."""
    data = (await server_data.lattice_record(dispatch_id)).executor_data
    return str(read_note(data, dispatch_id).get("resumed_as") or "")


def read_lineage(executor_data: Mapping[str, object], dispatch_id: str) -> tuple[str, ...]:
    """Return the dispatches that this one continues, the nearest first; () for a common one."""
    return ancestors_in(read_note(executor_data, dispatch_id))


def ancestors_in(note: Mapping[str, object]) -> tuple[str, ...]:
    """Return the dispatches that a note names as continued, the nearest first."""
    named = note.get("ancestors")
    return tuple(map(str, named)) if isinstance(named, Sequence) and not isinstance(named, str) else ()


def read_note(executor_data: Mapping[str, object], dispatch_id: str) -> Mapping[str, object]:
    """Return what this package has noted of a dispatch in its lattice's executor_data."""
    note = executor_data.get(FIELD)
    return note if isinstance(note, Mapping) and note.get("dispatch") == dispatch_id else {}


def with_lineage(executor_data: Mapping[str, object], dispatch_id: str, ancestors: Sequence[str]) -> dict[str, object]:
    """Return a lattice's executor_data with the dispatches that `dispatch_id` continues."""
    return {**executor_data, FIELD: {"dispatch": dispatch_id, "ancestors": list(ancestors)}}
