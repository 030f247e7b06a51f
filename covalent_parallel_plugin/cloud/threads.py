"""The package's own threads, for what would block the server's event loop, and how a thread's reading is stopped."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from ..errors import CloudError

# Transfers wait more than they compute, and more threads than this do not move more bytes on small servers.
THREADS = 16
POOL = ThreadPoolExecutor(THREADS, thread_name_prefix="covalent-parallel")
# Apart, so that a log service that hangs holds up no upload
LOG_POOL = ThreadPoolExecutor(2, thread_name_prefix="covalent-parallel-log")
# A stopped thread that looks up a host's name, or writes to a slow disk, is left behind after so long
STOP_SECONDS = 3.0

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")

_stop: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("stop", default=None)


class TransferStoppedError(CloudError):
    """Nobody waits for this transfer any more."""


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


async def run_stoppable(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking function that only reads, such as one that calls `ObjectStore.get`, in the package's threads.

    A caller that is cancelled meanwhile stops it: its request to Cloud Storage, and its wait for the next try of one,
    end within a second with TransferStoppedError, and the connection is closed. The CancelledError follows as soon as
    the function has returned, after STOP_SECONDS at the latest. So the function has to close by itself what it opens.
    """
    stop = threading.Event()
    context = contextvars.copy_context()
    context.run(_stop.set, stop)
    running = POOL.submit(context.run, lambda: function(*args, **kwargs))
    future = asyncio.wrap_future(running)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        future.add_done_callback(lambda late: late.cancelled() or late.exception())
        if not running.cancel():
            await asyncio.wait([future], timeout=STOP_SECONDS)
        raise


def check_stopped() -> None:
    """Raise TransferStoppedError if this thread's function was stopped."""
    stop = _stop.get()
    if stop is not None and stop.is_set():
        raise TransferStoppedError("the transfer was stopped")


def sleep_unless_stopped(seconds: float) -> None:
    """Sleep; raise TransferStoppedError as soon as this thread's function is stopped."""
    stop = _stop.get()
    if stop is None:
        time.sleep(seconds)
    else:
        stop.wait(seconds)
        check_stopped()


def map_in_threads(function: Callable[[A], T], items: Iterable[A], threads: int) -> Iterator[T]:
    """Yield what a blocking function returns for each item, in order, so many at a time.

    Items are taken as they are needed. A caller that was stopped stops the threads' reading as well. After the first
    error, which is raised, no more items are begun.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="covalent-parallel-map")
    running: deque[Future[T]] = deque()
    try:
        for item in items:
            running.append(pool.submit(contextvars.copy_context().run, function, item))
            if len(running) >= 2 * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
