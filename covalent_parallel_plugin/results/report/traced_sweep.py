"""The attempts of a sweep's tasks with their phases, from the records of its trace and its table; pure.

The rounds and runs of a sweep stand each for themselves: days may be between them, in which nothing waits.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ...batch import trace_ends as ends
from ...batch.trace import ATTEMPT, ENDED, SUBMITTED, WAITED
from .model import Asked, TaskAttempt
from .phases import plausible_time
from .record_values import UNKNOWN, natural, text
from .traced_attempts import task_attempts_of
from .traced_electrons import TracedAttempt, TracedElectron, TracedElectrons, TracedJob

# Of a task, one of whose attempts is in the table alone
FROM_TABLE = -(2**31)
# How a task ended in the words of other traces, where these have one for it
WORDS = {"done": ends.VALUE, "failed": ends.EXCEPTION, "timeout": ends.TIME_LIMIT}


@dataclass(slots=True)
class TracedSweep:
    """A sweep as its trace has it.

    Attributes:
        rounds: by number and -1, those on Batch; what a run on this machine did for each task by -1 minus the run's
            number, and the task's index.
        names: of tasks, by those two and the index.
        runs: when each that has ended began and ended, as far as that is known.
        verdict: how the last run ended: done, failed, interrupted, budget or detached; "" while one runs.
        machine_wait: what Batch said last of why a job waits.
    """

    rounds: dict[tuple[int, int], TracedElectron] = field(default_factory=dict)
    names: dict[tuple[tuple[int, int], int], str] = field(default_factory=dict)
    runs: list[tuple[float | None, float | None]] = field(default_factory=list)
    verdict: str = ""
    machine_wait: str = ""
    left_out: int = 0

    @property
    def running_since(self) -> float | None:
        """When the first attempt began of a run on this machine that has not ended."""
        jobs = [job for (number, _), each in self.rounds.items() if number == -1 - len(self.runs) for job in each.jobs]
        return min((time for job in jobs for a in job.attempts.values() for time in a.times.values()), default=None)

    @property
    def attempt_counts(self) -> Mapping[str, int]:
        """How many attempts each task has, by its name."""
        counts: dict[str, int] = defaultdict(int)
        for key, electron in self.rounds.items():
            for job in electron.jobs:
                for task, _ in job.attempts:
                    counts[self.names[key, task]] += 1
        return counts

    @property
    def asked(self) -> Asked:
        """What the last round asked for."""
        return next((job.asked for job in reversed(self._jobs()) if job.job), UNKNOWN)

    @property
    def job(self) -> str:
        """The last round's job."""
        return next((job.job for job in reversed(self._jobs()) if job.job), "")

    @property
    def electrons(self) -> TracedElectrons:
        """The rounds on Batch as electrons, whose gaps are reported."""
        on_batch: dict[int | None, TracedElectron] = {
            number: each for (number, _), each in self.rounds.items() if number >= 0
        }
        return TracedElectrons(on_batch, self.left_out)

    def add(self, record: Mapping[str, Any] | None) -> None:
        """Take over a record of the trace; None for a line that was not read."""
        self.left_out += record is None or not self._add(record)

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Take over a task of the table of which the trace has no attempt."""
        times = {"ran_from": _seconds(row["task.started"]), "ran_to": _seconds(row["task.ended"])}
        attempts = natural(row["task.attempts"]) or 1
        record = {"kind": ATTEMPT, "round": 0, "task": row["task.index"], "attempt": attempts - 1, "t": times}
        record |= {"name": row["task.name"], "end": row["task.status"], "exit_code": row["task.exit"]}
        self._add_to((FROM_TABLE, row["task.index"]), record)

    def _add(self, record: Mapping[str, Any]) -> bool:
        kind, label = record["kind"], natural(record.get("round"))
        if kind == ENDED:
            times = record.get("t")
            times = times if isinstance(times, Mapping) else {}
            self.runs.append((plausible_time(times.get("entered")), plausible_time(times.get("ended"))))
            self.verdict = text(record.get("verdict"))
            return True
        self.verdict = ""
        if kind == WAITED:
            self.machine_wait = text(record.get("message")) or self.machine_wait
            return True
        if label is None or kind not in (SUBMITTED, ATTEMPT):
            return False
        task = natural(record.get("task"))
        is_local = task is not None and (label, -1) not in self.rounds and not _is_on_batch(record)
        return self._add_to((-1 - len(self.runs), task or 0) if is_local else (label, -1), record)

    def _add_to(self, key: tuple[int, int], record: Mapping[str, Any]) -> bool:
        electron = self.rounds.get(key) or TracedElectron(None)
        if not electron.add(record):
            return False
        self.rounds[key] = electron
        if record["kind"] == ATTEMPT:
            self.names[key, record["task"]] = text(record.get("name"))
        return True

    def _jobs(self) -> list[TracedJob]:
        return [job for electron in self.rounds.values() for job in electron.jobs]


def attempts_of(sweep: TracedSweep, until: float) -> tuple[TaskAttempt, ...]:
    """Return all attempts, those on this machine without machines of Google's; `until` when the sweep ended, or now."""
    found: list[TaskAttempt] = []
    entered: set[float] = set()
    for key, electron in sweep.rounds.items():
        run = -1 - key[0]
        for job in electron.jobs:
            attempts = list(job.attempts.values())
            for each in attempts:
                each.end = WORDS.get(each.end, each.end)
            if run < 0:
                _begin_with_round(job, attempts, entered)
            else:
                _begin_with_run(attempts, sweep.runs[run][0] if run < len(sweep.runs) else sweep.running_since)
        if any(job.attempts for job in electron.jobs):
            for attempt in task_attempts_of(electron, until, is_open=False):
                name = sweep.names[key, attempt.task]
                if run < 0:
                    found.append(replace(attempt, name=name))
                else:
                    found.append(replace(attempt, name=name, round=min(run, len(sweep.runs)), on_machine=None))
    return tuple(found)


def _is_on_batch(record: Mapping[str, Any]) -> bool:
    times, machine = record.get("t"), record.get("machine")
    has_machine = isinstance(machine, Mapping) and any(value is not None for value in machine.values())
    return has_machine or (isinstance(times, Mapping) and times.get("submitted") is not None)


def _begin_with_run(attempts: Iterable[TracedAttempt], entered: float | None) -> None:
    """Have a task's attempts on this machine wait since their run began, where that is known."""
    for attempt in attempts:
        first = min(attempt.times.values(), default=math.inf)
        if entered is not None and entered <= first < math.inf:
            attempt.times = {"entered": entered, "submitted": entered, **attempt.times}


def _begin_with_round(job: TracedJob, attempts: Iterable[TracedAttempt], entered: set[float]) -> None:
    """Have a later round of a run begin when it was staged, and not when the run began."""
    found = next((each["entered"] for each in (job.times, *(a.times for a in attempts)) if "entered" in each), None)
    if found is None:
        return
    if found in entered:
        job.times = _from_staged(job.times)
        for attempt in attempts:
            attempt.times = _from_staged(attempt.times)
    entered.add(found)


def _from_staged(times: Mapping[str, float]) -> Mapping[str, float]:
    begin = times.get("staged", times.get("submitted"))
    return times if begin is None else {**times, "entered": begin}


def _first(times: Mapping[str, float], names: Iterable[str]) -> float | None:
    return next((times[name] for name in names if name in times), None)


def _seconds(text: str | None) -> float | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else None
