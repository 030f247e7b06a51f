"""Validate a CreateJobRequest against the limits of Batch: pure checks.

The limits are those of Batch's quota page and of the comments in google.cloud.batch.v1. What Batch
would take and the emulator cannot do is refused too, never passed over: encrypted variables, and barriers of tasks
that may not all run at a time.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Iterator, Mapping

from google.cloud import batch_v1

from ..model.errors import RpcError
from ..project.machine_types import MAX_TASKS_PER_VM
from ..project.secrets import SECRET_VERSION

MAX_JOB_BYTES = 1 << 20
MAX_TASKS = 100_000
MAX_PARALLELISM = 5_000
MAX_RETRIES = 10
MAX_TASK_ENVIRONMENTS = 200
MAX_PRIORITY = 99
MAX_LABELS = 64
MAX_LABEL_CHARACTERS = 63

_JOB_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_PARENT = re.compile(r"projects/[^/]+/locations/[a-z0-9-]+")
_CONTAINER_VOLUME = re.compile(r"[^:]+:/[^:]*(:[^:]*)?")
_LOCATION = re.compile(r"(regions|zones)/([a-z0-9-]+)")


def validate_create_job(request: batch_v1.CreateJobRequest) -> None:
    """Check a request to create a job. Raises RpcError (INVALID_ARGUMENT) that lists all that is wrong."""
    mistakes = [*_request_mistakes(request), *_job_mistakes(request.job, request.parent.rpartition("/")[2])]
    if mistakes:
        raise RpcError("INVALID_ARGUMENT", "; ".join(mistakes))


def validate_request_id(request_id: str) -> None:
    """Check that a request's id is empty or a UUID other than zero. Raises RpcError (INVALID_ARGUMENT)."""
    if request_id:
        try:
            is_good = uuid.UUID(request_id).int != 0
        except ValueError:
            is_good = False
        if not is_good:
            raise RpcError("INVALID_ARGUMENT", f"request_id {request_id!r} must be a UUID other than zero")


def _request_mistakes(request: batch_v1.CreateJobRequest) -> Iterator[str]:
    if not _PARENT.fullmatch(request.parent):
        yield f"parent {request.parent!r} must be projects/PROJECT/locations/LOCATION"
    if request.job_id and not _JOB_ID.fullmatch(request.job_id):
        yield f"job_id {request.job_id!r} must match ^{_JOB_ID.pattern}$"
    validate_request_id(request.request_id)


def _job_mistakes(job: batch_v1.Job, region: str) -> Iterator[str]:
    size = batch_v1.Job.pb(job).ByteSize()
    if size > MAX_JOB_BYTES:
        yield f"the job definition has {size} bytes, the limit is {MAX_JOB_BYTES}"
    if not 0 <= job.priority <= MAX_PRIORITY:
        yield f"job.priority {job.priority} must be between 0 and {MAX_PRIORITY}"
    yield from _label_mistakes("job.labels", job.labels)
    yield from _allocation_mistakes(job.allocation_policy, region)
    if job.notifications:
        yield "this emulator publishes no notifications: leave job.notifications out"
    if len(job.task_groups) != 1:
        yield f"job.task_groups has {len(job.task_groups)} entries: exactly one task group is supported"
        return
    yield from _group_mistakes(job.task_groups[0])
    yield from _logs_mistakes(job.logs_policy)


def _logs_mistakes(policy: batch_v1.LogsPolicy) -> Iterator[str]:
    path = policy.logs_path
    if policy.destination == batch_v1.LogsPolicy.Destination.PATH and (path[:1] != "/" or ".." in path.split("/")):
        yield f"logs_policy.logs_path {path!r} must be an absolute path without '..', for the destination PATH"


