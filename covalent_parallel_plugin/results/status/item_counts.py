"""A map's items: counted from the names of what its tasks delivered, or reckoned from the tasks' states; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from ...batch.job_names import LABEL_ITEMS
from ...batch.progress import ItemPace, last_end
from ...protocol.object_names import ObjectName, parse_name
from .ending import did_run_items, raised_items

if TYPE_CHECKING:
    from ...cloud.batch import JobStatus
    from ...cloud.storage import StoredObject

# google.cloud.batch_v1.TaskSpec.max_retry_count: at most
MOST_RETRIES = 10
# How long after its start a task delivers counts first, or as soon as an item has ended after that
FIRST_SECONDS = 10.0
# A first delivery of more items than this waited for FIRST_SECONDS; or else for a slow start, after so long
FEW_ITEMS, SLOW_SECONDS = 3, 20.0


@dataclass(frozen=True)
class ItemCounts:
    """A map's items, at the end of one of its jobs or so far.

    Attributes:
        total: the map's; None if that is not known.
        done: those that ended, whether they returned or raised, in this job and in those before it.
        failed: those of them that raised, as far as tasks have reported it.
        running: one for each task that runs.
        waiting: those that have not begun, or run again in this job.
        lost: those of tasks that failed or never ran, of a job that has ended: they may run again in another one.
        is_exact: whether `done` counts items; else it is reckoned from the tasks.
        per_second: how many end in a second; None where that is not known yet.
        left_seconds: until the last one ends, at this pace; None where that is not known yet.
    """

    total: int | None
    done: int
    failed: int = 0
    running: int = 0
    waiting: int = 0
    lost: int = 0
    is_exact: bool = True
    per_second: float | None = None
    left_seconds: float | None = None


def job_items(job: JobStatus) -> int | None:
    """Return how many items a map's job has, None where it does not report."""
    text = job.labels.get(LABEL_ITEMS, "")
    return int(text) if text.isdecimal() else None


def reckoned(job: JobStatus) -> ItemCounts | None:
    """Return a job's items as far as its tasks' states show: an item is done with its task, however it ended.

    The tasks take turns with the items, so each has as many as any other, or one more: `is_exact` says whether that
    makes no difference. None where the job does not report how many items it has.
    """
    total, tasks = job_items(job), sum(job.counts.values())
    if total is None:
        return None

    def share(*states: str) -> int:
        return total * sum(job.counts.get(state, 0) for state in states) // tasks if tasks else 0

    done, lost = share("SUCCEEDED"), share("FAILED", "UNEXECUTED")
    running = min(job.counts.get("RUNNING", 0), total - done)
    is_exact = job.is_terminal and (not tasks or total % tasks == 0 or tasks in job.counts.values())
    if job.is_terminal:
        return ItemCounts(total, done, lost=total - done, is_exact=is_exact)
    return ItemCounts(total, done, 0, running, total - done - running - lost, lost, is_exact)


def is_map(job: JobStatus) -> bool:
    """Return whether a job is a map's: only these have several tasks; of one task that is known from its items."""
    return job_items(job) is not None or sum(job.counts.values()) > 1


@dataclass
class _Task:
    """One task of a job: its share of the items, and what it has delivered."""

    share: int | None
    outcome: StoredObject | None = None
    parts: list[tuple[ObjectName, float]] = field(default_factory=list)
    chunks: int = 0

    @property
    def has_begun(self) -> bool:
        return self.outcome is not None or bool(self.parts) or self.chunks > 0

    @property
    def rest(self) -> int:
        """How many of its items have not ended."""
        parts = self.counts()
        return (self.share or 0) - (parts[-1][0].done if parts else 0)

    def counts(self) -> list[tuple[ObjectName, float]]:
        """The parts of the latest attempt whose counts are possible: what the last one of them says is not exceeded."""
        attempt = max((name.attempt for name, _ in self.parts), default=0)
        found: list[tuple[ObjectName, float]] = []
        mine = (part for part in self.parts if part[0].attempt == attempt)
        for name, written in sorted(mine, key=lambda part: (part[0].number, part[1]), reverse=True):
            if not found or (name.done <= found[-1][0].done and name.number < found[-1][0].number):
                found.append((name, written))
        return found[::-1]


