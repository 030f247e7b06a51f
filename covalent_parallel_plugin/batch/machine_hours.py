"""The time that machines were held for jobs: of a trace's records, and of jobs as Batch reports them; in seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .attempt_times import COLLECTED, ENDED_AT, MEASURED, is_time
from .trace_ends import STOPPED

if TYPE_CHECKING:
    from ..cloud.batch import JobStatus

# What of an attempt's times shows since when it was on a machine, and until when. When it began to boot Batch does not
# tell: a job that is scheduled may still wait for one. When an outcome was collected says when somebody looked.
ON_MACHINE = ("running", *MEASURED)
# google.cloud.batch_v1.TaskStatus.State: tasks that hold their machine, and tasks that have held one
HOLDING, HELD = ("ASSIGNED", "RUNNING"), ("ASSIGNED", "RUNNING", "SUCCEEDED", "FAILED")


def machine_seconds(records: Iterable[Mapping[str, Any]]) -> float:
    """Return the machine-seconds of a trace: each machine's from its first attempt's start to its last one's end.

    Attempts of one instance count once, however many shared it; an attempt whose instance is not known is a machine of
    its own. What never started costs nothing, nor does a boot. Values that are no times count as not seen.
    """
    spans: dict[object, tuple[float, float]] = {}
    for number, record in enumerate(records):
        span = time_on_machine(record.get("t"), record.get("end"))
        if record.get("kind") != "attempt" or span is None:
            continue
        machine = _machine(record)
        key = f"{machine.get('zone')}/{machine['instance']}" if machine.get("instance") else number
        first, last = spans.get(key, span)
        spans[key] = min(first, span[0]), max(last, span[1])
    return sum(last - first for first, last in spans.values())


@dataclass(frozen=True)
class JobUse:
    """What a job has used, in machine-seconds, as far as the looks at it show.

    Attributes:
        until: when it was looked at last, in seconds since 1970.
        machines: how many it had then.
    """

    seconds: float = 0.0
    until: float | None = None
    machines: int = 0

    def seen(self, job: JobStatus, tasks_per_machine: int, now: float, most_machines: int | None = None) -> JobUse:
        """Return the use after another look at the job, at `now` (seconds since 1970).

        Machines are the tasks that hold one by the tasks that share one; between two looks the mean of both counts.
        A first look has the present number since the job began to run, or of an ended job one for all tasks that
        ran, at most `most_machines`. A job that never ran has used nothing.
        """
        since = self.until
        if since is None:
            since = job.entered_seconds("RUNNING")
        if since is None:
            if job.state != "RUNNING":
                return self
            since = now
        ended = job.entered_seconds(job.state) if job.is_terminal else None
        until = now if ended is None else ended
        before = None if self.until is None else self.machines
        if not job.is_terminal:
            machines = _machines(job, HOLDING, tasks_per_machine)
        else:
            machines = _machines(job, HELD, tasks_per_machine) if before is None else max(before, 1)
        machines = machines if most_machines is None else min(machines, most_machines)
        used = max(until - since, 0.0) * (machines + (machines if before is None else before)) / 2
        return JobUse(self.seconds + used, max(until, since), 0 if job.is_terminal else machines)


def time_on_machine(times: object, end: object = "") -> tuple[float, float] | None:
    """Return when an attempt's time on its machine began and ended, None if it never was on one.

    Args:
        times: the `t` of its record.
        end: how it ended: what a server cancelled as it stopped ended then, and nobody looked any more.
    """
    if not isinstance(times, Mapping):
        return None
    seen = {name: float(value) for name, value in times.items() if is_time(value)}
    on_machine = [seen[name] for name in ON_MACHINE if name in seen]
    if not on_machine:
        return None
    last = ENDED_AT if ENDED_AT in seen or end != STOPPED else COLLECTED
    return min(on_machine), max(*on_machine, seen.get(last, -math.inf))


def _machine(record: Mapping[str, Any]) -> Mapping[str, Any]:
    machine = record.get("machine")
    return machine if isinstance(machine, Mapping) else {}


def _machines(job: JobStatus, states: tuple[str, ...], tasks_per_machine: int) -> int:
    """Return the machines of a job's tasks in these states; one where Batch counts no tasks at all."""
    tasks = sum(job.counts.get(state, 0) for state in states) if job.counts else 1
    return math.ceil(tasks / max(tasks_per_machine, 1))