def _label_mistakes(where: str, labels: Mapping[str, str]) -> Iterator[str]:
    if len(labels) > MAX_LABELS:
        yield f"{where} has {len(labels)} entries, the limit is {MAX_LABELS}"
    for key, value in labels.items():
        if not _is_label_text(key) or not key[:1].isalpha():
            yield f"{where} key {key!r} must be 1 to 63 lowercase letters, digits, _ and -, a letter first"
        if key.startswith(("goog-", "google-")):
            yield f"{where} key {key!r} starts with a reserved prefix"
        if not _is_label_text(value):
            yield f"{where} value {value!r} of {key!r} must be at most 63 lowercase letters, digits, _ and -"


def _is_label_text(entry: str) -> bool:
    """Return whether a label's key or value is legal (https://cloud.google.com/compute/docs/labeling-resources)."""
    return len(entry) <= MAX_LABEL_CHARACTERS and all(
        character in "_-" or (character == character.lower() and unicodedata.category(character)[0] in "LMN")
        for character in entry
    )


def _allocation_mistakes(policy: batch_v1.AllocationPolicy, region: str) -> Iterator[str]:
    yield from _label_mistakes("allocation_policy.labels", policy.labels)
    for location in policy.location.allowed_locations:
        match = _LOCATION.fullmatch(location)
        if match is None:
            yield f"allowed location {location!r} must be regions/REGION or zones/ZONE"
        elif (match[2] if match[1] == "regions" else match[2].rpartition("-")[0]) != region:
            yield f"allowed location {location!r} is not in the job's region {region}"
    if len(policy.instances) > 1:
        yield "allocation_policy.instances has more than one entry"
    for interface in policy.network.network_interfaces:
        if interface.no_external_ip_address and not (interface.network and interface.subnetwork):
            yield "no_external_ip_address needs both network and subnetwork"


def _group_mistakes(group: batch_v1.TaskGroup) -> Iterator[str]:
    if not 0 <= group.task_count <= MAX_TASKS:
        yield f"task_count {group.task_count} must be between 1 and {MAX_TASKS}"
    yield from _barrier_mistakes(group)
    if not 0 <= group.parallelism <= MAX_PARALLELISM:
        yield f"parallelism {group.parallelism} must be between 1 and {MAX_PARALLELISM}"
    if not 0 <= group.task_count_per_node <= MAX_TASKS_PER_VM:
        yield f"task_count_per_node {group.task_count_per_node} must be between 1 and {MAX_TASKS_PER_VM}"
    if len(group.task_environments) > MAX_TASK_ENVIRONMENTS:
        yield f"task_environments has {len(group.task_environments)} entries, the limit is {MAX_TASK_ENVIRONMENTS}"
    for environment in group.task_environments:
        yield from _environment_mistakes("task_environments", environment)
    yield from _spec_mistakes(group.task_spec)


def _spec_mistakes(spec: batch_v1.TaskSpec) -> Iterator[str]:
    if not 0 <= spec.max_retry_count <= MAX_RETRIES:
        yield f"max_retry_count {spec.max_retry_count} must be between 0 and {MAX_RETRIES}"
    if len(spec.lifecycle_policies) > 1:
        yield "lifecycle_policies has more than one entry"
    for policy in spec.lifecycle_policies:
        if not policy.action:
            yield "lifecycle_policies.action must be RETRY_TASK or FAIL_TASK"
        if not policy.action_condition.exit_codes:
            yield "lifecycle_policies.action_condition needs exit_codes"
    resource = spec.compute_resource
    for name in ("cpu_milli", "memory_mib", "boot_disk_mib"):
        if getattr(resource, name) < 0:
            yield f"compute_resource.{name} {getattr(resource, name)} must not be negative"
    yield from _duration_mistakes("max_run_duration", batch_v1.TaskSpec.pb(spec).max_run_duration)
    yield from _environment_mistakes("task_spec.environment", spec.environment)
    for index, volume in enumerate(spec.volumes):
        yield from (f"volumes[{index}]: {mistake}" for mistake in _volume_mistakes(volume))
    if not spec.runnables:
        yield "task_spec.runnables must not be empty"
    for index, runnable in enumerate(spec.runnables):
        yield from (f"runnables[{index}]: {mistake}" for mistake in _runnable_mistakes(runnable))


