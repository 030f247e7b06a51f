"""Convert between Batch's messages and the emulator's own values: names, defaults, task plans, statuses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from google.cloud import batch_v1
from google.protobuf.timestamp_pb2 import Timestamp

from ..filters.filter_language import Field, FilterLanguage, text
from ..model.errors import RpcError
from ..model.job import Job, Task
from ..model.job_states import RetryRule, StatusEvent
from ..model.runtime_interface import Command, Mount, ResourceLimits
from ..model.task_plan import SecretVariables, Step, TaskPlan
from ..project.machine_types import picked_machine_type, tasks_per_vm
from ..project.secrets import project_number
from .validate_job import MAX_PARALLELISM

_JOB = re.compile(r"projects/([^/]+)/locations/([^/]+)/jobs/([^/]+)")
_TASKS = re.compile(r"(projects/[^/]+/locations/[^/]+/jobs/[^/]+)/taskGroups/([^/]+)(?:/tasks/([^/]+))?")
_TO_PATH = batch_v1.LogsPolicy.Destination.PATH
DEFAULT_CPU_MILLI = 2000
DEFAULT_MEMORY_MIB = 2000


@dataclass(frozen=True)
class JobName:
    """projects/PROJECT/locations/LOCATION/jobs/JOB."""

    project: str
    location: str
    job: str

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/jobs/{self.job}"

    @property
    def numbered(self) -> str:
        """The same name with the project's number, as event texts, task groups and tasks carry it."""
        return f"projects/{project_number(self.project)}/locations/{self.location}/jobs/{self.job}"


def parse_job_name(text: str) -> JobName:
    """Read a job's name. Raises RpcError (INVALID_ARGUMENT)."""
    match = _JOB.fullmatch(text)
    if match is None:
        raise RpcError("INVALID_ARGUMENT", f"{text!r} is not projects/PROJECT/locations/LOCATION/jobs/JOB")
    return JobName(*match.groups())


def parse_tasks_name(text: str) -> tuple[JobName, str, str | None]:
    """Read the name of a task group or a task. Raises RpcError (INVALID_ARGUMENT)."""
    match = _TASKS.fullmatch(text)
    if match is None:
        raise RpcError("INVALID_ARGUMENT", f"{text!r} is not JOB/taskGroups/GROUP or JOB/taskGroups/GROUP/tasks/TASK")
    return parse_job_name(match[1]), match[2], match[3]


def with_defaults(job: batch_v1.Job, name: JobName, uid: str) -> batch_v1.Job:
    """Give a copy of a checked job with what Batch fills in: names and defaults, and without what is Batch's to say."""
    filled = batch_v1.Job()
    batch_v1.Job.pb(filled).CopyFrom(batch_v1.Job.pb(job))
    for field in ("status", "create_time", "update_time"):
        batch_v1.Job.pb(filled).ClearField(field)
    filled.name = str(name)
    filled.uid = uid
    group = filled.task_groups[0]
    group.name = f"{name.numbered}/taskGroups/group0"
    group.task_count = len(group.task_environments) or group.task_count or 1
    group.parallelism = group.parallelism or min(group.task_count, MAX_PARALLELISM)
    resource = group.task_spec.compute_resource
    resource.cpu_milli = resource.cpu_milli or DEFAULT_CPU_MILLI
    resource.memory_mib = resource.memory_mib or DEFAULT_MEMORY_MIB
    policy = filled.allocation_policy
    if not policy.location.allowed_locations:
        policy.location.allowed_locations = [f"regions/{name.location}"]
    if not policy.instances:
        policy.instances = [batch_v1.AllocationPolicy.InstancePolicyOrTemplate()]
    if not policy.instances[0].instance_template:
        machine = policy.instances[0].policy
        if not machine.provisioning_model:
            machine.provisioning_model = batch_v1.AllocationPolicy.ProvisioningModel(1)  # STANDARD
    if not policy.service_account.email:
        policy.service_account.email = f"{project_number(name.project)}-compute@developer.gserviceaccount.com"
    policy.labels["batch-job-id"] = name.job
    batch_v1.Job.pb(filled).logs_policy.SetInParent()
    return filled


def task_plan(job: batch_v1.Job, name: JobName) -> TaskPlan:
    """Read what is to be run from a job that `with_defaults` made."""
    group = job.task_groups[0]
    spec = group.task_spec
    zones = [place for place in job.allocation_policy.location.allowed_locations if place.startswith("zones/")]
    return TaskPlan(
        project=name.project,
        job_id=name.job,
        uid=job.uid,
        zone=zones[0].removeprefix("zones/") if zones else f"{name.location}-b",
        task_count=group.task_count,
        steps=tuple(_step(runnable) for runnable in spec.runnables),
        environment={**dict(spec.environments), **dict(spec.environment.variables)},
        task_environments=tuple(dict(environment.variables) for environment in group.task_environments),
        secret_variables=SecretVariables(
            task=dict(spec.environment.secret_variables),
            groups=tuple(dict(environment.secret_variables) for environment in group.task_environments),
            steps=tuple(dict(runnable.environment.secret_variables) for runnable in spec.runnables),
        ),
        mounts=tuple(_mount(volume, _existing_disks(job)) for volume in spec.volumes),
        limits=ResourceLimits(spec.compute_resource.cpu_milli, spec.compute_resource.memory_mib),
        max_run_seconds=_seconds(spec.max_run_duration),
        labels=dict(job.labels),
        provisioning=job.allocation_policy.instances[0].policy.provisioning_model.name,
        machine_type=picked_machine_type(
            job.allocation_policy.instances[0].policy.machine_type, spec.compute_resource.cpu_milli
        ),
        tasks_per_vm=tasks_per_vm(
            job.allocation_policy.instances[0].policy.machine_type,
            spec.compute_resource.cpu_milli,
            group.task_count_per_node,
        ),
        has_hosts_file=group.require_hosts_file,
        logs_path=job.logs_policy.logs_path if job.logs_policy.destination == _TO_PATH else "",
        keeps_logs=job.logs_policy.destination == batch_v1.LogsPolicy.Destination.CLOUD_LOGGING,
    )


