"""The job that a run would submit, as far as it is known before: for `plan`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ...batch.job_json import fill_placeholders, to_json
from ...protocol.sweep_identity import SweepIdentity
from ...protocol.sweep_objects import sweep_folder
from ..plan import Plan
from ..sweep_file import SweepFile
from ..tasks import PinnedImage
from .setup import RoundShape
from .sweep_job import sweep_job

if TYPE_CHECKING:
    from google.cloud import batch_v1

# Stands for the sweep's id and key: legal in a label and in an object's name
PLACEHOLDER = "made-when-it-runs"


def planned_job(file: SweepFile, image: PinnedImage | None, plan: Plan) -> batch_v1.Job:
    """Return the job of the tasks that would run, else of all of them.

    Args:
        image: as the last run found it.

    Raises:
        SettingsError: it is larger than Batch takes.
    """
    shape = RoundShape.of(file, 0, plan.to_run or plan.total)
    identity = SweepIdentity(PLACEHOLDER, bytes(32), sweep_folder(file.name, PLACEHOLDER))
    uri = file.image if image is None or image.reference.startswith("sha256:") else image.reference
    job = sweep_job(file, file.settings, uri, identity, shape.round, shape.total, shape.bundle)
    fill_placeholders(job, identity.key, PLACEHOLDER)
    return job


def job_document(job: batch_v1.Job) -> dict[str, Any]:
    """Return the job as its JSON has it."""
    made: dict[str, Any] = json.loads(to_json(job))
    return made


def machines_of(job: batch_v1.Job) -> int:
    """Return how many machines run a job's tasks at most at a time."""
    group = job.task_groups[0]
    return int(-(-min(group.parallelism, group.task_count) // group.task_count_per_node))
