"""Writing traces from an event loop: in one thread of this process, which is waited for a short time at most."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .trace import TraceFile, record_line

logger = logging.getLogger(__name__)

# Of a disk that does not answer, nothing waits longer: neither the end of a call nor that of the process
WAIT_SECONDS = 2.0
# More than a disk that hangs is to keep in memory
MOST_WAITING = 100_000
# How much is written with one opening of a trace
MOST_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One record that is to be written."""

    kind: str
    node: int | None
    fields: Mapping[str, object]


# A trace, what is to be written to it, and what is called then
Waiting = tuple[TraceFile, Sequence[TraceRecord], Callable[[], None]]


class TraceWriter:
    """Writes records in the order in which they come, in a thread that is started when there is something to write.

    Args:
        seconds: how long it is waited for.
    """

    def __init__(self, seconds: float = WAIT_SECONDS) -> None:
        self._seconds = seconds
        self.forget()

    def put(self, file: TraceFile, records: Sequence[TraceRecord], written: Callable[[], None] = lambda: None) -> None:
        """Have these written; `written` is called in the thread afterwards."""
        if self._waiting.qsize() >= MOST_WAITING:
            return
        self._waiting.put((file, records, written))
        if self._thread is None or not self._thread.is_alive():
            self._start()

    async def write(self, file: TraceFile, records: Sequence[TraceRecord]) -> None:
        """Have these written, and wait for that, for a short time."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def finish() -> None:
            if not done.done():
                done.set_result(None)

        def written() -> None:
            # The loop may be closed by now.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(finish)

        self.put(file, records, written)
        await asyncio.wait([done], timeout=self._seconds)

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until all that came so far is written; return whether it was in time."""
        if self._waiting.empty() and (self._thread is None or not self._thread.is_alive()):
            return True
        done = threading.Event()
        self._waiting.put((TraceFile(None, ""), (), done.set))
        return done.wait(self._seconds if seconds is None else seconds)

    def forget(self) -> None:
        """Start again: what waits is another process's, of which this one is a copy."""
        self._waiting: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="covalent-parallel-trace", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            waiting = [self._waiting.get()]
            with contextlib.suppress(queue.Empty):
                while len(waiting) < MOST_AT_ONCE:
                    waiting.append(self._waiting.get_nowait())
            for _, group in itertools.groupby(waiting, key=lambda each: each[0].path):
                found = list(group)
                found[0][0].append([line for _, records, _ in found for line in _lines(records)])
                for _, _, written in found:
                    written()


def _lines(records: Sequence[TraceRecord]) -> Iterator[bytes]:
    for record in records:
        try:
            yield record_line(record.kind, record.node, record.fields)
        except Exception:
            # A defect of whoever made it: the records that follow do without it.
            logger.exception("a record of a trace is left out")


WRITER = TraceWriter()
# A daemon's thread is not waited for otherwise
atexit.register(WRITER.flush)
os.register_at_fork(after_in_child=WRITER.forget)
