"""Waiting for the end of a dispatch: Covalent's server is asked for its state, ever less often."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from numbers import Real

from ..batch.job_names import is_plain_id
from ..covalent_api.server_client import OVER, UNANSWERED, ServerClient, reason_of
from ..errors import MissingResourceError, SettingsError, UnavailableError
from ..protocol.value_text import shortened
from ..settings import nearest
from .dev_program import OWNER_VARIABLE

# A dispatch that has run for so long is asked about this much later: a twentieth of that, within these bounds
PAUSE_SHARE, LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.05, 0.2, 2.0
# A server that restarts, or has much to do, is waited for
OUTAGE_SECONDS = 120.0
LATEST = 10


def checked_id(dispatch_id: object) -> str:
    """Return the id of a dispatch. Raises SettingsError for what is none."""
    if isinstance(dispatch_id, str) and is_plain_id(dispatch_id):
        return dispatch_id
    call = " with the workflow's arguments: ct.dispatch(workflow)(...)" if callable(dispatch_id) else ""
    raise SettingsError(
        [
            f"dispatch_id is {shortened(dispatch_id)}, which is not a valid dispatch id: give the text that"
            f" ct.dispatch(workflow)(...) returns{', so call it' if call else ''}{call}"
        ]
    )


def checked_timeout(seconds: object) -> float | None:
    """Return a number of seconds, None for no limit. Raises SettingsError for what is neither."""
    if seconds is None:
        return None
    number = float(seconds) if isinstance(seconds, Real) and not isinstance(seconds, bool) else math.nan
    if number >= 0:
        return number
    raise SettingsError([f"timeout is {shortened(seconds)}: give seconds, 0 or more, or None for no limit"])


def await_end(
    server: ServerClient,
    dispatch_id: str,
    timeout_seconds: float | None = None,
    look: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return the state with which a dispatch ended, once it has.

    Args:
        look: is called while it runs, before each pause.

    Raises:
        MissingResourceError: the server knows no such dispatch.
        UnavailableError: the server cannot be reached.
        TimeoutError: the dispatch has not ended by then; it continues.
    """
    begun = answered = clock()
    is_known = False
    # Bounded by the dispatch's own end, the timeout, or the user's Ctrl-C.
    while True:
        try:
            state = server.dispatch_state(dispatch_id)
        except UNANSWERED as error:
            if (not is_known and is_absent(error)) or clock() - answered > OUTAGE_SECONDS:
                raise unavailable(server, error, dispatch_id if is_known else "") from error
        else:
            answered, is_known = clock(), True
            if state in OVER:
                return state
            if not state:
                raise unknown(server, dispatch_id)
            look()
        passed = clock() - begun
        left = None if timeout_seconds is None else timeout_seconds - passed
        if left is not None and left <= 0:
            raise TimeoutError(
                f"dispatch {dispatch_id} has not ended within {timeout_seconds:g} s; it goes on, and"
                f' ct.cancel("{dispatch_id}") cancels it'
            )
        pause = min(max(PAUSE_SHARE * passed, LEAST_PAUSE_SECONDS), MOST_PAUSE_SECONDS)
        sleep(pause if left is None else min(pause, left))


@contextlib.contextmanager
def stopped_by_user(dispatch_id: str) -> Iterator[None]:
    """Say that a dispatch continues where Ctrl-C, or a notebook's interrupt, ends the waiting for it."""
    try:
        yield
    except KeyboardInterrupt:
        # `dev` cancels it
        if OWNER_VARIABLE not in os.environ:
            text = f'stopped waiting; dispatch {dispatch_id} goes on: ct.cancel("{dispatch_id}") cancels it'
            print(text, file=sys.stderr)
        raise


def is_absent(error: Exception) -> bool:
    """Whether nothing answers at the server's address, rather than late or with an error."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return isinstance(reason, OSError) and not isinstance(reason, (TimeoutError, urllib.error.HTTPError))


def unavailable(server: ServerClient, error: Exception, dispatch_id: str = "") -> UnavailableError:
    """Return the error of a server that does not answer; `dispatch_id` is that of a dispatch that it runs."""
    what = f"Covalent's server at {server.address} cannot be asked ({reason_of(error)})"
    if dispatch_id:
        return UnavailableError(f"{what}; dispatch {dispatch_id} may go on: wait for it again once the server is back")
    return UnavailableError(
        f"{what}: start it with `covalent start`, or correct [dispatcher] address and port in Covalent's configuration"
        " file"
    )


def unknown(server: ServerClient, dispatch_id: str) -> MissingResourceError:
    """Return the error of a dispatch that the server does not know, with those that it knows."""
    text = f"Covalent's server at {server.address} knows no dispatch {dispatch_id}"
    try:
        ids = server.latest_dispatches(LATEST)
    except UNANSWERED:
        return MissingResourceError(text)
    near = nearest(dispatch_id, ids)
    hint = f": did you mean {near}?" if near else "."
    latest = f" Its latest dispatches are {', '.join(ids)}" if ids else " It has no dispatch"
    return MissingResourceError(f"{text}{hint}{latest}")
