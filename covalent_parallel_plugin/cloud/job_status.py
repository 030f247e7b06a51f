"""Jobs and tasks as Batch reports them: read from its messages into values of this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from typing import Any

from google.cloud import batch_v1

GROUP = "group0"
# google.cloud.batch_v1.AllocationPolicy.ProvisioningModel: machines that may be taken away. Numbers, as messages have
# them: a client's enumeration takes ten times as long to compare.
_MODELS = batch_v1.AllocationPolicy.ProvisioningModel
SPOT_MODELS = frozenset({int(_MODELS.SPOT), int(_MODELS.PREEMPTIBLE)})
# google.cloud.batch_v1.JobStatus.State: what ends a job
TERMINAL_STATES = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


@dataclass(frozen=True)
class Event:
    """A status event: what happened, when (seconds since 1970), and the exit code where the task ended with one."""

    description: str
    seconds: float
    exit_code: int | None = None


@dataclass(frozen=True)
class InstanceStatus:
    """A kind of machine on which a job's tasks run: its type, whether it is Spot, how many tasks share one."""

    machine_type: str
    is_spot: bool
    task_pack: int


@dataclass(frozen=True)
class JobStatus:
    """A job as Batch reports it.

    `counts` is the number of tasks in each state; events are in order of time; `created_seconds` since 1970;
    `instances` is empty until Batch knows the machines.
    """

    name: str
    uid: str
    state: str
    counts: Mapping[str, int] = field(default_factory=dict)
    events: Sequence[Event] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    created_seconds: float = 0.0
    instances: Sequence[InstanceStatus] = ()

    def tasks_per_machine(self, otherwise: int = 1) -> int:
        """How many tasks share a machine, at most; `otherwise` until Batch reports it."""
        return max((each.task_pack for each in self.instances if each.task_pack > 0), default=otherwise)

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL_STATES

    def entered_seconds(self, state: str) -> float | None:
        """When the job came to be in a state, in seconds since 1970; None if no event has it."""
        words = f" to {state} for job"
        return next((event.seconds for event in self.events if words in event.description), None)


@dataclass(frozen=True)
class TaskStatus:
    """A task as Batch reports it; events are in order of time."""

    index: int
    state: str
    events: Sequence[Event] = ()

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last attempt that had one; of no meaning for a task that succeeded."""
        codes = [event.exit_code for event in self.events if event.exit_code is not None]
        return codes[-1] if codes else None


def read_job(job: batch_v1.Job) -> JobStatus:
    """Read a job."""
    return read_raw_job(batch_v1.Job.pb(job))


def read_raw_job(raw: Any) -> JobStatus:
    """Read a job's protobuf message."""
    groups = raw.status.task_groups
    group = groups.get(GROUP)
    return JobStatus(
        name=raw.name,
        uid=raw.uid,
        state=_name(batch_v1.JobStatus.State, raw.status.state),
        counts={} if group is None else dict(group.counts),
        events=_events(raw.status.status_events),
        labels=dict(raw.labels),
        created_seconds=raw.create_time.seconds + raw.create_time.nanos / 1e9,
        instances=() if group is None else tuple(map(_instance, group.instances)),
    )


def read_task_status(index: int, raw: Any) -> TaskStatus:
    """Read the protobuf message of a task's status."""
    return TaskStatus(index, _name(batch_v1.TaskStatus.State, raw.state), _events(raw.status_events))


def read_raw_task(raw: Any) -> TaskStatus:
    """Read a task's protobuf message, with its index from its name."""
    return read_task_status(int(raw.name.rsplit("/", 1)[-1]), raw.status)


def _instance(raw: Any) -> InstanceStatus:
    return _shared_instance(raw.machine_type, raw.provisioning_model in SPOT_MODELS, raw.task_pack)


# Thousands of jobs have the same kinds of machines, and are read every few seconds.
_shared_instance = lru_cache(maxsize=256)(InstanceStatus)


@lru_cache(maxsize=256)
def _name(states: Any, number: int) -> str:
    """A state's name; one that the installed client does not know yet is neither an error nor an end."""
    try:
        return str(states(number).name)
    except ValueError:
        return f"STATE_{number}"


_SECONDS = attrgetter("seconds")


def _events(raw: Any) -> tuple[Event, ...]:
    events = [
        Event(
            entry.description,
            entry.event_time.seconds + entry.event_time.nanos / 1e9,
            entry.task_execution.exit_code if entry.HasField("task_execution") else None,
        )
        for entry in raw
    ]
    return tuple(sorted(events, key=_SECONDS))
