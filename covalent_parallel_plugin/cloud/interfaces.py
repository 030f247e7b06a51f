"""What the rest of the package asks of a batch service, a bucket and its logs: where another backend plugs in.

Each method raises CloudError for whatever goes wrong; BatchApi, ObjectStore and LogReader say the rest.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from google.cloud import batch_v1

from .batch import JobStatus, TaskStatus
from .storage import StoredObject, Target


class JobService(Protocol):
    """Runs jobs; for one event loop."""

    @property
    def outage_seconds(self) -> float:
        """How long it may be out of reach before a job that runs there is given up."""

    @property
    def refusal_seconds(self) -> float:
        """How long it may refuse to report such a job."""

    async def create(self, parent: str, job: batch_v1.Job, job_id: str, request_id: str) -> JobStatus:
        """Submit a job; AlreadyExistsError if the id is taken."""

    async def get(self, name: str, patience_seconds: float | None = None) -> JobStatus | None:
        """Return a job's status, None if there is no such job."""

    async def variables(self, name: str, patience_seconds: float | None = None) -> Mapping[str, str] | None:
        """Return the environment of a job's tasks, None if there is no such job."""

    async def task(self, job_name: str, index: int = 0, patience_seconds: float | None = None) -> TaskStatus | None:
        """Return a task's status, None if there is no such task."""

    async def tasks(self, job_name: str, patience_seconds: float | None = None) -> Sequence[TaskStatus]:
        """Return the status of each of a job's tasks that are listed; none if there is no such job."""

    async def list(self, parent: str, filter: str = "", patience_seconds: float | None = None) -> Sequence[JobStatus]:
        """Return the jobs under a project and region."""

    async def cancel(self, name: str, patience_seconds: float | None = None) -> bool:
        """Cancel a job; False if there is nothing to cancel."""

    async def close(self) -> None:
        """Close the connection."""


class Bucket(Protocol):
    """Keeps objects; blocking, thread-safe."""

    @property
    def bucket_name(self) -> str:
        """Its name."""

    @property
    def place(self) -> Hashable:
        """What distinguishes this bucket from all others."""

    def put(self, name: str, source: bytes | Sequence[bytes]) -> bool:
        """Write an object once; False if it is there already."""

    def put_file(self, name: str, path: Path) -> bool:
        """Write a file as an object once, a piece at a time; False if the object is there already. Raises OSError."""

    def get(self, name: str, into: Target) -> bool:
        """Copy an object; False if there is none."""

    def delete(self, name: str) -> bool:
        """Delete an object; False if there was none."""

    def names(self, prefix: str) -> list[str]:
        """Return the names that start with a prefix."""

    def list(self, prefix: str, *, start: str = "", with_metadata: bool = False) -> list[StoredObject]:
        """Return the objects whose names start with a prefix, from a name on, with their custom metadata if wanted."""

    def lifetime_days(self, name: str) -> int | None:
        """Return after how many days the bucket deletes such an object, None if it does not."""


class TaskLogs(Protocol):
    """Keeps what tasks wrote; blocking, thread-safe."""

    def last_lines(self, job_uid: str, count: int = 20, task_index: int | None = None) -> list[str]:
        """Return the last lines of a job's tasks, or of one of them, oldest first."""
