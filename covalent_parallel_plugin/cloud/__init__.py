"""The only place that talks to Google: one shared client per service, and per event loop where the service is async.

What goes in and out is bytes, text, files and the frozen dataclasses of these modules (and `batch_v1.Job`, which
`batch.job_definition` builds); what goes wrong is raised as this package's errors. With the `*_EMULATOR_HOST` variables
unset it is Google that is spoken to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .interfaces import Bucket, JobService, TaskLogs


@dataclass(frozen=True)
class Services:
    """What one call needs of Google."""

    batch: JobService
    objects: Bucket
    logs: TaskLogs


def shared_services(project_id: str, bucket_name: str) -> Services:
    """The clients for the running event loop, made on first use and kept."""
    # Here, so that a module that only names `Services` does not load Google's clients
    from .batch import BatchApi
    from .logging import LogReader
    from .storage import ObjectStore

    return Services(BatchApi.shared(), ObjectStore.shared(project_id, bucket_name), LogReader.shared(project_id))
