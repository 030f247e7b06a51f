"""What the attempts of one round's tasks did, for the sweep's trace, and how long that held machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.cloud import batch_v1

from ...batch.attempt_times import MEASURED, BatchAttempt, is_time, ordered_times, task_attempts
from ...batch.machine_hours import machine_seconds
from ...batch.trace import ATTEMPT
from ...batch.trace_ends import LOST, PREEMPTED, SPOT_PREEMPTED
from ...batch.traced_job import asked_of, new_waits
from ...cloud.job_status import JobStatus, TaskStatus
from ..records.sweep_trace import NO_MACHINE, SweepTrace
from ..tasks import SweepTask

# https://cloud.google.com/batch/docs/troubleshooting#reserved-exit-codes: all of them are losses of a task's machine
FIRST_RESERVED = 50000
# Times with which an attempt ends
ENDS = ("ran_to", "delivered", "ended", "collected")


class RoundAttempts:
    """Records attempts as they become known, each once.

    Args:
        round: the number of the round.
    """

    def __init__(self, trace: SweepTrace, round: int) -> None:
        self._trace, self._round = trace, round
        self._ours: dict[str, float | None] = {}
        self._requested: Mapping[str, object] = {}
        self._job: JobStatus | None = None
        self._waits: set[str] = set()
        self._recorded: set[tuple[int, int, int]] = set()
        # Instance -> the record that has all of its time; one of an unknown instance stands for itself
        self._machines: dict[object, dict[str, Any]] = {}
        self._is_complete = True
        # Index -> how many attempts it took, of tasks that took several
        self.repeated: dict[int, int] = {}
        # Of tasks whose job was cancelled: the attempt that comes next is one that was stopped
        self.cut_off: set[int] = set()

    def note_submitted(self, job: batch_v1.Job, job_name: str, staged: float) -> None:
        """Record that the round's job was created now, of what was in the bucket since `staged` (s since 1970)."""
        now = self._trace.now()
        self._requested = asked_of(job)
        self._ours = {"entered": self._trace.entered, "staged": staged, "submitted": now}
        times = {name: time for name, time in self._ours.items() if time is not None}
        tasks = int(batch_v1.Job.pb(job).task_groups[0].task_count)
        self._trace.submitted(job_name, self._round, tasks, self._requested, **times)

    def note_job(self, job: JobStatus) -> None:
        """Take note of the job as Batch reports it now, and record why it waits or waited for machines."""
        is_other = self._job is None or len(job.events) != len(self._job.events)
        self._job = job
        if is_other and self._trace.is_on:
            for cause, fields in new_waits(job, self._waits):
                self._waits.add(cause)
                self._trace.waited(self._round, fields)

    def delivered(self, name: str, fields: Mapping[str, Any], is_new: bool = True) -> None:
        """Record the attempt that a row reports, of this round or an earlier one; it may have been before."""
        measured = fields.get("measured")
        measured = measured if isinstance(measured, Mapping) else {}
        spans = measured.get("times")
        times = {"began": fields["started"], "ran_from": fields["started"], "ran_to": fields["ended"]}
        times |= {name: spans[name] for name in MEASURED if isinstance(spans, Mapping) and is_time(spans.get(name))}
        machine = measured.get("machine")
        number, round = int(fields["attempt"]), int(fields["round"])
        index, end = int(fields["index"]), fields["status"]
        if number and round == self._round:
            self.repeated[index] = number
        if end == "lost" and index in self.cut_off and round == self._round:
            end = "cancelled"
        self.cut_off.discard(index)
        self._record(
            round,
            index,
            name,
            BatchAttempt(number),
            end,
            fields["exit"],
            times,
            machine if isinstance(machine, Mapping) else {},
            {name: measured.get(name) for name in ("cpu_seconds", "peak_memory_bytes")},
            is_new,
        )

    def lost(self, tasks: Iterable[tuple[int, SweepTask]], status: TaskStatus, end: str = "lost") -> None:
        """Record what Batch reports of one task's attempts that have not reported themselves.

        Args:
            tasks: those that it ran one after the other, with their indices: the first that is not known had begun.
            end: how the last attempt ended, if nothing else says so.
        """
        first = next(iter(tasks), None)
        if first is None:
            return
        index, task = first
        for attempt in task_attempts(status.events):
            if attempt.has_started and attempt.state != "SUCCEEDED":
                self._record(
                    self._round, index, task.name, attempt, _end_of(attempt, end), attempt.exit_code, {}, {}, {}
                )

    @property
    def machine_seconds(self) -> float | None:
        """How long machines were held for what is recorded; None where an attempt's machine is not known."""
        return machine_seconds(self._machines.values()) if self._machines and self._is_complete else None

    def _record(
        self,
        round: int,
        index: int,
        name: str,
        attempt: BatchAttempt,
        end: str,
        exit_code: int | None,
        measured: Mapping[str, float],
        machine: Mapping[str, object],
        more: Mapping[str, object],
        is_new: bool = True,
    ) -> None:
        if (round, index, attempt.number) in self._recorded:
            return
        self._recorded.add((round, index, attempt.number))
        is_here = round == self._round
        scheduled = attempt.scheduled
        if scheduled is None and attempt.number == 0 and is_here and self._job is not None:
            scheduled = self._job.entered_seconds("SCHEDULED")
        placed = {"scheduled": scheduled, "running": attempt.running, "ended": attempt.ended}
        times = ordered_times({**(self._ours if is_here else {}), **placed, **measured, "collected": self._trace.now()})
        placed_at = {"zone": attempt.zone or None, "instance": attempt.instance or None}
        requested = {"type": self._type(), "spot": self._requested.get("spot")}
        known = {name: machine[name] for name in NO_MACHINE if machine.get(name) is not None}
        machine_fields = {**NO_MACHINE, **requested, **placed_at, **known}
        fields = {
            "task": index,
            "name": name,
            "round": round,
            "attempt": attempt.number,
            "end": end,
            "exit_code": exit_code,
            "t": times,
            "peak_memory_bytes": None,
            "cpu_seconds": None,
            **more,
            "machine": machine_fields,
        }
        if is_new:
            self._trace.attempt(fields)
        if is_here:
            self._hold(machine_fields, times)

    def _type(self) -> object:
        kinds = self._job.instances if self._job is not None else ()
        return self._requested.get("machine_type") or (kinds[0].machine_type or None if len(kinds) == 1 else None)

    def _hold(self, machine: Mapping[str, object], times: Mapping[str, float | None]) -> None:
        """Keep one record of each machine, from its first attempt's beginning to its last one's end."""
        if machine["instance"] is None:
            self._is_complete = False
            return
        place = machine["zone"], machine["instance"]
        held = self._machines.setdefault(place, {"kind": ATTEMPT, "machine": machine, "t": {}})["t"]
        for name, time in times.items():
            if time is not None:
                held[name] = (max if name in ENDS else min)(time, held.get(name, time))


def _end_of(attempt: BatchAttempt, otherwise: str) -> str:
    if attempt.exit_code == SPOT_PREEMPTED:
        return PREEMPTED
    return otherwise if attempt.exit_code is None or attempt.exit_code < FIRST_RESERVED else LOST
