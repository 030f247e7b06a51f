"""An electron's checkpoints in the bucket, seen from the dispatcher: the newest two stay, until it returns."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

from ..cloud.interfaces import Bucket
from ..cloud.storage import StoredObject
from ..cloud.threads import run_in_thread
from ..errors import CloudError
from ..protocol.identity import CallIdentity
from ..protocol.object_names import checkpoint_folder

logger = logging.getLogger(__name__)

# The newest may be that of a state from which the electron cannot continue. Tasks may not delete objects themselves.
KEPT = 2
# In polls of the job
PRUNE_POLLS = 12


class StoredCheckpoints:
    """The checkpoints of a lone electron, which has one task.

    Args:
        store: the bucket.
        identity: the call that they belong to.
        dispatch_id: the dispatch that runs it now.
    """

    def __init__(self, store: Bucket, identity: CallIdentity, dispatch_id: str):
        self._store = store
        self._identity = identity
        self._dispatch_id = dispatch_id

    def prune(self) -> list[StoredObject]:
        """Delete all but the newest; returns those that stay, the newest last.

        Raises:
            CloudError: the bucket refused, or could not be reached.
        """
        address = self._identity.task()
        listed = {
            number: stored
            for stored in self._store.list(checkpoint_folder(self._identity.folder))
            if (number := address.checkpoint_number(stored.name)) is not None
        }
        found = [listed[number] for number in sorted(listed)]
        for stored in found[:-KEPT]:
            self._store.delete(stored.name)
        return found[-KEPT:]

    @contextlib.asynccontextmanager
    async def pruned(self, poll_seconds: float) -> AsyncIterator[None]:
        """Delete the older ones now and then, for as long as the context lasts."""
        pruning = asyncio.ensure_future(self._prune_often(PRUNE_POLLS * poll_seconds))
        try:
            yield
        finally:
            pruning.cancel()
            await asyncio.gather(pruning, return_exceptions=True)

    async def _prune_often(self, pause_seconds: float) -> None:
        while True:
            await asyncio.sleep(pause_seconds)
            try:
                await run_in_thread(self.prune)
            except CloudError as error:
                logger.debug("older checkpoints in %s are not deleted yet: %s", self._identity.folder, error)

    async def location(self) -> str:
        """Return a sentence about where the newest is, and what to do to continue from it; "" where there is none."""
        try:
            kept = await run_in_thread(self.prune)
        except CloudError as error:
            return f"Whether it left a checkpoint is not known: {error}"
        if not kept:
            return ""
        newest = kept[-1]
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(newest.created_seconds))
        return (
            f"Its checkpoint of {when}, {newest.size / 2**20:,.1f} MB, stays in"
            f" gs://{self._store.bucket_name}/{newest.name} until `covalent-parallel clean` or a lifecycle rule of the"
            f" bucket deletes it: `covalent-parallel resume {self._dispatch_id}` runs the electron again from there."
        )
