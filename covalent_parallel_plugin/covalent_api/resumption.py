"""Resume a dispatch inside the process of Covalent's server, which alone knows what it runs (Covalent 0.240).

`covalent-parallel resume` asks by the request with which Covalent has an executor `receive`; the reply is a note in the
lattice's executor_data, which Covalent keeps and does not read. A sublattice is redispatched like its dispatch, and
Covalent starts the new one in place of building it again: its pickles, and so its jobs' calls, are those of before.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from covalent._shared_files.defaults import parameter_prefix
from covalent._shared_files.schemas.asset import AssetSchema
from covalent._shared_files.schemas.result import ResultSchema
from covalent._shared_files.util_classes import RESULT_STATUS
from covalent_dispatcher._core.dispatcher_modules import caches
from covalent_dispatcher._dal.exporters.result import export_result_manifest
from covalent_dispatcher._dal.result import Result, get_result_object
from covalent_dispatcher._db.write_result_to_db import resolve_electron_id
from covalent_dispatcher._object_store.local import local_store
from covalent_dispatcher.entry_point import register_redispatch, start_dispatch

from ..cloud.per_loop import PerLoop
from . import server_data
from .lineage import FIELD, read_lineage, read_note, with_lineage

logger = logging.getLogger(__name__)

# Of an electron, and of a dispatch: what it writes as it runs, and what a redispatch would write over the old one's
ELECTRON_OUTPUT = ("output", "stdout", "stderr", "error")
DISPATCH_OUTPUT = ("result", "error")
# Nodes in these states have not been begun, or are over
AT_REST = frozenset({"NEW_OBJECT", "PENDING_REUSE", "COMPLETED", "FAILED", "CANCELLED"})
OVER = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
# Several may ask at once, and each looks for its own reply
MOST_REPLIES = 8

# Of two that ask at once one resumes, and the other is told
_lock: PerLoop[asyncio.Lock] = PerLoop(asyncio.Lock)


@dataclass(frozen=True)
class DispatcherProcess:
    """This process: since when it takes dispatches, in seconds since 1970, and those whose nodes run in it."""

    since_seconds: float
    running: frozenset[str]


async def answer(request: Mapping[str, Any], process: DispatcherProcess) -> None:
    """Do what is asked for, and note the reply, and which dispatch continues the one that is meant."""
    dispatch_id = str(request["dispatch"])
    async with _lock.here():
        try:
            reply = await _reply(dispatch_id, bool(request.get("is_look")), process)
        except Exception as error:
            logger.exception("dispatch %s cannot be resumed", dispatch_id)
            reply = {"problem": f"{type(error).__name__}: {error}"}
        await asyncio.to_thread(_note_reply, dispatch_id, str(request.get("token")), reply)


async def _reply(dispatch_id: str, is_look: bool, process: DispatcherProcess) -> dict[str, object]:
    result = await asyncio.to_thread(get_result_object, dispatch_id)
    if result._electron_id:
        return {"part_of": await asyncio.to_thread(_whole, result)}
    if await _runs_here(result, process):
        return {"runs_here": True}
    new_id = str(_noted(result).get("resumed_as") or "")
    if is_look or str(result.status) == "COMPLETED" or (new_id and str(result.status) in OVER):
        return {}
    # The server may have died between these steps before
    if not new_id:
        new_id = await _redispatch(dispatch_id)
        await _note_resumed(dispatch_id, new_id)
    await start_dispatch(new_id)
    await asyncio.to_thread(_end, dispatch_id, new_id)
    return {}


async def _runs_here(result: Result, process: DispatcherProcess) -> bool:
    """Whether this process runs a dispatch: it has its counters, or has just begun it."""
    if result.dispatch_id in process.running:
        return True
    if str(result.status) not in OVER and result.start_time is not None:
        begun = result.start_time.replace(tzinfo=timezone.utc).timestamp()
        if process.since_seconds <= begun <= time.time():
            return True
    if caches.cache_db_file.name not in caches.cache_db_URL:
        # A database that outlives the server, where the counters say nothing of this process
        return False
    try:
        await caches._workflow_run_cache.get_unresolved(result.dispatch_id)
    except IndexError:
        return False
    return True


def _whole(result: Result) -> str:
    """Return the dispatch that a dispatch is a sublattice of, at whatever depth."""
    while result._electron_id:
        result = get_result_object(resolve_electron_id(result._electron_id)[0])
    return str(result.dispatch_id)


def _note_reply(dispatch_id: str, token: str, reply: Mapping[str, object]) -> None:
    replies = _noted(get_result_object(dispatch_id)).get("replies")
    latest = list(replies.items())[1 - MOST_REPLIES :] if isinstance(replies, dict) else []
    _note(dispatch_id, replies={**dict(latest), token: reply})


def _noted(result: Result) -> Mapping[str, object]:
    return read_note(result.lattice.get_value("executor_data", refresh=False) or {}, str(result.dispatch_id))


async def _note_resumed(dispatch_id: str, new_id: str) -> None:
    await asyncio.to_thread(_note, dispatch_id, resumed_as=new_id)
    server_data.forget_lattice(dispatch_id)


def _note(dispatch_id: str, **values: object) -> None:
    """Add values to the note of a dispatch."""
    with Result.session() as session:
        lattice = get_result_object(dispatch_id, session=session).lattice
        data = lattice.get_value("executor_data", session) or {}
        note = {"dispatch": dispatch_id, **read_note(data, dispatch_id), **values}
        lattice.set_value("executor_data", {**data, FIELD: note}, session)


async def _redispatch(dispatch_id: str, root_id: str = "") -> str:
    """Register a dispatch that reuses what completed of this one, and of its sublattices; return its id."""
    await asyncio.to_thread(_complete_reused, dispatch_id)
    manifest = await asyncio.to_thread(export_result_manifest, dispatch_id)
    inner = {
        node.id: node.metadata.sub_dispatch_id
        for node in manifest.lattice.transport_graph.nodes
        if node.metadata.sub_dispatch_id
    }
    new_id = str(uuid.uuid4())
    _renew(manifest, dispatch_id, new_id)
    await register_redispatch(manifest, dispatch_id, True)
    root_id = root_id or new_id
    new_inner = {}
    for node, sub_dispatch_id in inner.items():
        sub = await asyncio.to_thread(get_result_object, sub_dispatch_id)
        # One that was being built may not have all of its files; that of a resumed sublattice has them
        if str(sub.status) != "NEW_OBJECT" or _noted(sub):
            new_inner[node] = await _redispatch(sub_dispatch_id, root_id)
            await _note_resumed(sub_dispatch_id, new_inner[node])
    await asyncio.to_thread(_prepare, new_id, root_id, new_inner)
    return new_id


def _complete_reused(dispatch_id: str) -> None:
    """Have nodes count as completed that a resumed dispatch had from before, and whose turn had not come."""
    graph = get_result_object(dispatch_id, bare=False).lattice.transport_graph
    with Result.session() as session:
        for _, node in _nodes(graph):
            if str(node.get_value("status", session)) == "PENDING_REUSE" and not node.get_value(
                "sub_dispatch_id", session
            ):
                node.set_value("status", RESULT_STATUS.COMPLETED, session)


def _renew(manifest: ResultSchema, dispatch_id: str, new_id: str) -> None:
    """Make a dispatch's manifest that of a new one, which continues it."""
    lattice = manifest.lattice.metadata
    earlier = read_lineage(lattice.executor_data, dispatch_id)
    manifest.reset_metadata()  # type: ignore[no-untyped-call]  # Covalent leaves it without types
    manifest.metadata.dispatch_id = new_id
    manifest.assets.error = AssetSchema(size=0)
    lattice.executor_data = with_lineage(lattice.executor_data, new_id, (dispatch_id, *earlier))


