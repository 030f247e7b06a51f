"""The attempts of a map's tasks, and the items that they ran, for the map's trace: job by job."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from ...batch import trace_ends
from ...batch.attempt_records import Measured, TaskFindings
from ...batch.attempt_times import task_attempts
from ...batch.job_run import JobRun
from ...cloud.batch import JobStatus, TaskStatus
from ...errors import CloudError
from ..attempt_trace import ASK_SECONDS, is_cancelled
from .report import TaskReport

logger = logging.getLogger(__name__)


@dataclass
class TaskItems:
    """The items of one task, in columns."""

    index: list[int] = field(default_factory=list)
    begin_ms: list[int] = field(default_factory=list)
    took_ms: list[int] = field(default_factory=list)
    end: list[str] = field(default_factory=list)

    def add(self, report: TaskReport, ended: float | None) -> None:
        """Take over what a task delivered; `ended` is when its process did, in seconds since 1970."""
        raised = set(report.items.raised)
        if len(report.begin_ms) == len(report.items):
            self.index += report.items.indices()
            self.begin_ms += report.begin_ms
            self.took_ms += report.took_ms
            self.end += [
                trace_ends.EXCEPTION if row in raised else trace_ends.VALUE for row in range(len(report.items))
            ]
        if report.running is not None and report.measured is not None and report.running.begin_ms:
            begin = report.running.begin_ms
            self.index.append(report.running.index)
            self.begin_ms.append(begin)
            self.took_ms.append(max(0, round((ended or 0) * 1000) - begin))
            self.end.append(report.measured.end)

    def moved(self, milliseconds: int, first: float, last: float) -> Mapping[str, list[int] | list[str]]:
        """Return the columns, with the items so much later, and between these two (seconds since 1970)."""
        low, high = round(first * 1000), round(last * 1000)
        begins = [min(max(begin + milliseconds, low), high) for begin in self.begin_ms]
        took = [min(took, high - begin) for begin, took in zip(begins, self.took_ms, strict=True)]
        return {"index": self.index, "begin_ms": begins, "took_ms": took, "end": self.end}


class RoundTrace:
    """What the tasks of a map's latest job are known to have done.

    Args:
        jobs: whose latest one it is.
    """

    def __init__(self, jobs: JobRun):
        self._jobs = jobs
        self._measured: dict[int, dict[int, Measured]] = {}
        self._items: dict[int, TaskItems] = {}

    def begin(self) -> None:
        """Another job runs."""
        self._measured, self._items = {}, {}

    def add(self, reports: Iterable[object]) -> None:
        """Take note of what tasks delivered."""
        if not self._jobs.trace.is_on:
            return
        measured: dict[int, dict[int, Measured]] = {}
        items: dict[int, TaskItems] = defaultdict(TaskItems)
        for report in reports:
            if isinstance(report, TaskReport):
                if report.measured is not None:
                    measured.setdefault(report.task, {})[report.measured.attempt] = report.measured
                ended = report.measured.times.get("ran_to") if report.measured is not None else None
                items[report.task].add(report, ended)
        self._measured, self._items = measured, dict(items)

    async def note_ended(
        self,
        tasks: int,
        job: JobStatus | None,
        end: str = trace_ends.LOST,
        partials: Mapping[tuple[int, int], Measured] | None = None,
        asks: bool = True,
    ) -> None:
        """Record the attempts of the job's tasks; Batch is asked for them where it took one away.

        Args:
            end: how attempts ended of which nobody knows more.
            partials: what attempts measured that left their output so far, by task and attempt.
            asks: whether Batch may be asked.
        """
        if not self._jobs.trace.has_open_job:
            return
        self._jobs.trace.note_collected()
        measured = {task: dict(self._measured.get(task, {})) for task in range(tasks)}
        for (task, attempt), found in (partials or {}).items():
            if task < tasks:
                measured[task].setdefault(attempt, found)
        was_taken_away = any(max(attempts, default=1) > 0 for attempts in measured.values())
        listed = await self._ask() if was_taken_away and asks else {}
        self._note(measured, listed, job, end)

    def note_stopped(self, tasks: int) -> None:
        """Record what is known of the job's tasks, as this process stops."""
        measured = {task: dict(self._measured.get(task, {})) for task in range(tasks)}
        self._note(measured, {}, self._jobs.seen, trace_ends.STOPPED)

    def _note(
        self,
        measured: Mapping[int, Mapping[int, Measured]],
        listed: Mapping[int, TaskStatus],
        job: JobStatus | None,
        end: str,
    ) -> None:
        was_cancelled = end == trace_ends.CANCELLED or is_cancelled(job)
        findings = [
            TaskFindings(
                task, task_attempts(listed[task].events) if task in listed else (), attempts, end, was_cancelled
            )
            for task, attempts in measured.items()
        ]
        records = self._jobs.trace.note_attempts(findings, job, is_alone=len(findings) == 1)
        for task, items in sorted(self._items.items()):
            if items.index:
                self._note_items(task, items, [record for record in records if record["task"] == task])

    def _note_items(self, task: int, items: TaskItems, records: Sequence[Mapping[str, object]]) -> None:
        """Record a task's items, moved as the times of its last attempt were, to which most of them belong."""
        moved, first, last = 0, 0.0, float(2**40)
        if records:
            times = cast(Mapping[str, "float | None"], records[-1]["t"])
            measured = self._measured.get(task, {}).get(cast(int, records[-1]["attempt"]), Measured()).times
            shown, told = times["ran_from"], measured.get("ran_from")
            if shown is not None and told is not None:
                moved = round((shown - told) * 1000)
            first, last = times["submitted"] or first, times["collected"] or last
        self._jobs.trace.note_items(task, **items.moved(moved, first, last))

    async def _ask(self) -> dict[int, TaskStatus]:
        jobs = self._jobs
        try:
            tasks = await jobs.services.batch.tasks(jobs.job_name, patience_seconds=ASK_SECONDS)
        except CloudError as error:
            logger.debug("no attempts of %s: %s", jobs.job_name, error)
            return {}
        return {task.index: task for task in tasks}
