"""An electron whose value may be in the cache: taken from there, or made by a job that equal electrons share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ...batch.cancellation import Cancellation, CancelledCall
from ...batch.trace_recorder import TraceRecorder
from ...cloud import Services
from ...cloud.per_loop import PerLoop
from ...cloud.threads import run_stoppable
from ...errors import CacheDirError, CloudError, ParallelError
from ...settings import Settings
from ..call import Call, Pickles
from ..electron_run import ElectronRun
from ..map.map_run import MapRun
from ..verdict import Value, Verdict
from .cached_job import CachedJob, EndedJobError, JoinedJobError
from .copied_value import copy_value
from .entry import CacheEntry
from .shared_run import SharedRun
from .source import Source, explained
from .stored_value import Found, look_up

# So many jobs of an entry that have ended without a value are passed over: they stay on Batch for 60 days
# (https://cloud.google.com/batch/docs/delete-job), and their ids with them
MOST_ENDED = 16
# Numbers from here on are drawn: no other call finds their jobs
FIRST_DRAWN = 2**48

OnStaged = Callable[[], None]


class Made(NamedTuple):
    """How a run ended, and of a value where it comes from, and whether it has no errors in the places of items."""

    verdict: Verdict
    source: Source
    is_whole: bool = True


# What makes values at the moment in an event loop, by bucket and key
_running: PerLoop[dict[tuple[object, str], SharedRun[Made]]] = PerLoop(dict)


class CachedRun:
    """One call whose value may be in the cache.

    Args:
        entry: the one of its structure.
        call, settings, services, trace: as for its ElectronRun.
        make_run: makes what runs it: of a lone electron with the hooks for its job, of a map with None.
    """

    def __init__(
        self,
        entry: CacheEntry,
        call: Call,
        settings: Settings,
        services: Services,
        trace: TraceRecorder,
        make_run: Callable[[CachedJob | None, Cancellation], ElectronRun | MapRun],
    ):
        self._entry = entry
        self._call = call
        self._settings = settings
        self._services = services
        self._trace = trace
        self._make_run = make_run

    async def run(self, pickles: Pickles, cancelled: Cancellation, on_staged: OnStaged) -> Verdict:
        """Bring the call to its end; `pickles` is emptied, and `on_staged` called, once they are not needed.

        A value is that of any equal call. What else another call's job ends with is not taken: the call has a job of
        its own then.

        Raises:
            CancelledCall: `cancelled` was set; the job is cancelled unless another call waits for its value.
            CloudError: Google refused something, or could not be reached.
            asyncio.CancelledError: the server stops; the job is cancelled first.
        """
        found = await self._look_up(cancelled)
        if found.outcome is not None and found.record is not None:
            on_staged()
            pickles.clear()
            return self._cached(Value(found.outcome), found.record.source)
        running, place = _running.here(), (self._services.objects.place, self._entry.key)
        if place in running:
            return await self._joined(running[place], found, pickles, cancelled, on_staged)
        numbers = [*range(found.next_number, found.next_number + MOST_ENDED), _drawn_number()]
        shared = SharedRun(lambda ends: self._make(numbers, found, pickles, ends, on_staged))
        running[place] = shared
        shared.task.add_done_callback(lambda _: running.pop(place, None))
        return self._own_or_cached(await shared.result(cancelled))

    async def _look_up(self, cancelled: Cancellation) -> Found:
        settings, store = self._settings, self._services.objects
        try:
            return await cancelled.unless(
                run_stoppable(look_up, self._entry, store, settings.cache_dir, settings.cache)
            )
        except CloudError as error:
            raise type(error)(f"{self._call} could not be looked up in the cache: {error}") from error
        except MemoryError as error:
            raise CacheDirError(f"this machine has no memory for the value of {self._call} in the cache") from error

    async def _joined(
        self, running: SharedRun[Made], found: Found, pickles: Pickles, cancelled: Cancellation, on_staged: OnStaged
    ) -> Verdict:
        """Take the value that another call of this process makes; make one where that has none."""
        on_staged()
        made: Made | None = None
        try:
            made = await running.result(cancelled)
        except (CancelledCall, ParallelError):
            if cancelled.is_set():
                raise
        if made is not None and isinstance(made.verdict, Value) and made.is_whole:
            pickles.clear()
            return self._cached(made.verdict, made.source)
        return self._own_or_cached(await self._make([_drawn_number()], found, pickles, cancelled, on_staged))

    async def _make(
        self, numbers: Iterable[int], found: Found, pickles: Pickles, cancelled: Cancellation, on_staged: OnStaged
    ) -> Made:
        """Make the value with the first job among these numbers that has not ended without one."""
        if self._call.map is not None:
            return await self._make_list(found, pickles, cancelled, on_staged)
        for number in numbers:
            job = CachedJob(self._entry, number, found, self._call, self._settings, pickles)
            try:
                return Made(await self._make_run(job, cancelled).run(dict(pickles), on_staged), job.source)
            except EndedJobError:
                continue
            except (JoinedJobError, ParallelError):
                if not job.is_joined:
                    raise
                return await self._make([_drawn_number()], found, pickles, cancelled, on_staged)
        raise AssertionError("a job of a drawn number is not there before it is asked for")

    async def _make_list(self, found: Found, pickles: Pickles, cancelled: Cancellation, on_staged: OnStaged) -> Made:
        """Run a map, and copy its list into the cache if all of its items returned."""
        run = self._make_run(None, cancelled)
        assert isinstance(run, MapRun)
        verdict = await run.run(pickles, on_staged)
        source = Source.now(self._call.dispatch_id, self._call.node_id)
        if isinstance(verdict, Value) and run.is_whole:
            store, folder = self._services.objects, self._settings.cache_dir
            await copy_value(self._entry, _drawn_number(), verdict.outcome, source, found, store, folder)
        return Made(verdict, source, run.is_whole)

    def _own_or_cached(self, made: Made) -> Verdict:
        """The end of the call's own run, whose job another call may have made."""
        is_own = made.source[:2] == (self._call.dispatch_id, self._call.node_id)
        return (
            self._cached(made.verdict, made.source) if isinstance(made.verdict, Value) and not is_own else made.verdict
        )

    def _cached(self, value: Value, source: Source) -> Value:
        self._trace.note_cached(self._call.name, source.dispatch_id, source.node_id, source.made_seconds)
        return explained(value, source)


def _drawn_number() -> int:
    return FIRST_DRAWN + int.from_bytes(os.urandom(5), "big")
