"""What a call did, for the trace of its dispatch: when it was staged and submitted, and how it ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from google.cloud import batch_v1

from ..cloud.batch import JobStatus
from ..errors import ParallelError
from . import trace, trace_ends
from .attempt_records import TaskFindings, attempt_records
from .attempt_times import rounded
from .cancellation import CancelledCall
from .trace import DAYS, TraceFile, traces_folder
from .trace_writer import WRITER, TraceRecord, TraceWriter
from .traced_job import asked_of, new_waits

# Of dispatches whose electrons begin at about the same time
MOST_TRACES = 256


class TraceRecorder:
    """Notes what one call does; where there is no trace, nothing of it is kept."""

    __slots__ = (
        "_asked", "_clock", "_collected", "_earlier_since", "_entered", "_file", "_has_open_job", "_name", "_node",
        "_pending", "_round", "_seen_events", "_staged", "_submitted", "_waits", "_writer",
    )  # fmt: skip

    def __init__(
        self,
        file: TraceFile | None = None,
        node: int | None = None,
        clock: Callable[[], float] = time.time,
        writer: TraceWriter = WRITER,
    ):
        self._file = file
        self._node = node
        self._clock = clock
        self._writer = writer
        self._entered = clock()
        self._staged: float | None = None
        self._submitted: float | None = None
        self._collected: float | None = None
        self._pending: list[TraceRecord] = []
        self._round = -1
        # When the last job was made, where an earlier process did that
        self._earlier_since: float | None = None
        self._has_open_job = False
        self._asked: Mapping[str, object] = {}
        self._name: str | None = None
        # Of the last job: why it waited, as far as that is recorded, of so many events of Batch
        self._waits: set[str] = set()
        self._seen_events = 0

    @classmethod
    def of(cls, dispatch_id: str, node: int, options: Mapping[str, object]) -> TraceRecorder:
        """Return the recorder of a node that begins now; `options` may be wrong; a trace does not report that."""
        if options.get("trace") is False:
            return cls()
        days = options.get("trace_days")
        data, home = os.environ.get("XDG_DATA_HOME", ""), os.environ.get("HOME", "")
        return cls(_trace_of(data, home, dispatch_id, days if isinstance(days, int) and days > 0 else DAYS), node)

    @property
    def is_on(self) -> bool:
        """Whether there is a trace."""
        return self._file is not None

    @property
    def has_begun(self) -> bool:
        """Whether the call goes to Batch."""
        return self._name is not None

    @property
    def has_open_job(self) -> bool:
        """Whether there is a trace, and a job in it whose attempts are not recorded yet."""
        return self._file is not None and self._has_open_job

    def begin(self, name: str) -> None:
        """The call goes to Batch; `name` is that of its function."""
        self._name = name

    def note_staged(self) -> None:
        """The call is in the bucket."""
        self._staged = self._clock()

    def note_submitted(
        self, job_name: str, job: batch_v1.Job, items: int | None = None, has_requirements: bool = False
    ) -> None:
        """Batch has accepted a job, which runs so many items of a map; whether pip installs packages first."""
        self._round += 1
        self._submitted, self._earlier_since = self._clock(), None
        self._begin_job(job_name, job, items, has_requirements)

    def note_taken_up(
        self,
        job_name: str,
        job: batch_v1.Job,
        items: int | None,
        round: int,
        created: float | None,
        has_requirements: bool = False,
    ) -> None:
        """A job is gone on with that an earlier dispatch's call made, as its `round`-th, from 0 on, at `created`."""
        self._round = round
        self._submitted = self._earlier_since = self._clock() if created is None else created
        self._begin_job(job_name, job, items, has_requirements, taken_up=True)

    def _begin_job(
        self, job_name: str, job: batch_v1.Job, items: int | None, has_requirements: bool, **more: object
    ) -> None:
        self._collected, self._has_open_job = None, True
        self._waits, self._seen_events = set(), 0
        if self._file is None:
            return
        tasks, asked = batch_v1.Job.pb(job).task_groups[0].task_count, asked_of(job, has_requirements)
        self._asked = {"type": asked["machine_type"], "spot": asked["spot"]}
        fields = {"name": self._name, "job": job_name, "round": self._round, "tasks": int(tasks), "items": items}
        self._add(trace.SUBMITTED, **fields, asked=asked, t=rounded(self._dispatched), **more)
        self._flush(self._file)

    def note_look(self, job: JobStatus) -> None:
        """Record why the last job waits, or waited, for machines, as Batch says with a look at it; each cause once."""
        if self._file is None or len(job.events) == self._seen_events:
            return
        self._seen_events = len(job.events)
        for cause, fields in new_waits(job, self._waits):
            self._waits.add(cause)
            self._add(trace.WAITED, round=self._round, **fields)
        self._flush(self._file)

    @property
    def _dispatched(self) -> dict[str, float | None]:
        """When the last job was on its way to Batch; of one that an earlier process made, only when that was."""
        entered = self._entered if self._earlier_since is None else self._earlier_since
        return {"entered": entered, "staged": self._staged, "submitted": self._submitted}

    def note_collected(self) -> None:
        """What the tasks of the last job left is here."""
        self._collected = self._clock()

    def note_attempts(
        self, tasks: Iterable[TaskFindings], job: JobStatus | None, is_alone: bool
    ) -> list[dict[str, object]]:
        """Record the attempts of the last job's tasks, once; returns the fields of what was recorded."""
        if not self.has_open_job:
            return []
        self._has_open_job = False
        collected = self._clock() if self._collected is None else self._collected
        ours = {**self._dispatched, "collected": collected}
        records = [
            {"round": self._round, **fields}
            for found in tasks
            for fields in attempt_records(found, job, ours, self._asked, is_alone)
        ]
        for fields in records:
            self._add(trace.ATTEMPT, **fields)
        return records

    def note_items(self, task: int, **columns: Iterable[object]) -> None:
        """Record the items of a map that one of the last job's tasks ran: columns of the same length."""
        if self._file is not None:
            self._add(trace.ITEMS, task=task, round=self._round, **{name: list(each) for name, each in columns.items()})

    def note_cached(self, name: str, dispatch_id: str, node_id: int, made_seconds: float) -> None:
        """Record that the value is another call's, from the cache or from a job that was joined."""
        if self._file is not None:
            times = rounded({"made": made_seconds})
            self._add(trace.CACHED, name=name, from_dispatch=dispatch_id, from_node=node_id, t=times)

    def note_stopped(self) -> None:
        """Record that this process does not continue with the call; nothing is waited for."""
        if self._file is not None:
            self._note_ended(trace_ends.STOPPED, None)
            self._flush(self._file)

    async def end(self, error: BaseException | None) -> None:
        """Record the call's end, with a value or with what its task raised or ended with; waits until it is written.

        Waits for a short time at most.
        """
        await self._end(trace_ends.verdict_of(error), error)

    async def end_raised(self, error: BaseException, is_stopping: bool = False) -> None:
        """Record the call's end with what was raised here, as `end` does.

        Args:
            is_stopping: whether it is this process's end for which the call was cancelled.
        """
        if isinstance(error, CancelledCall):
            await self._end(trace_ends.STOPPED if is_stopping else trace_ends.CANCELLED, None)
        elif isinstance(error, ParallelError):
            await self._end(trace_ends.verdict_of(error), error)
        else:
            await self._end(trace_ends.FAILED, error)

    async def _end(self, verdict: str, error: BaseException | None) -> None:
        if self._file is not None:
            self._note_ended(verdict, error)
            pending, self._pending = self._pending, []
            await self._writer.write(self._file, pending)

    def _note_ended(self, verdict: str, error: BaseException | None) -> None:
        message = None if error is None else trace.shortened_message(str(error))
        kind = None if error is None else type(error).__name__
        times = {"entered": self._entered, "ended": max(self._clock(), self._entered)}
        self._add(trace.ENDED, verdict=verdict, error=kind, message=message, t=rounded(times))

    def _add(self, kind: str, **fields: object) -> None:
        self._pending.append(TraceRecord(kind, self._node, fields))

    def _flush(self, file: TraceFile) -> None:
        pending, self._pending = self._pending, []
        self._writer.put(file, pending)


@lru_cache(maxsize=MOST_TRACES)
def _trace_of(data: str, home: str, dispatch_id: str, days: int) -> TraceFile:
    """The trace that all electrons of a dispatch share."""
    return TraceFile(traces_folder({"XDG_DATA_HOME": data, "HOME": home}), dispatch_id, days)
