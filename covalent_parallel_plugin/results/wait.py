"""`wait`: the value of a dispatch, or the error that it ended with."""

from __future__ import annotations

from typing import Any

from ..covalent_api.server_client import UNANSWERED, ServerClient
from ..covalent_api.stored_value import load_value
from ..errors import DispatchError, ParallelError
from .dev_program import note_raised
from .dispatch_end import await_end, checked_id, checked_timeout, stopped_by_user, unavailable, unknown
from .dispatch_failure import cancellation_of, failure_of
from .shown_progress import progress_of

# A value may be large, and the server busy
VALUE_SECONDS = 600.0


def wait(dispatch_id: str, timeout: float | None = None) -> Any:
    """Wait for a dispatch, and return its value; raise the error of one that failed.

    Its progress is printed to stderr where that is a terminal, unless the environment variable
    COVALENT_PARALLEL_PROGRESS is `off`; a notebook shows a table, updated in place.

    Args:
        dispatch_id: what `ct.dispatch(workflow)(...)` returned.
        timeout: seconds to wait at most; None for no limit. 0 only looks.

    Returns:
        The value of the workflow, as `ct.get_result(dispatch_id, wait=True).result` has it.

    Raises:
        Exception: an electron raised: a builtin exception as it is, with the remote traceback as its cause.
        ElectronError: an electron raised an exception that is not a builtin one; it carries the remote traceback.
        MapError: items of a map failed; it carries an error for each of them, and the values of the others.
        JobError: an electron's job ended without a value: TaskKilledError, TimeLimitError, ImageError, ...
        DispatchError: an electron failed on another executor; the message has the text that Covalent keeps.
        DispatchCancelledError: the dispatch was cancelled.
        OutcomeError: the value cannot be loaded here.
        TimeoutError: the dispatch has not ended by then; it continues.
        MissingResourceError: Covalent's server knows no such dispatch.
        UnavailableError: Covalent's server does not answer.
        SettingsError: not a valid dispatch id, or timeout.
    """
    result = _value_or_error(dispatch_id, timeout)
    if isinstance(result, _Error):
        try:
            raise result.error
        except Exception:
            # From Python 3.11 on a bare `raise` adds no frame of its own: the traceback begins at the caller's line.
            result.error.__traceback__ = None
            raise
    return result


class _Error:
    """The error that a dispatch ended with, or that of waiting; a value may be an exception too."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _value_or_error(dispatch_id: str, timeout: float | None) -> Any:
    try:
        checked_id(dispatch_id)
        timeout = checked_timeout(timeout)
        server = ServerClient.configured()
        with stopped_by_user(dispatch_id), progress_of(server, dispatch_id) as progress:
            state = await_end(server, dispatch_id, timeout, progress.look)
            progress.end()
        return _outcome(server, dispatch_id, state)
    except (ParallelError, TimeoutError) as error:
        return _Error(error)


def _outcome(server: ServerClient, dispatch_id: str, state: str) -> Any:
    try:
        record = server.dispatch(dispatch_id)
        if record is None:
            return _Error(unknown(server, dispatch_id))
        if state == "CANCELLED":
            return _Error(cancellation_of(server, dispatch_id, record))
        if state != "COMPLETED":
            note_raised(dispatch_id)
            return _Error(failure_of(server, dispatch_id, record))
        stored = record.files.get("result")
        if stored is None or not stored.size:
            return _Error(DispatchError(f"dispatch {dispatch_id} completed, and Covalent's server has no value of it"))
        archive = server.get_bytes(stored.path, VALUE_SECONDS)
    except UNANSWERED as error:
        return _Error(unavailable(server, error, dispatch_id))
    return load_value(archive, f"dispatch {dispatch_id}")
