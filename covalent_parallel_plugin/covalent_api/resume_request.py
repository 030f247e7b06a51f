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


def ask_server(
    server: ServerClient,
    dispatch_id: str,
    address: tuple[str, int],
    action: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[DispatchRecord, bool]:
    """Return the dispatch once the server's process has replied, and whether that process runs it.

    Args:
        address: a dispatch and a node of it whose executor is this package's, which gets the request.
        action: LOOK or RESUME.

    Raises:
        UnavailableError: the server does not answer, or nobody in its process replies.
        DispatchError: it could not do that.
    """
    token, until, pause = uuid.uuid4().hex, clock() + REPLY_SECONDS, FIRST_PAUSE_SECONDS
    try:
        server.tell_executor(*address, {FIELD: {"dispatch": dispatch_id, "action": action, "token": token}})
    except UNANSWERED as error:
        raise UnavailableError(f"Covalent's server at {server.address} cannot be asked ({reason_of(error)})") from error
    while clock() < until:
        record = None
        # It may have much to do just now
        with contextlib.suppress(*UNANSWERED):
            record = server.dispatch(dispatch_id)
        reply = record.note.get("reply") if record is not None else None
        if record is not None and isinstance(reply, Mapping) and reply.get("token") == token:
            if "problem" in reply:
                raise DispatchError(f"Covalent's server cannot resume dispatch {dispatch_id}: {reply['problem']}")
            return record, bool(reply.get("runs_here"))
        sleep(pause)
        pause = min(2 * pause, MOST_PAUSE_SECONDS)
    raise UnavailableError(
        f"Covalent's server at {server.address} has not replied within {REPLY_SECONDS:g} s: it has much to do, or has"
        " another version of this package. Restart it with this version, and try again"
    )
