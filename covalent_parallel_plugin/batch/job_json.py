"""A Job as text, with placeholders for what is made when it is submitted."""

from __future__ import annotations

from google.cloud import batch_v1

from ..errors import ParallelError
from .job_names import LABEL_SERVER


class UnreadableJobError(ParallelError):
    """The Job does not survive its own JSON: a mistake in this package."""


def to_json(job: batch_v1.Job) -> str:
    """Return the Job in protobuf's JSON mapping, as `gcloud batch jobs submit --config` takes it.

    Raises:
        UnreadableJobError: a strict reader makes another Job of it.
    """
    text = str(
        batch_v1.Job.to_json(
            job, use_integers_for_enums=False, always_print_fields_with_no_presence=False, sort_keys=True, indent=2
        )
    )
    if batch_v1.Job.from_json(text, ignore_unknown_fields=False) != job:
        raise UnreadableJobError("the Job changes when it is written as JSON and read again; please report it")
    return text


def fill_placeholders(job: batch_v1.Job, key: bytes, placeholder: str) -> None:
    """Put a placeholder where a Job would identify this process, and in place of this key."""
    for labels in (job.labels, job.allocation_policy.labels):
        labels[LABEL_SERVER] = placeholder
    variables = job.task_groups[0].task_spec.environment.variables
    for name, value in variables.items():
        if value == key.hex():
            variables[name] = placeholder
