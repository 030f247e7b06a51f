"""Settings and one call as the Batch job that runs it: pure, and checked against golden files."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from google.cloud import batch_v1
from google.protobuf.duration_pb2 import Duration

from .. import __version__, wire
from ..settings import Settings
from . import archive
from .call import Call

# The supervisor ends the electron at `time_limit`; this much later Batch ends the supervisor
GRACE_SECONDS = 60
# https://cloud.google.com/batch/docs/troubleshooting#reserved-exit-codes: preempted; the machine stopped reporting,
# was rebooted, was recreated. Nothing of the electron's own doing is among them.
RETRIED_EXIT_CODES = (50001, 50002, 50003, 50006)
# google.cloud.batch_v1.CreateJobRequest.job_id
_JOB_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")

LABEL_DISPATCH = "covalent-dispatch"
LABEL_NODE = "covalent-node"
LABEL_CALL = "covalent-call"
LABEL_VERSION = "covalent-version"
# On every job of this package and on no other: what a clean-up looks for
LABEL_OWNER = "covalent-plugin"
OWNER = "covalent-parallel"


@dataclass(frozen=True)
class Ticket:
    """What makes one submission of a call its own: an id, a key for its seals, and its folder in the bucket."""

    call_id: str
    key: bytes = field(repr=False)
    folder: str


def job_id(dispatch_id: str, node_id: int, own: str = "") -> str:
    """The job's id: always the same for the same node, legal whatever the dispatch id.

    `own` is the call's, where a job of another call holds that name already.
    """
    suffix = f"-{node_id}" + (f"r{own}" if own else "")
    name = f"covalent-{dispatch_id}{suffix}"
    if _JOB_ID.fullmatch(name):
        return name
    digest = hashlib.sha256(f"{dispatch_id}/{node_id}".encode()).hexdigest()[:16]
    readable = re.sub(r"[^a-z0-9]+", "-", dispatch_id.lower())[:20].strip("-")
    return "-".join(filter(None, ("covalent", readable, f"{digest}{own}")))


def own_name(call_id: str, jobs: int) -> str:
    """What makes the id of a call's job its own; `jobs` counts the call's jobs, from 1."""
    return call_id[:8] + ("" if jobs == 1 else str(jobs))


def label(text: str) -> str:
    """Text as a label's value: lowercase letters, digits, '_' and '-', at most 63."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower())[:63]


def job(settings: Settings, call: Call, ticket: Ticket) -> batch_v1.Job:
    """The job that runs `call` as these settings ask."""
    labels = {
        **settings.labels,
        LABEL_DISPATCH: label(call.dispatch_id),
        LABEL_NODE: label(str(call.node_id)),
        LABEL_CALL: ticket.call_id,
        LABEL_VERSION: label(__version__),
        LABEL_OWNER: OWNER,
    }
    return batch_v1.Job(
        task_groups=[batch_v1.TaskGroup(task_count=1, parallelism=1, task_spec=_task(settings, call, ticket))],
        allocation_policy=_machines(settings, labels),
        labels=labels,
        logs_policy=batch_v1.LogsPolicy(destination=batch_v1.LogsPolicy.Destination.CLOUD_LOGGING),
    )


def image(settings: Settings, call: Call) -> str:
    """The image asked for, or the stock one with the client's Python."""
    return settings.container_image_uri or f"python:{wire.python_minor(call.python)}-slim"


def _task(settings: Settings, call: Call, ticket: Ticket) -> batch_v1.TaskSpec:
    container = batch_v1.Runnable.Container(
        image_uri=image(settings, call),
        # Named even where the image's own would do: it has been seen dropped on GPU machines
        entrypoint="python3",
        commands=archive.command(),
    )
    task = batch_v1.TaskSpec(
        runnables=[batch_v1.Runnable(container=container)],
        compute_resource=batch_v1.ComputeResource(
            cpu_milli=max(1, round(settings.vcpus * 1000)), memory_mib=settings.memory
        ),
        max_run_duration=_duration(settings.time_limit + GRACE_SECONDS),
        max_retry_count=settings.retries,
        environment=batch_v1.Environment(variables={**settings.environment, **_variables(settings, ticket)}),
    )
    if settings.retries:
        task.lifecycle_policies = [
            batch_v1.LifecyclePolicy(
                action=batch_v1.LifecyclePolicy.Action.RETRY_TASK,
                action_condition=batch_v1.LifecyclePolicy.ActionCondition(exit_codes=retried_exit_codes(settings)),
            )
        ]
    return task


def retried_exit_codes(settings: Settings) -> tuple[int, ...]:
    """What Batch tries again: lost machines, and the electron's own failures only if that was asked for."""
    return (*RETRIED_EXIT_CODES, wire.EXIT_RETRY_EXCEPTION) if settings.retry_exceptions else RETRIED_EXIT_CODES


def _variables(settings: Settings, ticket: Ticket) -> dict[str, str]:
    variables = {
        wire.ENV_BUCKET: settings.bucket_name,
        wire.ENV_FOLDER: ticket.folder,
        wire.ENV_CALL_ID: ticket.call_id,
        wire.ENV_KEY: ticket.key.hex(),
        wire.ENV_TIME_LIMIT: repr(float(settings.time_limit)),
        wire.ENV_RUNNER: archive.runner_archive().object_name,
    }
    if settings.retry_exceptions:
        variables[wire.ENV_LAST_ATTEMPT] = str(settings.retries)
    if settings.keep_objects:
        variables[wire.ENV_KEEP_OBJECTS] = "1"
    return variables


def _machines(settings: Settings, labels: dict[str, str]) -> batch_v1.AllocationPolicy:
    models = batch_v1.AllocationPolicy.ProvisioningModel
    policy = batch_v1.AllocationPolicy.InstancePolicy(
        machine_type=settings.machine_type,
        provisioning_model=models.SPOT if settings.spot else models.STANDARD,
        boot_disk=batch_v1.AllocationPolicy.Disk(size_gb=settings.boot_disk_gb),
    )
    if settings.gpu_type:
        policy.accelerators = [
            batch_v1.AllocationPolicy.Accelerator(type_=settings.gpu_type, count=settings.accelerators)
        ]
    machines = batch_v1.AllocationPolicy(
        location=batch_v1.AllocationPolicy.LocationPolicy(allowed_locations=[f"regions/{settings.region}"]),
        instances=[
            batch_v1.AllocationPolicy.InstancePolicyOrTemplate(
                policy=policy, install_gpu_drivers=settings.needs_gpu_drivers
            )
        ],
        labels=labels,
    )
    if settings.service_account_email:
        machines.service_account = batch_v1.ServiceAccount(email=settings.service_account_email)
    return machines


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=round((seconds - whole) * 1e9))
