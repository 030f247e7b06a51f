"""An object that many calls share, such as the runner's archive: uploaded once, and put back where it is lost."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from ..cloud.interfaces import Bucket
from ..cloud.per_loop import PerLoop
from ..cloud.threads import run_in_thread

# What is known to be where: the server's address, project and bucket, and the object's name
_staged: OrderedDict[Hashable, None] = OrderedDict()
MOST_KNOWN = 4096
# One upload at a time in each event loop: forty electrons that start together need one
_locks = PerLoop(asyncio.Lock)


@dataclass(frozen=True)
class SharedObject:
    """An object's name, and what makes its bytes, which are the same each time."""

    name: str
    data: Callable[[], bytes]


async def stage_shared(store: Bucket, shared: SharedObject) -> None:
    """Have it in the bucket. Raises CloudError."""
    place = (store.place, shared.name)
    if place in _staged:
        return
    async with _locks.here():
        if place not in _staged:
            await run_in_thread(lambda: store.put(shared.name, shared.data()))
            _staged[place] = None
            if len(_staged) > MOST_KNOWN:
                _staged.popitem(last=False)


async def restage_shared(store: Bucket, shared: SharedObject) -> None:
    """Put it into the bucket again where a task found it deleted, or with other bytes. Raises CloudError."""
    async with _locks.here():
        await run_in_thread(_put_back, store, shared)


def _put_back(store: Bucket, shared: SharedObject) -> None:
    name, data = shared.name, shared.data()
    sizes = [stored.size for stored in store.list(name) if stored.name == name]
    found = io.BytesIO()
    # What somebody else put there may be of any size.
    if sizes == [len(data)] and store.get(name, found) and found.getvalue() == data:
        return
    store.delete(name)
    store.put(name, data)
