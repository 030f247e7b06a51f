"""Jobs of a dispatch that this process does not run: a server that was killed left them, and the user cancels them.

It imports Google's clients, which takes a second: load it in a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from ..batch.job_names import LABEL_NODE
from ..batch.leftovers import unfinished_jobs
from ..cloud.batch import BatchApi, JobStatus
from ..cloud.per_loop import PerLoop
from ..errors import ParallelError
from ..settings.resolve_options import settings_from
from . import lineage
from .running_nodes import NodeId

logger = logging.getLogger(__name__)

# How long each request is tried again
PATIENCE_SECONDS = 20.0
# So long a list serves all nodes of its dispatch: Covalent cancels them one by one, in one go
LIST_SECONDS = 10.0

# By project and region, and dispatch; None where there is no list
_lists: PerLoop[dict[tuple[str, str], asyncio.Future[Sequence[JobStatus] | None]]] = PerLoop(dict)


async def cancel_orphaned_jobs(node: NodeId, options: Mapping[str, object]) -> bool:
    """Cancel the jobs of a node on Batch, where the executor's options say that they are.

    Returns:
        Whether none of them runs on as this dispatch's; if not, the log says why.
    """
    dispatch_id, node_id = node
    if newer := await lineage.resumed_as(dispatch_id):
        logger.warning("dispatch %s was resumed as dispatch %s, which may have taken up its jobs", dispatch_id, newer)
        return True
    try:
        parent = settings_from(options).parent
        # A resumed dispatch's jobs may be those of one that it continues.
        dispatches = (dispatch_id, *await lineage.ancestors(dispatch_id))
        listed = await asyncio.gather(*(_jobs_of(parent, each) for each in dispatches))
        found = [job for jobs in listed for job in jobs or ()]
        jobs = [job.name for job in found if job.labels.get(LABEL_NODE) == str(node_id)]
        await asyncio.gather(*(BatchApi.shared().cancel(name, PATIENCE_SECONDS) for name in jobs))
    except ParallelError as error:
        _warn(f"node {node_id} of dispatch {dispatch_id}", dispatch_id, error)
        return False
    if jobs:
        logger.info("cancelled %s, which another process made", ", ".join(jobs))
    return None not in listed


async def _jobs_of(parent: str, dispatch_id: str) -> Sequence[JobStatus] | None:
    """The unfinished jobs of a dispatch, listed once for all of its nodes that are cancelled within a while."""
    lists, key = _lists.here(), (parent, dispatch_id)
    if key not in lists:
        lists[key] = asyncio.ensure_future(_list_jobs(parent, dispatch_id))
        asyncio.get_running_loop().call_later(LIST_SECONDS, lists.pop, key, None)
    # Who stops waiting does not end it for the others.
    return await asyncio.shield(lists[key])


async def _list_jobs(parent: str, dispatch_id: str) -> Sequence[JobStatus] | None:
    try:
        return await unfinished_jobs(BatchApi.shared(), parent, dispatch_id, PATIENCE_SECONDS)
    except ParallelError as error:
        _warn(f"dispatch {dispatch_id}", dispatch_id, error)
        return None


def _warn(what: str, dispatch_id: str, error: ParallelError) -> None:
    logger.warning(
        "%s was not begun by this process, and its jobs may still run: %s\n"
        "`covalent-parallel clean --dispatch %s` lists the dispatch's jobs, and with --yes cancels them.",
        what,
        error,
        dispatch_id,
    )
