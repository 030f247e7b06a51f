"""What Covalent's server knows of a dispatch and its electrons, asked inside the server's own process.

These are the server's inner functions, and what they return only makes a cost report or a traceback nicer. Whatever
goes wrong here, an electron runs without it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from .running_nodes import NodeId, remember

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LatticeRecord:
    """What Covalent has of a dispatch's lattice; its executor's data is stored, and read by nobody of Covalent's."""

    name: str = ""
    executor_data: Mapping[str, object] = field(default_factory=dict)


# By dispatch
_lattices: OrderedDict[str, LatticeRecord] = OrderedDict()


async def lattice_record(dispatch_id: str) -> LatticeRecord:
    """Return the lattice's record, asked for once in a dispatch; an empty one where the server does not report."""
    if dispatch_id not in _lattices:
        record = LatticeRecord()
        try:
            from covalent_dispatcher._core.data_modules import lattice

            known = await lattice.get(dispatch_id, ["name", "executor_data"])
            record = LatticeRecord(str(known["name"] or ""), dict(known["executor_data"] or {}))
        except Exception as error:
            logger.debug("no record of the lattice of dispatch %s: %s", dispatch_id, error)
        # Electrons that start together ask together: none of them gets less than the first.
        remember(_lattices, dispatch_id, record)
    return _lattices[dispatch_id]


def forget_lattice(dispatch_id: str) -> None:
    """Have the lattice's record asked for again, since it has changed."""
    _lattices.pop(dispatch_id, None)


async def lattice_name(dispatch_id: str) -> str:
    """Return the lattice's name; "" where the server does not report."""
    return (await lattice_record(dispatch_id)).name


async def source_text(node: NodeId) -> str:
    """Return the electron's source; "" where the server does not report."""
    try:
        from covalent_dispatcher._core.data_manager import electron

        return str((await electron.get(*node, ["function_string"]))["function_string"] or "")
    except Exception as error:
        logger.debug("no source text of node %s: %s", node, error)
        return ""


async def any_running(dispatch_ids: Collection[str]) -> bool:
    """Whether any of these dispatches, or of those that they are sublattices of, is RUNNING by Covalent's record."""
    try:
        from covalent_dispatcher._core.data_modules import dispatch

        for dispatch_id in dispatch_ids:
            known = await dispatch.get(dispatch_id, ["status", "root_dispatch_id"])
            root_id = str(known["root_dispatch_id"] or dispatch_id)
            root = known if root_id == dispatch_id else await dispatch.get(root_id, ["status"])
            if "RUNNING" in (str(known["status"]), str(root["status"])):
                return True
    except Exception as error:
        logger.debug("Covalent does not report which dispatches run: %s", error)
    return False
