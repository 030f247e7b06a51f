"""The processes that run nodes: started on demand, used again, ended when idle, cancelled, too slow or too large."""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from .worker_process import Answer, NodeRequest, Worker, WorkerFailed

MOST_WORKERS = 2
IDLE_SECONDS = 20.0
TIME_LIMIT_SECONDS = 60.0
# A process that has loaded this much is not kept: its memory would stay as large
RETIRING_BYTES = 32 * 1024 * 1024


class WorkerPool:
    """Up to `most` workers; nodes beyond that wait for one, and the wait is not part of their time.

    `time_limit_seconds` bounds a node, `idle_seconds` how long a worker is kept without one.
    """

    def __init__(
        self,
        most: int = MOST_WORKERS,
        idle_seconds: float = IDLE_SECONDS,
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
    ) -> None:
        self._idle_seconds = idle_seconds
        self._time_limit_seconds = time_limit_seconds
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="covalent-parallel-node")
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._timer: threading.Timer | None = None
        atexit.register(self.close)

    @property
    def process_ids(self) -> list[int]:
        """The processes there are."""
        with self._lock:
            return [worker.process_id for worker in (*self._idle, *self._busy)]

    async def ask(self, request: NodeRequest) -> Answer:
        """What comes of a request.

        Raises:
            WorkerFailed: nothing that can be used.
            asyncio.CancelledError: the caller was cancelled; the worker is gone by then.
        """
        turn = _Turn()
        job = self._threads.submit(self._ask, request, turn)
        future = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            turn.give_up()
            if not job.cancel():
                await asyncio.wait([future])
                # Asked for, so that nobody complains that it was not
                future.cancelled() or future.exception()
            raise

    def close(self) -> None:
        """End all workers that are idle, and do not wait for the time they are to be ended at."""
        with self._lock:
            idle, self._idle = self._idle, []
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        for worker in idle:
            worker.end()

    def _ask(self, request: NodeRequest, turn: _Turn) -> Answer:
        try:
            worker = self._taken()
        except OSError as error:
            raise WorkerFailed(f"no process could be started for it: {error}") from error
        is_kept = False
        try:
            turn.has(worker)
            answer = worker.ask(request, time.monotonic() + self._time_limit_seconds)
            is_kept = request.size + len(answer[1].get("value", b"")) <= RETIRING_BYTES and not turn.is_given_up
            return answer
        finally:
            turn.end()
            self._put_back(worker, is_kept)

    def _taken(self) -> Worker:
        worker = None
        while worker is None:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                worker = Worker()
            elif not worker.is_alive:
                worker.end()
                worker = None
        with self._lock:
            self._busy.add(worker)
        return worker

    def _put_back(self, worker: Worker, is_kept: bool) -> None:
        with self._lock:
            self._busy.discard(worker)
            if is_kept:
                self._idle.append(worker)
                self._set_timer(self._idle_seconds)
        if not is_kept:
            worker.end()

    def _set_timer(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = threading.Timer(seconds, self._end_idle)
            self._timer.daemon = True
            self._timer.start()

    def _end_idle(self) -> None:
        """End those that were idle long enough, and look again when the next one will have been."""
        with self._lock:
            self._timer = None
            until = time.monotonic() - self._idle_seconds
            ended = [worker for worker in self._idle if worker.idle_since <= until]
            self._idle = [worker for worker in self._idle if worker.idle_since > until]
            if self._idle:
                self._set_timer(min(worker.idle_since for worker in self._idle) - until)
        for worker in ended:
            worker.end()


class _Turn:
    """One request's time with a worker, which another thread may cut short."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self.is_given_up = False

    def has(self, worker: Worker) -> None:
        """Say whose turn it is. Raises WorkerFailed where it was given up before."""
        with self._lock:
            self._worker = worker
            if self.is_given_up:
                raise WorkerFailed("it was cancelled")

    def end(self) -> None:
        """From here on the worker is somebody else's."""
        with self._lock:
            self._worker = None

    def give_up(self) -> None:
        with self._lock:
            self.is_given_up = True
            if self._worker is not None:
                self._worker.kill()
