"""`show`: a dispatch as it is, or in place while it runs."""

from __future__ import annotations

from ..covalent_api.server_client import UNANSWERED, ServerClient
from ..errors import ParallelError
from ..settings.own_frames import hide_own_frames
from .dispatch_end import await_end, checked_id, stopped_by_user, unavailable, unknown
from .dispatch_looks import may_have_jobs, run_of
from .job_looks import look_once
from .notebook import current_cell
from .run import Run
from .shown_progress import progress_of


@hide_own_frames
def show(dispatch_id: str, wait: bool = False) -> Run:
    """Return how far a dispatch is; a notebook shows it as a table, and `print` as text.

    Args:
        dispatch_id: what `ct.dispatch(workflow)(...)` returned.
        wait: return once the dispatch has ended. Until then a notebook shows the table in place, and keeps the last
            one; a terminal's stderr gets lines. A dispatch that failed raises nothing here: `wait` does.

    Returns:
        A `Run`, which does not change by itself: call `show` again for a new one.

    Raises:
        MissingResourceError: Covalent's server knows no such dispatch.
        UnavailableError: Covalent's server does not answer.
        SettingsError: not a valid dispatch id.
    """
    checked_id(dispatch_id)
    server = ServerClient.configured()
    if wait:
        with stopped_by_user(dispatch_id), progress_of(server, dispatch_id) as progress:
            await_end(server, dispatch_id, None, progress.look)
            progress.end()
        if progress.run is not None:
            progress.run.note_on_display(current_cell())
            return progress.run
    return _look(server, dispatch_id)


def _look(server: ServerClient, dispatch_id: str) -> Run:
    try:
        record = server.dispatch(dispatch_id)
    except UNANSWERED as error:
        raise unavailable(server, error) from error
    if record is None:
        raise unknown(server, dispatch_id)
    snapshot, problem = None, ""
    if may_have_jobs(record):
        try:
            snapshot = look_once(server, dispatch_id)
        except (ParallelError, ValueError) as error:
            # What Covalent's server reports is available all the same.
            problem = str(error).split("\n", 1)[0]
    return run_of(dispatch_id, record, snapshot, problem)
