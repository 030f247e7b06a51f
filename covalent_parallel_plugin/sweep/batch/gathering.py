"""What rounds have delivered, taken into the journal and, with its outputs, into the sweep's folder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...cloud.interfaces import Bucket
from ...cloud.threads import run_stoppable
from ...errors import CloudError, OutcomeError
from ...programs.verdict import TaskEnd
from ...protocol.sweep_identity import SweepIdentity
from ...protocol.sweep_objects import attempts_prefix, parse_delivered
from ..records.journal import Journal, RecordedEnd, end_event
from ..records.out_folder import OutFolder
from ..records.sweep_trace import SweepTrace
from ..tasks import SweepTask
from .deliveries import Downloads
from .round_attempts import RoundAttempts
from .round_tasks import RoundTasks
from .round_verdict import unreported_end
from .rows import Delivery, RowReader
from .running_output import RunningOutput

logger = logging.getLogger(__name__)

DOWNLOADS_AT_ONCE = 8
CANCELLED = "cancelled"


@dataclass(frozen=True)
class GatherSeams:
    """What deliveries are taken from, and into.

    Attributes:
        describe: gives what task.json says of a task beside its end, by the round that it ran in and its index there.
        parts: gives what the journal keeps of a task's key.
        download: whether outputs are fetched; else they stay in the bucket.
        ended: gets each task whose end is in the journal.
        trace: the sweep's.
    """

    store: Bucket
    identity: SweepIdentity
    out: OutFolder
    journal: Journal
    describe: Callable[[SweepTask, int, int], Mapping[str, Any]]
    parts: Callable[[SweepTask], Mapping[str, str]]
    download: bool
    ended: Callable[[SweepTask, TaskEnd], None] = lambda task, end: None
    trace: SweepTrace = field(default_factory=SweepTrace)


class RoundGathering:
    """Takes in what one round delivers.

    Args:
        tasks: the round's.
        only_done: leave out what has ended otherwise: that runs again.

    Attributes:
        missing: indices of this run's tasks from which nothing has come.
        trace: the round's.
    """

    def __init__(self, seams: GatherSeams, tasks: RoundTasks, only_done: bool = False) -> None:
        self._seams = seams
        self._tasks = tasks
        self._only_done = only_done
        self._reader = RowReader(seams.store, seams.identity, tasks.number, tasks.keys)
        self.trace = RoundAttempts(seams.trace, tasks.number)
        self._downloads = Downloads(seams.store, seams.identity, seams.out, self.trace.delivered)
        self._read: list[Delivery] = []
        self._reported = 0
        self._own_refusals: list[str] = []
        # One call at a time
        self._lock = asyncio.Lock()
        self.missing = set(tasks.own)

    @property
    def refused(self) -> list[str]:
        """A sentence for each outcome that is not used."""
        return [*self._reader.refused, *self._own_refusals]

    async def take(self) -> None:
        """Take in what is new; what fails here, or is given up, is taken in by the next call.

        Raises:
            CloudError: the bucket cannot be used. OSError: the folder or the journal cannot be used.
        """
        async with self._lock:
            self._read += await run_stoppable(self._reader.read)
            self._tell_refused()
            gate = asyncio.Semaphore(DOWNLOADS_AT_ONCE)
            taking = [asyncio.create_task(self._take_at(gate, delivery)) for delivery in self._read]
            try:
                await asyncio.gather(*taking)
            finally:
                # The next call must find all of them at rest
                for task in taking:
                    task.cancel()
                if taking:
                    await asyncio.wait(taking)

    async def take_cut_off(self, reason: str = CANCELLED) -> None:
        """Take in tasks that were stopped, as far as they came: what they had written was delivered then.

        `reason`: why.

        Raises:
            CloudError: the bucket cannot be used. OSError: the folder or the journal cannot be used.
        """
        store, identity, number = self._seams.store, self._seams.identity, self._tasks.number
        names = await run_stoppable(store.names, attempts_prefix(identity.folder, number))
        begun = {found.task for name in names if (found := parse_delivered(identity.folder, name)) is not None}
        running = RunningOutput(store, identity)
        begun |= {found.task for found in await run_stoppable(running.of_round, number)}
        self.trace.cut_off |= begun & self.missing
        for index in sorted(begun & self.missing):
            await self.take_lost(index, unreported_end("cancelled", reason))

    async def take_lost(self, index: int, end: TaskEnd) -> None:
        """Take in the end of a task from which no outcome came, with what its last attempt has left.

        Raises:
            OSError: the folder or the journal cannot be used.
        """
        seams, task = self._seams, self._tasks.own[index]
        end = replace(end, attempts=seams.journal.state.attempts(task.name, task.key) + end.attempts)
        if seams.download:
            try:
                end = await run_stoppable(self._fetch_lost, index, task, end)
            except (CloudError, OutcomeError) as error:
                logger.warning("what %s delivered could not be gathered: %s", task.name, error)
        seams.journal.append(end_event(task, end, seams.parts(task)) | {"round": self._tasks.number})
        seams.ended(task, end)

    def _fetch_lost(self, index: int, task: SweepTask, end: TaskEnd) -> TaskEnd:
        number = self._tasks.number
        description = self._seams.describe(task, number, index)
        return self._downloads.fetch_lost(number, index, task.name, task.key, end, description)

    async def _take_at(self, gate: asyncio.Semaphore, delivery: Delivery) -> None:
        async with gate:
            await self._take(delivery)
            self._read.remove(delivery)

    async def _take(self, delivery: Delivery) -> None:
        seams, task = self._seams, self._tasks.own.get(delivery.index)
        if task is None or (self._only_done and delivery.end.status != "done"):
            return
        at = (delivery.round, delivery.index)
        known = seams.journal.state.ends.get(task.name)
        if known is not None and known.key != task.key:
            known = None
        is_known = known is not None and known.at == at
        if is_known:
            self.trace.delivered(task.name, delivery.row.fields, is_new=False)
        if known is not None and (_is_later(known, delivery.round) or (is_known and self._has_outputs(known))):
            self.missing.discard(delivery.index)
            return
        end = delivery.end
        try:
            end = await run_stoppable(self._fetch, replace(delivery, name=task.name), task)
        except OutcomeError as error:
            self._own_refusals.append(str(error))
            self._tell_refused()
            return
        earlier = seams.journal.state.attempts(task.name, task.key)
        end = replace(end, attempts=earlier if is_known else earlier + end.attempts)
        event = end_event(task, end, seams.parts(task)) | {"at": at, "is_here": seams.download}
        seams.journal.append(event | ({"is_read_again": True} if is_known else {}))
        self.missing.discard(delivery.index)
        if not is_known:
            self.trace.delivered(task.name, delivery.row.fields)
            seams.ended(task, end)
        fields = delivery.row.fields
        await run_stoppable(self._downloads.forget_running, delivery.round, delivery.index, fields)

    def _has_outputs(self, known: RecordedEnd) -> bool:
        return known.is_here or not self._seams.download

    def _fetch(self, delivery: Delivery, task: SweepTask) -> TaskEnd:
        if not self._seams.download:
            return self._downloads.result(delivery)
        return self._downloads.fetch(delivery, self._seams.describe(task, delivery.round, delivery.index))

    def _tell_refused(self) -> None:
        refused = self.refused
        for text in refused[self._reported :]:
            logger.warning("%s", text)
        self._reported = len(refused)


def _is_later(known: RecordedEnd, round: int) -> bool:
    """Return whether an end that the journal has is of a later round than this, or was reached on this machine."""
    return known.status == "done" if known.at is None else known.at[0] > round
