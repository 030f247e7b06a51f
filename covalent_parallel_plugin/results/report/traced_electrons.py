"""The electrons of a trace, read from its records whatever they hold: what cannot be used is left out, and counted."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...batch.attempt_times import is_time
from ...batch.trace import ATTEMPT, CACHED, ENDED, ITEMS, MESSAGE_BYTES, SUBMITTED, WAITED
from .model import Asked, UsedMachine
from .phases import plausible_time, plausible_times
from .record_values import LONGEST_NAME, UNKNOWN, asked_of, machine_of, natural, text, times_of

ITEM_COLUMNS = ("index", "begin_ms", "took_ms", "end")


@dataclass(slots=True)
class TracedAttempt:
    """An attempt as its record has it; `times` are those that were seen, in order."""

    task: int
    number: int
    end: str
    times: Mapping[str, float]
    exit_code: int | None
    peak_bytes: int | None
    cpu_seconds: float | None
    machine: UsedMachine


@dataclass(slots=True)
class TracedJob:
    """A job, and its attempts by task and number; `round` counts the electron's jobs, and is the trace's if it can be.

    Attributes:
        label: the round in the trace.
        is_map: None where that is not known.
        taken_up: whether an earlier dispatch submitted it.
    """

    round: int
    label: int
    job: str = ""
    times: Mapping[str, float] = field(default_factory=dict)
    items: int | None = None
    asked: Asked = UNKNOWN
    taken_up: bool = False
    attempts: dict[tuple[int, int], TracedAttempt] = field(default_factory=dict)


@dataclass(slots=True)
class ItemColumns:
    """Items in columns; see `model.Items`."""

    index: array[int] = field(default_factory=lambda: array("q"))
    round: array[int] = field(default_factory=lambda: array("q"))
    task: array[int] = field(default_factory=lambda: array("q"))
    begin: array[float] = field(default_factory=lambda: array("d"))
    took: array[float] = field(default_factory=lambda: array("d"))
    end: list[str] = field(default_factory=list)
    seen: set[object] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.end)

    def add(self, record: Mapping[str, Any], round: int, task: int) -> bool:
        """Add a record's items, all or none; return whether that was possible."""
        columns = [column for name in ITEM_COLUMNS if isinstance(column := record.get(name), list)]
        if len(columns) < len(ITEM_COLUMNS) or len(set(map(len, columns))) > 1:
            return False
        index, begin, took, end = columns
        is_right = (
            all(natural(number) is not None for number in index)
            and all(is_time(number) and plausible_time(number / 1000) is not None for number in begin)
            and all(is_time(number) and plausible_time(number / 1000) is not None for number in took)
            and all(isinstance(word, str) for word in end)
        )
        # A process that went on with a job may have written its records again
        key = (round, task, len(end), *index[:1], *begin[:1])
        if is_right and key not in self.seen:
            self.seen.add(key)
            count = len(end)
            self.index.extend(index)
            self.round.extend([round] * count)
            self.task.extend([task] * count)
            self.begin.extend(number / 1000 for number in begin)
            self.took.extend(number / 1000 for number in took)
            self.end.extend(sys.intern(word[:LONGEST_NAME]) for word in end)
        return is_right


@dataclass(slots=True)
class TracedElectron:
    """An electron as its records have it.

    Attributes:
        node: Covalent's; None in a sweep's trace.
        verdict: how it ended, "" before that.
        cached_from: dispatch and node.
        machine_wait: what Batch said of jobs that waited.
        latest: of all times that were seen.
    """

    node: int | None
    name: str = ""
    jobs: list[TracedJob] = field(default_factory=list)
    items: ItemColumns = field(default_factory=ItemColumns)
    cached_from: str = ""
    machine_wait: str = ""
    verdict: str = ""
    error: str = ""
    message: str = ""
    entered: float | None = None
    ended: float | None = None
    latest: float = 0.0

    @property
    def is_map(self) -> bool:
        """Whether it is a map, as far as that is seen."""
        return bool(self.items) or any(
            job.items is not None or any(task for task, _ in job.attempts) for job in self.jobs
        )

    def add(self, record: Mapping[str, Any]) -> bool:
        """Take over a record; return whether it could be used."""
        kind = record["kind"]
        if kind == SUBMITTED:
            return self._add_job(record)
        if kind == ATTEMPT:
            return self._add_attempt(record)
        if kind == ITEMS:
            job, task = self._job(record), natural(record.get("task"))
            return job is not None and task is not None and self.items.add(record, job.round, task)
        if kind == CACHED:
            self.name = self.name or text(record.get("name"))
            dispatch, node = text(record.get("from_dispatch")), natural(record.get("from_node"))
            self.cached_from = dispatch if node is None else f"{dispatch} {node}"
            return bool(dispatch)
        if kind == WAITED:
            message = text(record.get("message"), MESSAGE_BYTES)
            self.machine_wait = "\n".join(filter(None, (self.machine_wait, message)))
            return bool(message)
        return kind == ENDED and self._add_end(record)

    def _add_job(self, record: Mapping[str, Any]) -> bool:
        label = natural(record.get("round"))
        if label is None:
            return False
        times = times_of(record.get("t"))
        self.name = text(record.get("name")) or self.name
        self._note_times(times)
        self.verdict, self.ended = "", None
        name, taken_up = text(record.get("job")), record.get("taken_up") is True
        for job in self.jobs:
            # Gone on with by another process, or written twice; the name of a job that was deleted may be taken again
            if name and job.job == name and (taken_up or times.get("submitted") == job.times.get("submitted")):
                job.label = label
                return True
        # A server that was restarted counts from 0 again
        following = self.jobs[-1].round + 1 if self.jobs else 0
        self.jobs.append(
            TracedJob(
                label if not self.jobs or label >= following else following,
                label,
                name,
                times,
                natural(record.get("items")),
                asked_of(record),
                taken_up,
            )
        )
        return True

    def _add_attempt(self, record: Mapping[str, Any]) -> bool:
        job, task, number = self._job(record), natural(record.get("task")), natural(record.get("attempt"))
        if job is None or task is None or number is None:
            return False
        times = plausible_times(record.get("t"))
        exit_code, cpu = record.get("exit_code"), record.get("cpu_seconds")
        job.attempts[task, number] = TracedAttempt(
            task,
            number,
            sys.intern(text(record.get("end"))),
            times,
            exit_code if type(exit_code) is int else None,
            natural(record.get("peak_memory_bytes"), 2**62),
            float(cpu) if is_time(cpu) and cpu >= 0 else None,
            machine_of(record.get("machine")),
        )
        self._note_times(times)
        return True

    def _add_end(self, record: Mapping[str, Any]) -> bool:
        self.verdict = text(record.get("verdict")) or "failed"
        self.error, self.message = text(record.get("error")), text(record.get("message"), MESSAGE_BYTES)
        times = times_of(record.get("t"))
        self.ended = times.get("ended")
        self._note_times(times)
        return True

    def _note_times(self, times: Mapping[str, float]) -> None:
        self.latest = max(self.latest, max(times.values(), default=0.0))
        entered = times.get("entered")
        if entered is not None:
            self.entered = entered if self.entered is None else min(self.entered, entered)

    def _job(self, record: Mapping[str, Any]) -> TracedJob | None:
        """The job of a record: the latest one of its round; a new one if that has no record."""
        label = natural(record.get("round"))
        if label is None:
            return None
        for job in reversed(self.jobs):
            if job.label == label:
                return job
        self.jobs.append(TracedJob(max(label, self.jobs[-1].round + 1) if self.jobs else label, label))
        return self.jobs[-1]


@dataclass(slots=True)
class TracedElectrons:
    """The electrons of a trace by node, and how many of its records could not be used."""

    electrons: dict[int | None, TracedElectron] = field(default_factory=dict)
    left_out: int = 0


def traced_electrons(records: Iterable[Mapping[str, Any] | None]) -> TracedElectrons:
    """Return the electrons of a trace, whose records may be an iterator; None for a line that was not read."""
    found = TracedElectrons()
    for record in records:
        node = None if record is None else record.get("node")
        if record is None or isinstance(node, bool) or (node is not None and natural(node) is None):
            found.left_out += 1
            continue
        electron = found.electrons.get(node) or TracedElectron(node)
        if electron.add(record):
            found.electrons[node] = electron
        else:
            found.left_out += 1
    return found