@dataclass(frozen=True)
class CountedJob:
    """One of a map's jobs, with what is known of its items.

    Attributes:
        number: which of the map's jobs it is, from 0 on.
        total: the map's items; None where that is not known.
        endings: what its tasks' events say of how they ended, by the task's index.
        before: the items as they were when the job before it had ended.
        side_by_side: how many of its tasks have been seen to run at once.
    """

    job: JobStatus
    number: int
    total: int | None
    endings: Mapping[int, str] = field(default_factory=dict)
    before: ItemCounts | None = None
    side_by_side: int = 1

    def count(self, objects: Iterable[StoredObject], now: float) -> ItemCounts:
        """Count the items from the objects of the map's call; `now` is by the clock of their times."""
        tasks = self._tasks(objects)
        items = job_items(self.job)
        done = failed = 0
        for index, task in tasks.items():
            ended, raised = self._ended_items(index, task)
            done, failed = done + ended, failed + raised
        if self.before is not None:
            # What the job before it has left is known from what this one has to do.
            done += self.before.done if self.total is None or items is None else self.total - items
            failed += self.before.failed
        is_exact = all(task.share is not None or task.outcome is None for task in tasks.values())
        if self.total is None:
            return ItemCounts(None, done, failed, self._running(tasks), is_exact=is_exact)
        done = min(done, self.total)
        rest = self.total - done
        if self.job.is_terminal:
            return ItemCounts(self.total, done, failed, lost=rest, is_exact=is_exact)
        running = min(self._running(tasks), rest)
        per_second, end = self._pace(tasks, now)
        left = None if end is None or not rest else max(end - now, 0.0)
        return ItemCounts(self.total, done, failed, running, rest - running, 0, is_exact, per_second, left)

    def _tasks(self, objects: Iterable[StoredObject]) -> dict[int, _Task]:
        count, items = sum(self.job.counts.values()), job_items(self.job)
        shares = [None if items is None else len(range(index, items, count)) for index in range(count)]
        found = {index: _Task(share) for index, share in enumerate(shares)}
        for stored in objects:
            name = parse_name(stored.name)
            task = None if name is None or name.round != self.number else found.get(name.task)
            if name is None or task is None:
                continue
            if name.kind == "outcome":
                task.outcome = stored
            elif name.kind == "chunk":
                task.chunks += 1
            elif name.kind == "live" and _is_possible(name, task.share):
                task.parts.append((name, stored.created_seconds))
        return found

    def _ended_items(self, index: int, task: _Task) -> tuple[int, int]:
        """How many items of a task have ended, and how many of these raised."""
        parts = task.counts()
        done, failed = (parts[-1][0].done, parts[-1][0].failed) if parts else (0, 0)
        done = max(done, task.chunks if task.share is None else min(task.chunks, task.share))
        text = self.endings.get(index)
        if text is not None:
            failed = max(failed, raised_items(text))
        has_ended = task.outcome is not None or self.job.counts.get("SUCCEEDED", 0) == sum(self.job.counts.values())
        if task.share is not None and (has_ended if text is None else did_run_items(text)):
            done = task.share
        return max(done, failed), failed

    def _running(self, tasks: Mapping[int, _Task]) -> int:
        begun = sum(task.has_begun and not self._is_over(index, task) for index, task in tasks.items())
        return 0 if self.job.is_terminal else max(self.job.counts.get("RUNNING", 0), begun)

    def _is_over(self, index: int, task: _Task) -> bool:
        return task.outcome is not None or index in self.endings

    def _pace(self, tasks: Mapping[int, _Task], now: float) -> tuple[float | None, float | None]:
        """How many items end in a second, and when the last one may; None where there is no basis yet."""
        outcomes = [task.outcome.created_seconds for task in tasks.values() if task.outcome is not None]
        first_outcome = min(outcomes, default=now)
        paces = {index: self._task_pace(task, first_outcome) for index, task in tasks.items()}
        moments = {
            index: pace.observations[-1][0] if self._is_over(index, tasks[index]) else now
            for index, pace in paces.items()
            if pace.observations
        }
        known = {index: paces[index].rate(moment) for index, moment in moments.items()}
        rates = {index: rate for index, rate in known.items() if rate is not None}
        if not rates:
            return None, None
        mean = fmean(rates.values())
        open_tasks = {index: task for index, task in tasks.items() if not self._is_over(index, task)}
        begun = {index: task for index, task in open_tasks.items() if task.has_begun}
        silent = [task.share or 0 for index, task in open_tasks.items() if index not in begun]
        ends = [self._end(task, paces[index], mean, now) for index, task in begun.items()]
        # Of those that have delivered nothing yet some run, and are about to deliver.
        starting = max(self._running(tasks) - len(begun), 0)
        ends += [now + max(share / mean - FIRST_SECONDS / 2, 0.0) for share in silent[:starting]]
        waiting = [share / mean for share in silent[starting:]]
        # Where one task has ended and the next one has not begun yet
        ends += [now] * (min(self.side_by_side, len(ends) + len(waiting)) - len(ends))
        return sum(rates.get(index, mean) for index in begun) + mean * starting or mean, last_end(ends, waiting)

    def _end(self, task: _Task, pace: ItemPace, mean: float, now: float) -> float:
        """When a task may have ended that has begun, at its own pace or else at that of others."""
        end = pace.end(task.share or 0, now)
        if end is None:
            end = (pace.observations[-1][0] if pace.observations else now) + task.rest / mean
        return max(end, now)

    def _task_pace(self, task: _Task, first_outcome: float) -> ItemPace:
        parts = task.counts()
        pace = ItemPace(self._task_began(task, parts, first_outcome), is_serial=True)
        for name, written in parts:
            pace.observe(written, name.done)
        if task.outcome is not None and task.share is not None:
            pace.observe(task.outcome.created_seconds, task.share)
        return pace

    def _task_began(self, task: _Task, parts: Sequence[tuple[ObjectName, float]], first_outcome: float) -> float | None:
        """When a task's items began, None if it is not known."""
        began = self.job.entered_seconds("RUNNING")
        if began is None or (parts and parts[0][0].attempt):
            return None
        if parts and parts[0][0].done > FEW_ITEMS:
            first = parts[0][1]
            return max(began, first - FIRST_SECONDS) if first - began < SLOW_SECONDS else None
        first = parts[0][1] if parts else task.outcome.created_seconds if task.outcome is not None else began
        # Before any task has ended, those that run are the job's first ones.
        return began if first <= first_outcome else None


def _is_possible(name: ObjectName, share: int | None) -> bool:
    """Whether a task may have written a part of this name."""
    return name.attempt <= MOST_RETRIES and name.failed <= name.done and (share is None or name.done <= share)