def tasks_at_once(group: batch_v1.TaskGroup) -> int:
    """Read how many tasks may run at a time; in order is one after another."""
    return 1 if group.scheduling_policy == batch_v1.TaskGroup.SchedulingPolicy.IN_ORDER else group.parallelism


def retry_rule(spec: batch_v1.TaskSpec) -> RetryRule:
    """Read when a task is tried again."""
    codes: dict[int, frozenset[int]] = {
        int(policy.action): frozenset(policy.action_condition.exit_codes) for policy in spec.lifecycle_policies
    }
    action = batch_v1.LifecyclePolicy.Action
    return RetryRule(spec.max_retry_count, codes.get(action.RETRY_TASK), codes.get(action.FAIL_TASK))


def fill_status(status: Any, job: Job, plan: TaskPlan) -> None:
    """Fill in a job's status, but for how long it has run."""
    status.state = int(job.state)
    for event in job.events:
        _add_event(status.status_events, event)
    status.run_duration.SetInParent()
    if job.lists_tasks:
        group = status.task_groups["group0"]
        for state, count in job.counts.items():
            group.counts[state.name] = count
        model = getattr(batch_v1.AllocationPolicy.ProvisioningModel, plan.provisioning)
        group.instances.add(machine_type=plan.machine_type, provisioning_model=int(model), task_pack=plan.tasks_per_vm)


def task_message(group_name: str, task: Task) -> Any:
    """Return a task's protobuf message."""
    answer = batch_v1.Task.pb(batch_v1.Task())
    answer.name = f"{group_name}/tasks/{task.index}"
    answer.status.state = int(task.state)
    for event in task.events:
        _add_event(answer.status.status_events, event)
    return answer


_STATE = Field[Task](lambda task: task.state.name, text)
TASK_FILTERS = FilterLanguage[Task](
    fields={
        "state": _STATE,
        "status.state": _STATE,
        "name": Field(lambda task: str(task.index), text),
    }
)
"""What filters of tasks understand."""


def nanoseconds(seconds: float) -> int:
    """Return seconds since the epoch in nanoseconds, to the microsecond as timestamps have them."""
    return round(seconds * 1e6) * 1000


def set_time(target: Timestamp, seconds: float) -> None:
    """Set a timestamp to seconds since the epoch."""
    target.FromNanoseconds(nanoseconds(seconds))


def _step(runnable: batch_v1.Runnable) -> Step:
    container, script = runnable.container, runnable.script
    return Step(
        Command(
            image=container.image_uri,
            entrypoint=container.entrypoint,
            arguments=tuple(container.commands),
            options=container.options,
            volumes=tuple(container.volumes),
            username=container.username,
            password=container.password,
            script=script.text,
            script_path=script.path,
            environment=dict(runnable.environment.variables),
        ),
        timeout_seconds=_seconds(runnable.timeout),
        ignores_exit_status=runnable.ignore_exit_status,
        always_runs=runnable.always_run,
        is_background=runnable.background,
        display_name=runnable.display_name,
        barrier=runnable.barrier.name if "barrier" in runnable else None,
    )


def _existing_disks(job: batch_v1.Job) -> set[str]:
    disks = job.allocation_policy.instances[0].policy.disks
    return {disk.device_name for disk in disks if disk.existing_disk}


def _mount(volume: batch_v1.Volume, existing_disks: set[str]) -> Mount:
    if volume.gcs:
        kind, source = "gcs", volume.gcs.remote_path.removeprefix("gs://").strip("/")
    elif volume.nfs:
        kind, source = "nfs", f"{volume.nfs.server}:/{volume.nfs.remote_path.strip('/')}"
    else:
        kind, source = "disk", volume.device_name
    was_there = kind == "disk" and source in existing_disks
    return Mount(volume.mount_path.rstrip("/"), kind, source, tuple(volume.mount_options), was_there)


def _seconds(duration: Any) -> float | None:
    """Read a duration (proto-plus gives a timedelta); none and zero are no limit."""
    return float(duration.total_seconds()) or None if duration else None


def _add_event(events: Any, event: StatusEvent) -> None:
    added = events.add()
    added.type_ = event.kind
    added.description = event.text
    set_time(added.event_time, event.time)
    if event.task_state is not None:
        added.task_state = int(event.task_state)
    if event.exit_code is not None:
        added.task_execution.exit_code = event.exit_code