def _prepare(dispatch_id: str, root_id: str, inner: Mapping[int, str]) -> None:
    """Have a redispatch write to files of its own, and run these dispatches as its sublattices.

    Args:
        inner: by node.
    """
    result = get_result_object(dispatch_id, bare=False)
    graph = result.lattice.transport_graph
    with Result.session() as session:
        result.set_value("root_dispatch_id", root_id, session)
        for key in DISPATCH_OUTPUT:
            _own_file(result.get_asset(key, session), dispatch_id, None, key, session)
        for node_id, node in _nodes(graph):
            is_reused = str(node.get_value("status", session)) == "PENDING_REUSE"
            # An argument's output is what it was made with
            is_argument = node.get_value("name", session).startswith(parameter_prefix)
            if (not is_reused and not is_argument) or node_id in inner:
                for key in ELECTRON_OUTPUT:
                    _own_file(node.get_asset(key, session), dispatch_id, node_id, key, session)
            if node_id in inner:
                # Covalent starts the dispatch that a sublattice has, once that is taken for built.
                node.set_value("status", RESULT_STATUS.PENDING_REUSE, session)
                sub = get_result_object(inner[node_id], session=session)
                sub.set_value("electron_id", node._electron_id, session)


def _own_file(asset: Any, dispatch_id: str, node_id: int | None, key: str, session: Any) -> None:
    path, name = local_store.get_uri_components(dispatch_id, node_id, key)
    Path(path, name).parent.mkdir(parents=True, exist_ok=True)
    new = {"storage_type": local_store.scheme, "storage_path": path, "object_key": name}
    asset.update(session, values={**new, "size": 0, "digest": None, "digest_alg": None, "remote_uri": ""})


def _end(dispatch_id: str, new_id: str) -> None:
    """End a dispatch whose server died, and those of its sublattices, as FAILED."""
    result = get_result_object(dispatch_id, bare=False)
    if str(result.status) in OVER:
        return
    now = datetime.now(timezone.utc)
    for node_id, node in _nodes(result.lattice.transport_graph):
        inner = node.get_value("sub_dispatch_id")
        if inner:
            _end(inner, new_id)
        if str(node.get_value("status")) not in AT_REST:
            text = f"Covalent's server ended before this electron did. Dispatch {new_id} continues it."
            result._update_node(node_id, end_time=now, status=RESULT_STATUS.FAILED, error=text)
    text = f"Covalent's server ended before dispatch {dispatch_id} did. It was resumed as dispatch {new_id}."
    result._update_dispatch(end_time=now, status=RESULT_STATUS.FAILED, error=text)


def _nodes(graph: Any) -> Iterator[tuple[int, Any]]:
    for node_id in sorted(graph._graph.nodes):
        yield node_id, graph.get_node(node_id)
