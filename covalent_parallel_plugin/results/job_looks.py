"""A dispatch's jobs while they run, looked at in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from ..covalent_api.config_file import configured_options
from ..covalent_api.server_client import ServerClient
from ..errors import ParallelError

if TYPE_CHECKING:
    from .status.snapshot import Snapshot

# Between two looks, as `watch` has it; once Covalent's server says that the dispatch has ended, its jobs are about to
EVERY_SECONDS, ENDING_SECONDS = 5.0, 0.5
# The last look, and the thread's end, are waited for so long
LAST_SECONDS, STOP_SECONDS = 10.0, 2.0


class JobLooks:
    """Looks at a dispatch's jobs until it has ended, or `stop`.

    Attributes:
        latest: the last look; None before the first one.
        problem: why there is none, or no other one; "" while all is well.
    """

    def __init__(self, server: ServerClient, dispatch_id: str) -> None:
        self._server, self._dispatch_id = server, dispatch_id
        self.latest: Snapshot | None = None
        self.problem = ""
        self._is_last = self._is_stopped = False
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="covalent-parallel-jobs")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def finish(self, seconds: float = LAST_SECONDS) -> None:
        """Look for the last time, and wait for that for so long: the dispatch has ended."""
        self._is_last = True
        self._thread.join(seconds)
        self.stop()

    def stop(self) -> None:
        """End, whatever is waited for."""
        self._is_stopped = True
        task = self._task
        if task is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # its loop has just ended
                task.get_loop().call_soon_threadsafe(task.cancel)
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._follow())
        except asyncio.CancelledError:
            return
        except (ParallelError, ValueError) as error:
            self.problem = str(error).split("\n", 1)[0]

    async def _follow(self) -> None:
        # Here, since it takes a second to load Google's clients.
        from ..cloud.batch import BatchApi
        from .status.dispatch_status import DispatchStatus, follow

        self._task = asyncio.current_task()
        if self._is_stopped:
            return
        batch = BatchApi.shared()
        try:
            status = DispatchStatus(batch, self._server, self._dispatch_id, {}, configured_options())
            await follow(status, self._show, EVERY_SECONDS, batch.outage_seconds, self._sleep)
        finally:
            await batch.close()

    def _show(self, snapshot: Snapshot) -> None:
        self.latest = snapshot

    async def _sleep(self, seconds: float) -> None:
        """Sleep, for less long once the last look is due."""
        waited = 0.0
        while waited < seconds and not (self._is_last and waited >= ENDING_SECONDS):
            await asyncio.sleep(0.1)
            waited += 0.1


def look_once(server: ServerClient, dispatch_id: str) -> Snapshot:
    """Return a dispatch's jobs as they are; in a thread, so that a running event loop does not matter.

    Raises:
        ParallelError: nothing is known of them; the message says why.
    """
    from ..cloud.timed_calls import call_within

    async def fetch() -> Snapshot:
        from ..cloud.batch import BatchApi
        from .status.dispatch_status import DispatchStatus

        batch = BatchApi.shared()
        try:
            return await DispatchStatus(batch, server, dispatch_id, {}, configured_options()).fetch()
        finally:
            await batch.close()

    return call_within(LAST_SECONDS, "Google Batch", lambda: asyncio.run(fetch()))
