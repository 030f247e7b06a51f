"""The Batch job of one round of a sweep: pure, and checked against golden files."""

from __future__ import annotations

import shlex
import sys

from google.cloud import batch_v1

from ...batch import runner_archive
from ...batch.job_definition import (
    GRACE_SECONDS,
    RETRIED_EXIT_CODES,
    assemble_job,
    check_size,
    job_container,
    secret_variables,
    task_spec,
    tasks_per_node,
)
from ...batch.job_names import LABEL_CALL, LABEL_SWEEP, LABEL_SWEEP_ID, label_value
from ...protocol import environment
from ...protocol.envelope import python_minor
from ...protocol.exit_codes import EXIT_RETRY_EXCEPTION
from ...protocol.sweep_identity import SweepIdentity
from ...protocol.sweep_machine import (
    LOADER,
    SHARED_FOLDER,
    SHARED_VOLUME,
    SUPERVISOR,
    TASKS_FOLDER,
    TASKS_VOLUME,
)
from ...settings import Settings
from ...settings.container_rules import stock_image
from ...settings.validators import MAX_TIME_LIMIT_SECONDS
from ..sweep_file import SweepFile

_NAME_LENGTH = 28
# What a machine may take to be prepared, which is the first task's time: its files and inputs are fetched then
PREPARE_SECONDS = 600
_TOO_LARGE = "pass large values in files or inputs, which travel through the bucket"


def job_id(name: str, sweep_id: str, round: int) -> str:
    """Return the id of the job of a sweep's round: always the same, and no other sweep's."""
    return f"covalent-sweep-{name[:_NAME_LENGTH].rstrip('-')}-{sweep_id}-{round}"


def helper_image() -> str:
    """Return the image that prepares a machine: the stock one of this Python's version."""
    return stock_image(python_minor(sys.version))


def sweep_job(
    file: SweepFile, settings: Settings, image_uri: str, identity: SweepIdentity, round: int, tasks: int, bundle: int
) -> batch_v1.Job:
    """Return the job of a round.

    Args:
        settings: the file's, or these on other machines.
        tasks: how many of the sweep's tasks the round has; `bundle` of them, one after the other, are one of Batch's.

    Raises:
        SettingsError: it is larger than Batch takes.
    """
    labels = {
        LABEL_SWEEP: label_value(file.name),
        LABEL_SWEEP_ID: label_value(identity.sweep_id),
        LABEL_CALL: label_value(identity.sweep_id),
    }
    run_seconds = min(PREPARE_SECONDS + settings.time_limit * bundle, MAX_TIME_LIMIT_SECONDS) + GRACE_SECONDS
    retried = (*RETRIED_EXIT_CODES, EXIT_RETRY_EXCEPTION) if file.retry_on else RETRIED_EXIT_CODES
    spec = task_spec(settings, [_prepare(), _program(file, settings, image_uri)], run_seconds, retried)
    spec.environment.variables.update(_variables(settings, identity, round))
    spec.environment.secret_variables.update(secret_variables(settings, file.secrets))
    count = -(-tasks // bundle)
    per_node = file.tasks_per_machine or tasks_per_node(settings)
    made = assemble_job(settings, spec, count, settings.max_parallel, per_node)
    made.labels.update(labels)
    made.allocation_policy.labels.update(labels)
    check_size(made, settings, _TOO_LARGE)
    return made


def _prepare() -> batch_v1.Runnable:
    """Return what makes a machine ready for the supervisor, once for all of its tasks."""
    return batch_v1.Runnable(
        container=batch_v1.Runnable.Container(
            image_uri=helper_image(),
            entrypoint="python3",
            commands=runner_archive.command(for_sweeps=True),
            volumes=[f"{SHARED_VOLUME}:{SHARED_FOLDER}", f"{TASKS_VOLUME}:{TASKS_FOLDER}"],
        ),
        # Where the bootstrap keeps the runner's archive: so it is fetched once for a machine
        environment=batch_v1.Environment(variables=dict.fromkeys(("TMPDIR", environment.ENV_PLACE), SHARED_FOLDER)),
    )


def _program(file: SweepFile, settings: Settings, image_uri: str) -> batch_v1.Runnable:
    """Return the sweep's image, whose first process is the supervisor; it starts the programs."""
    container = job_container(settings, image_uri, LOADER, SUPERVISOR)
    container.volumes.extend([f"{SHARED_VOLUME}:{SHARED_FOLDER}:ro", f"{TASKS_VOLUME}:{TASKS_FOLDER}"])
    own = [
        *([settings.container_options] if settings.container_options else []),
        *([f"--workdir {shlex.quote(file.workdir)}"] if file.workdir else []),
        # Only root may link a fixed path to the task's folder; then it becomes the image's user
        *(["--user 0"] if file.outputs else []),
    ]
    container.options = " ".join(own)
    return batch_v1.Runnable(container=container)


def _variables(settings: Settings, identity: SweepIdentity, round: int) -> dict[str, str]:
    live = {} if settings.live_output else {environment.ENV_LIVE: "0"}
    return {
        **live,
        environment.ENV_BUCKET: settings.bucket_name,
        environment.ENV_FOLDER: identity.folder,
        environment.ENV_CALL_ID: identity.sweep_id,
        environment.ENV_KEY: identity.key.hex(),
        environment.ENV_ROUND: str(round),
        environment.ENV_RUNNER: runner_archive.runner_archive(for_sweeps=True).object_name,
        # Those of the image would load its libraries into the supervisor, which gives them back to the program
        "LD_PRELOAD": "",
        "LD_AUDIT": "",
    }
