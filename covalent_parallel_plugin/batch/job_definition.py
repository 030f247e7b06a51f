"""The Batch job that runs tasks of this package's runner: pure, and checked against golden files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from google.cloud import batch_v1
from google.protobuf.duration_pb2 import Duration

from .. import __version__
from ..errors import SettingsError
from ..protocol import environment
from ..protocol.envelope import python_minor
from ..protocol.exit_codes import EXIT_RETRY_EXCEPTION
from ..protocol.identity import CallIdentity
from ..settings import Settings, container_rules, disk_types, validators
from ..settings.container_rules import stock_image
from ..settings.machine_sizes import tasks_per_machine
from . import runner_archive
from .job_names import LABEL_CALL, LABEL_OWNER, LABEL_SERVER, LABEL_VERSION, OWNER, SERVER, JobOwner, label_value
from .machine_policy import machine_policy

# https://cloud.google.com/batch/docs/troubleshooting#reserved-exit-codes: preempted; the machine stopped reporting,
# was rebooted, was recreated. Nothing of the electron's own doing is among them.
RETRIED_EXIT_CODES = (50001, 50002, 50003, 50006)
GRACE_SECONDS = validators.GRACE_SECONDS
# Docker gives a container 10 seconds between SIGTERM and SIGKILL (`docker stop`, and the daemon's end when the machine
# shuts down), and Compute Engine gives a Spot VM 30 in all:
# https://docs.docker.com/reference/cli/docker/container/run/ and https://cloud.google.com/compute/docs/instances/spot
STOP_TIMEOUT_SECONDS = 30

# https://cloud.google.com/batch/quotas: "Size of the job definition", 1 MB
MAX_JOB_BYTES = 1_000_000
# Below this in its binary form no job is larger than that in JSON, the form that Batch may have in mind: a control
# character takes six bytes there, and the rest of a job some thousands
SURELY_SMALL_BYTES = 150_000
MOST_TEMPLATES = 256
LOCAL_SSD_PATH = f"{container_rules.MOUNT_ROOT}/{disk_types.LOCAL_SSD}"
# Where the tasks that share a machine keep what `requirements` installed: a volume of the machine's Docker
PACKAGES_VOLUME = "covalent-parallel-packages"
# https://cloud.google.com/storage/docs/gcsfuse-cli: folders without objects of their own are seen; not only root may
# look (containers of other users); whoever may write may write everywhere
GCSFUSE_OPTIONS = ("--implicit-dirs", "-o allow_other")
GCSFUSE_READ_ONLY = ("-o ro",)
GCSFUSE_WRITABLE = ("--file-mode=666", "--dir-mode=777")


def job(
    settings: Settings,
    owner: JobOwner,
    image_uri: str,
    tasks: int = 1,
    variables: Mapping[str, str] | None = None,
) -> batch_v1.Job:
    """Return the owner's job as these settings ask, in this many tasks; `variables` are for the runner.

    Raises:
        SettingsError: it is larger than Batch takes.
    """
    labels = {**owner.labels, LABEL_CALL: owner.identity.call_id}
    made = batch_v1.Job()
    raw = batch_v1.Job.pb(made)
    raw.CopyFrom(_job_template(settings, image_uri, tasks))
    raw.labels.update(labels)
    raw.allocation_policy.labels.update(labels)
    raw.task_groups[0].task_spec.environment.variables.update(
        {**_variables(settings, owner.identity), **(variables or {})}
    )
    check_size(made, settings, "pass large values as the electron's arguments, which travel through the bucket")
    return made


@lru_cache(MOST_TEMPLATES)
def _job_template(settings: Settings, image_uri: str, tasks: int) -> Any:
    """The job without what is a single call's, in protobuf's form: half a millisecond's work."""
    return batch_v1.Job.pb(_build_template(settings, image_uri, tasks))


