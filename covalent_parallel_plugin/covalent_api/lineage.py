"""The dispatches that a dispatch continues: `resume` writes them into its lattice's executor_data.

Covalent keeps that field, and reads it nowhere. It names its own dispatch too: a common `ct.redispatch` of a resumed
dispatch copies the field, and continues nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import server_data

FIELD = "covalent_parallel"


async def ancestors(dispatch_id: str) -> tuple[str, ...]:
    """Return the dispatches that this one continues, the nearest first; asked inside the server's own process."""
    return read_lineage((await server_data.lattice_record(dispatch_id)).executor_data, dispatch_id)


def read_lineage(executor_data: Mapping[str, object], dispatch_id: str) -> tuple[str, ...]:
    """Return the dispatches that this one continues, the nearest first; () for a common one."""
    note = executor_data.get(FIELD)
    if not isinstance(note, Mapping) or note.get("dispatch") != dispatch_id:
        return ()
    named = note.get("ancestors")
    return tuple(map(str, named)) if isinstance(named, Sequence) and not isinstance(named, str) else ()


def with_lineage(executor_data: Mapping[str, object], dispatch_id: str, ancestors: Sequence[str]) -> dict[str, object]:
    """Return a lattice's executor_data with the dispatches that `dispatch_id` continues."""
    return {**executor_data, FIELD: {"dispatch": dispatch_id, "ancestors": list(ancestors)}}
