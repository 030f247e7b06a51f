"""Ask the process of Covalent's server to resume a dispatch, or whether it runs it, and read its reply."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping

from ..errors import DispatchError, UnavailableError
from .lineage import FIELD
from .server_client import UNANSWERED, DispatchRecord, ServerClient, reason_of

# A server that has just started, or has much to do, takes a while; of thousands of electrons each is copied
REPLY_SECONDS = 300.0
FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.1, 2.0


class DispatchRunsError(DispatchError):
    """The server's own process runs the dispatch."""


def ask_server(
    server: ServerClient,
    dispatch_id: str,
    address: tuple[str, int],
    is_look: bool,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> DispatchRecord:
    """Return the dispatch once the server's process has replied that it does not run it.

    Args:
        address: a dispatch and a node of it whose executor is this package's, which gets the request.
        is_look: whether it is only asked, and nothing done.

    Raises:
        UnavailableError: the server does not answer, or nobody in its process replies.
        DispatchError: that process runs it, or it is a sublattice's, or cannot be resumed.
    """
    token, until, pause = uuid.uuid4().hex, clock() + REPLY_SECONDS, FIRST_PAUSE_SECONDS
    try:
        server.tell_executor(*address, {FIELD: {"dispatch": dispatch_id, "is_look": is_look, "token": token}})
    except UNANSWERED as error:
        raise UnavailableError(f"Covalent's server at {server.address} cannot be asked ({reason_of(error)})") from error
    while clock() < until:
        record = None
        # It may have much to do just now
        with contextlib.suppress(*UNANSWERED):
            record = server.dispatch(dispatch_id)
        replies = record.note.get("replies") if record is not None else None
        reply = replies.get(token) if isinstance(replies, Mapping) else None
        if record is not None and isinstance(reply, Mapping):
            if "problem" in reply:
                raise DispatchError(f"Covalent's server cannot resume dispatch {dispatch_id}: {reply['problem']}")
            if reply.get("part_of"):
                whole = f"resume the whole, dispatch {reply['part_of']}"
                raise DispatchError(f"dispatch {dispatch_id} is a sublattice's: {whole}")
            if reply.get("runs_here"):
                raise DispatchRunsError(
                    f"dispatch {dispatch_id} is {record.state}, and the server's own process runs it: there is nothing"
                    f' to resume (ct.cancel("{dispatch_id}") cancels it)'
                )
            return record
        sleep(pause)
        pause = min(2 * pause, MOST_PAUSE_SECONDS)
    raise UnavailableError(
        f"Covalent's server at {server.address} has not replied within {REPLY_SECONDS:g} s: it has much to do, or has"
        " another version of this package. Restart it with this version, and try again"
    )