def _build_template(settings: Settings, image_uri: str, tasks: int) -> batch_v1.Job:
    container = job_container(settings, image_uri, "python3", runner_archive.command())
    if settings.requirements and tasks > 1:
        container.volumes.append(f"{PACKAGES_VOLUME}:{environment.PACKAGES_FOLDER}")
    runnables = [batch_v1.Runnable(container=container)]
    spec = task_spec(settings, runnables, run_seconds(settings), retried_exit_codes(settings))
    return assemble_job(settings, spec, tasks, settings.max_parallel, tasks_per_node(settings))


def run_seconds(settings: Settings) -> float:
    """Return after how many seconds Batch ends an electron's task."""
    return min(settings.time_limit + settings.grace_seconds, validators.MAX_TIME_LIMIT_SECONDS + GRACE_SECONDS)


def assemble_job(
    settings: Settings, spec: batch_v1.TaskSpec, tasks: int, max_parallel: int, per_node: int
) -> batch_v1.Job:
    """Return a job of so many tasks, with the labels that all jobs have.

    `max_parallel` is how many of them run at a time at most, `per_node` how many of these on one machine.
    """
    labels = {
        **settings.labels,
        LABEL_VERSION: label_value(__version__),
        LABEL_OWNER: OWNER,
        LABEL_SERVER: SERVER,
    }
    group = batch_v1.TaskGroup(
        task_count=tasks,
        parallelism=min(tasks, max_parallel),
        task_count_per_node=per_node,
        task_spec=spec,
    )
    return batch_v1.Job(
        priority=settings.priority,
        task_groups=[group],
        allocation_policy=machine_policy(settings, labels),
        labels=labels,
        logs_policy=batch_v1.LogsPolicy(destination=batch_v1.LogsPolicy.Destination.CLOUD_LOGGING),
    )


def check_size(made: batch_v1.Job, settings: Settings, remedy: str) -> None:
    """Raise SettingsError if a job is larger than Batch takes; `remedy` says where large values go instead."""
    if batch_v1.Job.pb(made).ByteSize() <= SURELY_SMALL_BYTES:
        return
    size = len(batch_v1.Job.to_json(made, indent=None))
    if size > MAX_JOB_BYTES:
        parts = {name: len(str(getattr(settings, name))) for name in ("environment", "secrets", "volumes", "labels")}
        parts["container_options"] = len(settings.container_options)
        largest = max(parts, key=lambda name: parts[name])
        raise SettingsError(
            [
                f"the job's definition would have {size:,} bytes, and Batch takes {MAX_JOB_BYTES:,}; {largest} alone"
                f" has {parts[largest]:,}: {remedy}"
            ]
        )


def image(settings: Settings, python: str) -> str:
    """Return the image asked for, or the stock one with this version of Python."""
    return settings.container_image_uri or stock_image(python_minor(python))


def tasks_per_node(settings: Settings) -> int:
    """Return how many tasks fit a machine at a time.

    Always said: left out it is one by a Batch engineer's word, and computed by the type's docstring.

    https://github.com/googleapis/googleapis/pull/734
    """
    if not settings.machine_type or settings.needs_gpu_drivers:
        return 1
    return tasks_per_machine(settings.machine_type, _cpu_milli(settings), settings.memory)


def _cpu_milli(settings: Settings) -> int:
    return max(1, round(settings.vcpus * 1000))


def task_spec(
    settings: Settings,
    runnables: Sequence[batch_v1.Runnable],
    run_seconds: float,
    retried: Sequence[int],
) -> batch_v1.TaskSpec:
    """Return a task of these runnables, one after the other, that may run so long and is retried at these codes."""
    task = batch_v1.TaskSpec(
        runnables=runnables,
        compute_resource=batch_v1.ComputeResource(cpu_milli=_cpu_milli(settings), memory_mib=settings.memory),
        max_run_duration=_duration(run_seconds),
        max_retry_count=settings.retries,
        environment=batch_v1.Environment(
            variables=settings.environment, secret_variables=secret_variables(settings, settings.secrets)
        ),
        volumes=_volumes(settings),
    )
    if settings.retries:
        task.lifecycle_policies = [
            batch_v1.LifecyclePolicy(
                action=batch_v1.LifecyclePolicy.Action.RETRY_TASK,
                action_condition=batch_v1.LifecyclePolicy.ActionCondition(exit_codes=retried),
            )
        ]
    return task