def _runnable_mistakes(runnable: batch_v1.Runnable) -> Iterator[str]:
    kind = batch_v1.Runnable.pb(runnable).WhichOneof("executable")
    if kind is None:
        yield "needs a container, a script or a barrier"
    elif kind == "container":
        if not runnable.container.image_uri:
            yield "container.image_uri must not be empty"
        for volume in runnable.container.volumes:
            if not _CONTAINER_VOLUME.fullmatch(volume):
                yield f"container.volumes {volume!r} must be SOURCE:/PATH or SOURCE:/PATH:OPTIONS"
        if runnable.container.block_external_network:
            yield "container.block_external_network: this emulator blocks no network"
        if bool(runnable.container.username) != bool(runnable.container.password):
            yield "container.username and container.password go together"
    elif kind == "script" and not (runnable.script.text or runnable.script.path):
        yield "script needs a text or a path"
    yield from _duration_mistakes("timeout", batch_v1.Runnable.pb(runnable).timeout)
    yield from _environment_mistakes("environment", runnable.environment)
    yield from _label_mistakes("labels", runnable.labels)


def _barrier_mistakes(group: batch_v1.TaskGroup) -> Iterator[str]:
    barriers = [runnable for runnable in group.task_spec.runnables if "barrier" in runnable]
    if not barriers:
        return
    if any(runnable.background for runnable in barriers):
        yield "a barrier cannot be in the background"
    tasks, at_once = len(group.task_environments) or group.task_count or 1, group.parallelism or MAX_PARALLELISM
    why = f"a barrier waits for all {tasks} tasks"
    if group.scheduling_policy == batch_v1.TaskGroup.SchedulingPolicy.IN_ORDER and tasks > 1:
        yield f"{why}, and scheduling_policy IN_ORDER runs one at a time: leave it out"
    elif at_once < tasks:
        remedy = f"make it {tasks}" if tasks <= MAX_PARALLELISM else f"run at most {MAX_PARALLELISM}"
        yield f"{why}, and parallelism lets {at_once} run at a time: {remedy}"


def _environment_mistakes(where: str, environment: batch_v1.Environment) -> Iterator[str]:
    for name in environment.variables:
        if not name or "=" in name or "\0" in name + environment.variables[name]:
            yield f"{where} has an illegal variable {name!r}"
    for name, secret in environment.secret_variables.items():
        if not name or "=" in name or "\0" in name:
            yield f"{where} has an illegal secret variable {name!r}"
        if not SECRET_VERSION.fullmatch(secret):
            yield f"{where}: the secret {secret!r} of {name!r} must be projects/PROJECT/secrets/SECRET/versions/VERSION"
    if environment.encrypted_variables.cipher_text:
        yield f"{where}: this emulator has no keys for encrypted variables"


def _volume_mistakes(volume: batch_v1.Volume) -> Iterator[str]:
    kind = batch_v1.Volume.pb(volume).WhichOneof("source")
    if kind is None:
        yield "needs a source: gcs, nfs or a device_name"
    elif kind == "gcs" and not volume.gcs.remote_path.removeprefix("gs://").strip("/"):
        yield "gcs.remote_path must name a bucket"
    elif kind == "nfs" and not (volume.nfs.server and volume.nfs.remote_path.startswith("/")):
        yield "nfs needs a server and a remote_path that starts with /"
    if not volume.mount_path.startswith("/") or not volume.mount_path.strip("/"):
        yield f"mount_path {volume.mount_path!r} must be an absolute path"


def _duration_mistakes(where: str, duration: object) -> Iterator[str]:
    seconds, nanos = getattr(duration, "seconds", 0), getattr(duration, "nanos", 0)
    if seconds < 0 or nanos < 0 or nanos > 999_999_999:
        yield f"{where} must be a duration that is not negative, not {seconds} s and {nanos} ns"
