"""The runner's archive in the bucket: put there once, by whoever needs it first, and again if it went away."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from ..cloud.pool import in_pool
from ..cloud.storage import ObjectStore
from .archive import runner_archive

# Where the archive is known to be: the server's address, project and bucket
_staged: set[tuple[str, str, str]] = set()
# One upload at a time in each event loop: forty electrons that start together need one
_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def stage_runner(store: ObjectStore) -> None:
    """Have the archive of this version in the bucket; a later version has another name."""
    if store.place in _staged:
        return
    for loop in [loop for loop in _locks if loop.is_closed()]:
        # A lock that was waited for holds its loop, so nothing but this lets go of the two.
        del _locks[loop]
    async with _locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        if store.place not in _staged:
            archive = await in_pool(runner_archive)
            await in_pool(store.put, archive.object_name, archive.data)
            _staged.add(store.place)


def forget_runner(store: ObjectStore) -> None:
    """A task did not find the archive: the next call puts it there again."""
    _staged.discard(store.place)
