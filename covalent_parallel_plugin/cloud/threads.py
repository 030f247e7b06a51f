"""The package's own threads, for what would block the server's event loop; short, as all rooms share just this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

# Transfers wait more than they compute, and more threads than this do not move more bytes on small servers.
THREADS = 16
POOL = ThreadPoolExecutor(THREADS, thread_name_prefix="covalent-parallel")
# Apart, so that a log service that hangs holds up no upload
LOG_POOL = ThreadPoolExecutor(2, thread_name_prefix="covalent-parallel-log")

P = ParamSpec("P")
T = TypeVar("T")


async def run_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking function in the package's threads.

    A caller that is cancelled meanwhile gets its CancelledError when the function is done: so an upload cannot finish
    after the clean-up that follows. The functions bound their own time.
    """
    future = asyncio.get_running_loop().run_in_executor(POOL, lambda: function(*args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise
