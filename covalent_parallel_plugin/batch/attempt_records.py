"""The attempts of a task as a trace records them, from what Batch and the tasks themselves reported. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import trace_ends as ends
from .attempt_times import BatchAttempt, ordered_times

if TYPE_CHECKING:
    from ..cloud.batch import JobStatus


@dataclass(frozen=True, slots=True)
class Measured:
    """What a task measured of its attempt; nothing of it is needed, and all of it may be missing.

    Attributes:
        end: in the words of `trace_ends`, "" where it is not known.
        times: seconds since 1970 by the machine's clock (`attempt_times.MEASURED`).
        cpu_seconds, peak_memory_bytes: of the electron's process.
        machine: "type", "zone", "instance" and "spot", as far as its metadata server reported it.
    """

    attempt: int = 0
    end: str = ""
    times: Mapping[str, float] = field(default_factory=dict)
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    machine: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskFindings:
    """What is known of one task once its job is watched no longer.

    Attributes:
        listed: its attempts as Batch's events report them; none if Batch was not asked.
        measured: what attempts reported, by their number.
        end: how an attempt ended, if nothing else says so.
        was_stopped: whether somebody ended the job: `end` is then how attempts that were stopped ended.
    """

    task: int = 0
    listed: Sequence[BatchAttempt] = ()
    measured: Mapping[int, Measured] = field(default_factory=dict)
    end: str = ends.LOST
    was_stopped: bool = False


def attempt_records(
    found: TaskFindings,
    job: JobStatus | None,
    ours: Mapping[str, float | None],
    asked: Mapping[str, object],
    is_alone: bool,
) -> list[dict[str, object]]:
    """Return the fields of a record for each attempt of a task.

    Args:
        job: its job's last status.
        ours: entered, staged, submitted and collected, by this process's clock.
        asked: the machine's "type" and "spot" that the job asked for.
        is_alone: whether the job has no other task: so its own events report when that ran.
    """
    listed = {attempt.number: attempt for attempt in found.listed if attempt.has_started or attempt.ended is not None}
    numbers = [*listed, *found.measured]
    if not numbers and is_alone and job is not None and job.entered_seconds("RUNNING") is not None:
        numbers = [0]
    last = max(numbers, default=-1)
    if not listed and is_alone and last == 0 and job is not None:
        listed[0] = _of_job(job)
    return [
        _record(
            found,
            number,
            listed.get(number, BatchAttempt(number)),
            found.measured.get(number, Measured()),
            job,
            ours,
            asked,
            number == last,
        )
        for number in range(last + 1)
    ]


def _of_job(job: JobStatus) -> BatchAttempt:
    """The only attempt of a job's only task, as the job's own events report it."""
    return BatchAttempt(
        0,
        scheduled=job.entered_seconds("SCHEDULED"),
        running=job.entered_seconds("RUNNING"),
        ended=job.entered_seconds(job.state) if job.is_terminal else None,
    )


def _record(
    found: TaskFindings,
    number: int,
    listed: BatchAttempt,
    measured: Measured,
    job: JobStatus | None,
    ours: Mapping[str, float | None],
    asked: Mapping[str, object],
    is_last: bool,
) -> dict[str, object]:
    scheduled = listed.scheduled
    if scheduled is None and number == 0 and job is not None:
        scheduled = job.entered_seconds("SCHEDULED")
    placed = {"scheduled": scheduled, "running": listed.running, "ended": listed.ended}
    return {
        "task": found.task,
        "attempt": number,
        "end": _end(found, listed, measured, is_last),
        "exit_code": listed.exit_code,
        "t": ordered_times({**ours, **placed, **measured.times}),
        "peak_memory_bytes": measured.peak_memory_bytes,
        "cpu_seconds": measured.cpu_seconds,
        "machine": _machine(listed, measured, job, asked),
    }


def _end(found: TaskFindings, listed: BatchAttempt, measured: Measured, is_last: bool) -> str:
    """How an attempt ended: as it reported itself, unless it was stopped: Batch, or whoever cancelled, knows why."""
    if measured.end not in ("", ends.TERMINATED):
        return measured.end
    reported = "" if listed.exit_code is None else ends.end_of_code(listed.exit_code)
    if reported in (ends.PREEMPTED, ends.LOST):
        return reported
    if found.was_stopped and is_last:
        return found.end
    return measured.end or reported or (found.end if is_last else ends.LOST)


def _machine(
    listed: BatchAttempt, measured: Measured, job: JobStatus | None, asked: Mapping[str, object]
) -> dict[str, object]:
    """The machine as its metadata server reports it, else as Batch does, else as requested."""
    kinds = job.instances if job is not None else ()
    kind = asked.get("type") or (kinds[0].machine_type or None if len(kinds) == 1 else None)
    known = {
        "type": kind,
        "zone": listed.zone or None,
        "instance": listed.instance or None,
        "spot": asked.get("spot"),
    }
    return {**known, **measured.machine}