def secret_variables(settings: Settings, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return what a job takes for variables whose values are secrets, by the secrets' names."""
    return {
        variable: container_rules.secret_version(secret, settings.project_id) for variable, secret in secrets.items()
    }


def job_container(
    settings: Settings, image_uri: str, entrypoint: str, commands: Sequence[str]
) -> batch_v1.Runnable.Container:
    """Return a container of an image with the volumes, options and registry that the settings name.

    `entrypoint` is the program; it is always said, since an image's own has been seen dropped on GPU machines.
    """
    # Named one by one: left to itself, Batch would mount all of the task's volumes to be written to.
    volumes = [
        f"{volume.mount_path}:{volume.mount_path}:{'rw' if volume.is_writable else 'ro'}"
        for volume in settings.mounted_volumes
    ]
    if settings.local_ssd_gb:
        volumes.append(f"{LOCAL_SSD_PATH}:{LOCAL_SSD_PATH}:rw")
    container = batch_v1.Runnable.Container(
        image_uri=image_uri,
        entrypoint=entrypoint,
        commands=commands,
        volumes=volumes,
        # The last one counts: the user's own
        options=f"--stop-timeout={STOP_TIMEOUT_SECONDS} {settings.container_options}".strip(),
    )
    if settings.registry_username:
        container.username = settings.registry_username
        container.password = container_rules.secret_version(settings.registry_password, settings.project_id)
    return container


def _volumes(settings: Settings) -> list[batch_v1.Volume]:
    volumes = []
    for volume in settings.mounted_volumes:
        if volume.kind == "gs":
            modes = GCSFUSE_WRITABLE if volume.is_writable else GCSFUSE_READ_ONLY
            made = batch_v1.Volume(
                gcs=batch_v1.GCS(remote_path="/".join(filter(None, (volume.host, volume.path)))),
                mount_options=[*GCSFUSE_OPTIONS, *modes],
            )
        else:
            made = batch_v1.Volume(
                nfs=batch_v1.NFS(server=volume.host, remote_path=volume.path),
                mount_options=[] if volume.is_writable else ["ro"],
            )
        made.mount_path = volume.mount_path
        volumes.append(made)
    if settings.local_ssd_gb:
        volumes.append(batch_v1.Volume(device_name=disk_types.LOCAL_SSD, mount_path=LOCAL_SSD_PATH))
    return volumes


def retried_exit_codes(settings: Settings) -> tuple[int, ...]:
    """What Batch tries again: lost machines, and the electron's own failures only if that was asked for."""
    return (*RETRIED_EXIT_CODES, EXIT_RETRY_EXCEPTION) if settings.retry_exceptions else RETRIED_EXIT_CODES


def _variables(settings: Settings, identity: CallIdentity) -> dict[str, str]:
    variables = {
        environment.ENV_BUCKET: settings.bucket_name,
        environment.ENV_FOLDER: identity.folder,
        environment.ENV_CALL_ID: identity.call_id,
        environment.ENV_KEY: identity.key.hex(),
        environment.ENV_TIME_LIMIT: repr(float(settings.time_limit)),
        environment.ENV_RUNNER: runner_archive.runner_archive().object_name,
    }
    if settings.retry_exceptions:
        variables[environment.ENV_LAST_ATTEMPT] = str(settings.retries)
    if settings.keep_objects:
        variables[environment.ENV_KEEP_OBJECTS] = "1"
    if not settings.live_output:
        variables[environment.ENV_LIVE] = "0"
    if settings.checkpoint:
        variables[environment.ENV_CHECKPOINT] = "1"
    return variables


def _duration(seconds: float) -> Duration:
    whole, nanos = divmod(round(seconds * 1e9), 10**9)
    return Duration(seconds=whole, nanos=nanos)
