"""The runner's archive in the bucket: put there once, by whoever needs it first, and again if it went away."""

from __future__ import annotations

import asyncio

from ..cloud.per_loop import PerLoop
from ..cloud.storage import ObjectStore
from ..cloud.threads import run_in_thread
from .runner_archive import runner_archive

# Where the archive is known to be: the server's address, project and bucket
_staged: set[tuple[str, str, str]] = set()
# One upload at a time in each event loop: forty electrons that start together need one
_locks = PerLoop(asyncio.Lock)


async def stage_runner(store: ObjectStore) -> None:
    """Have the archive of this version in the bucket; a later version has another name."""
    if store.place in _staged:
        return
    async with _locks.here():
        if store.place not in _staged:
            archive = await run_in_thread(runner_archive)
            await run_in_thread(store.put, archive.object_name, archive.data)
            _staged.add(store.place)


def forget_runner(store: ObjectStore) -> None:
    """A task did not find the archive: the next call puts it there again."""
    _staged.discard(store.place)
