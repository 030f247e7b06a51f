"""The attempts of an electron with their phases, from what its trace has of its jobs; pure.

The attempts of one task follow each other: their phases are the whole time from when the call was entered until what
the last one left was collected. The tasks of a map's next job follow the job before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...batch import trace_ends as ends
from ...batch.attempt_times import ENDED_AT, MEASURED
from ...batch.machine_hours import time_on_machine
from .model import UPLOAD, WAITING, TaskAttempt, UsedMachine
from .phases import marks, spans_between
from .traced_electrons import ItemColumns, TracedAttempt, TracedElectron, TracedJob

# What such an attempt did is lost however the electron ends
TAKEN_AWAY = frozenset({ends.PREEMPTED, ends.LOST, ends.TERMINATED})
KEPT = frozenset({ends.VALUE, ends.EXCEPTION})
OVER_AT = (ENDED_AT, "delivered", "ran_to")
PLACED_AT = ("scheduled", "running", *MEASURED)


def task_attempts_of(electron: TracedElectron, until: float, is_open: bool) -> tuple[TaskAttempt, ...]:
    """Return the attempts of all of an electron's jobs, in order.

    Args:
        until: when the electron ended, or now; seconds since 1970.
        is_open: whether it still runs.
    """
    items = _KeptItems(electron.items)
    found: list[TaskAttempt] = []
    since: float | None = None
    for job, following in zip(electron.jobs, [*electron.jobs, None][1:], strict=True):
        is_last = following is None
        latest = until if following is None else following.times.get("submitted", until)
        end = (electron.verdict or ends.LOST) if is_last else ends.NOT_STARTED
        phases = _JobPhases(job, electron.is_map, since, latest, not is_last, "" if is_open and is_last else end, items)
        found += phases.attempts()
        since = phases.end
    return tuple(found)


@dataclass(slots=True)
class _JobPhases:
    """The phases of one job's attempts.

    Attributes:
        since: when the electron's job before it ended; None for the first one.
        until: when the electron, or now; before the next job.
        is_followed: whether there is a next job.
        open_end: how an attempt ended of which there is no record.
        end: when the job's last attempt did; known once they are made.
    """

    job: TracedJob
    is_map: bool
    since: float | None
    until: float
    is_followed: bool
    open_end: str
    items: _KeptItems
    end: float = 0.0

    def attempts(self) -> list[TaskAttempt]:
        """Return them in order."""
        job = self.job
        known = sorted(job.attempts.values(), key=lambda each: (each.task, each.number)) or [
            TracedAttempt(0, 0, self.open_end, job.times, None, None, None, UsedMachine())
        ]
        _wait_for_turns(known)
        tasks: dict[int, list[TracedAttempt]] = defaultdict(list)
        for attempt in known:
            tasks[attempt.task].append(attempt)
        entered = _first(job.times, known, "entered")
        entered = min(min(each.times.values(), default=self.until) for each in known) if entered is None else entered
        begin = entered if self.since is None else self.since
        gone = [(begin, WAITING), (entered, UPLOAD)] if entered > begin else [(begin, UPLOAD)]
        collected = max((each.times["collected"] for each in known if "collected" in each.times), default=None)
        latest = max(tasks, key=lambda task: _last_seen(tasks[task][-1]))
        found = [
            attempt
            for task, own in tasks.items()
            for attempt in self._of_task(own, begin, gone, collected, not self.is_map or task == latest)
        ]
        self.end = max(begin, *(_end_of(each, begin) for each in found))
        self.end = self.end if collected is None else max(self.end, collected)
        return found

    def _of_task(
        self,
        own: Sequence[TracedAttempt],
        begin: float,
        gone: Sequence[tuple[float, str]],
        collected: float | None,
        is_latest: bool,
    ) -> list[TaskAttempt]:
        found = []
        for attempt, following in zip(own, [*own, None][1:], strict=True):
            end = self._end_of_attempt(attempt, following, collected, is_latest)
            end = max(begin, end if collected is None else min(end, collected))
            kept = self.items.kept_until(self.job.round, attempt.task, begin, end) if self.is_map else None
            is_lost = self._is_lost(attempt, following is not None, begin, end)
            changes = [*gone, *marks(attempt.times, is_lost, kept)]
            found.append(
                TaskAttempt(
                    self.job.round,
                    attempt.task,
                    attempt.number,
                    attempt.end,
                    spans_between(begin, end, changes, gone[0][1]),
                    self._on_machine(attempt),
                    attempt.machine,
                    attempt.exit_code,
                    attempt.peak_bytes,
                    attempt.cpu_seconds,
                )
            )
            begin, gone = end, [(end, WAITING)]
        return found

    def _end_of_attempt(
        self, attempt: TracedAttempt, following: TracedAttempt | None, collected: float | None, is_latest: bool
    ) -> float:
        if not attempt.end or not attempt.times:
            return self.until if following is None else _placed(following, self.until)
        if following is not None:
            return attempt.times.get(ENDED_AT, _placed(following, _last_seen(attempt)))
        if is_latest and collected is not None:
            return collected
        if not self.job.attempts:
            return self.until
        return _last_seen(attempt)

    def _is_lost(self, attempt: TracedAttempt, is_tried_again: bool, begin: float, end: float) -> bool:
        """Whether what an attempt did had to be done again, or, as its machine was taken away, would have had to be."""
        if not attempt.end:
            return False
        if attempt.end in TAKEN_AWAY or is_tried_again:
            return True
        if not self.is_followed:
            return False
        if not self.is_map:
            return True
        return attempt.end != ends.VALUE and self.items.ran_again(self.job.round, attempt.task, begin, end)

    def _on_machine(self, attempt: TracedAttempt) -> tuple[float, float] | None:
        held = time_on_machine(attempt.times, attempt.end)
        return (held[0], max(held[1], self.until)) if held is not None and not attempt.end else held


def _wait_for_turns(attempts: Sequence[TracedAttempt]) -> None:
    """Have a task that came after others on a machine wait for its turn, and not for the machine to boot.

    Batch is not asked when a task that reported its own end got its machine; until then it counts as scheduled with
    its job.
    """
    machines: dict[tuple[str, str], list[TracedAttempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.machine.instance and "running" not in attempt.times:
            machines[attempt.machine.zone, attempt.machine.instance].append(attempt)
    for own in machines.values():
        ends = sorted(attempt.times[name] for attempt in own for name in OVER_AT if name in attempt.times)
        for attempt in own:
            began = next((attempt.times[name] for name in MEASURED if name in attempt.times), None)
            before = 0 if began is None else bisect_right(ends, began)
            if before:
                turn = max(ends[before - 1], attempt.times.get("scheduled", 0.0))
                attempt.times = {**attempt.times, "scheduled": turn, "running": turn}


class _KeptItems:
    """Until when a task's attempt ran items whose values were kept, and which of its items ran again."""

    def __init__(self, items: ItemColumns):
        self._items = items
        self._rows: dict[tuple[int, int], list[int]] | None = None
        self._last_rounds: dict[int, int] = {}

    def kept_until(self, round: int, task: int, begin: float, end: float) -> float | None:
        """Return when the last item of the attempt between these times ended that was not lost; None without one."""
        items = self._items
        ended = [items.begin[row] + items.took[row] for row in self._between(round, task, begin, end, is_kept=True)]
        return min(max(ended), end) if ended else None

    def ran_again(self, round: int, task: int, begin: float, end: float) -> bool:
        """Whether the item with which an attempt ended ran in a later job; if it is not known, some of them did."""
        rows = self._between(round, task, begin, end, is_kept=False)
        return not rows or any(self._last_rounds[self._items.index[row]] > round for row in rows)

    def _between(self, round: int, task: int, begin: float, end: float, is_kept: bool) -> list[int]:
        items = self._items
        return [
            row
            for row in self._all().get((round, task), ())
            if begin <= items.begin[row] <= end and (items.end[row] in KEPT) == is_kept
        ]

    def _all(self) -> Mapping[tuple[int, int], Sequence[int]]:
        if self._rows is None:
            self._rows = defaultdict(list)
            items = self._items
            for row, key in enumerate(zip(items.round, items.task, strict=True)):
                self._rows[key].append(row)
                self._last_rounds[items.index[row]] = max(self._last_rounds.get(items.index[row], 0), key[0])
        return self._rows


def _first(times: Mapping[str, float], attempts: Sequence[TracedAttempt], name: str) -> float | None:
    found = (each[name] for each in (times, *(attempt.times for attempt in attempts)) if name in each)
    return next(found, None)


def _placed(attempt: TracedAttempt, default: float) -> float:
    """When an attempt had its machine, the first that was seen of that."""
    return next((attempt.times[name] for name in PLACED_AT if name in attempt.times), default)


def _last_seen(attempt: TracedAttempt) -> float:
    """When an attempt was last seen to do something."""
    seen = [seconds for name, seconds in attempt.times.items() if name != "collected"]
    return attempt.times.get(ENDED_AT, max(seen, default=0.0))


def _end_of(attempt: TaskAttempt, default: float) -> float:
    return attempt.spans[-1].end if attempt.spans else default
