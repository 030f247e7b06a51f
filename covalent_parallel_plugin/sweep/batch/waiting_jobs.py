"""The jobs of a sweep that no run waits for: looked at, and ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ...batch.job_names import LABEL_SWEEP, LABEL_SWEEP_ID, label_value
from ...cloud import shared_services
from ...cloud.batch import JobStatus, TaskStatus
from ...cloud.interfaces import JobService
from ...settings import Settings

T = TypeVar("T")

# A machine that boots cannot be stopped before it has
CANCEL_SECONDS = 600.0
CANCEL_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class WaitingJob:
    """A job by its full name, and what Batch reports of it: None if it knows no such job."""

    name: str
    status: JobStatus | None

    @property
    def may_run(self) -> bool:
        """Whether something of it may still run."""
        return self.status is not None and not self.status.is_terminal

    def __str__(self) -> str:
        if self.status is None:
            return f"{self.name}: gone: it was deleted, or ended long ago"
        counts = ", ".join(f"{count} {state.lower()}" for state, count in self.status.counts.items() if count)
        return f"{self.name}: {self.status.state.lower().replace('_', ' ')}" + (f": {counts}" if counts else "")


def look_at_jobs(settings: Settings, names: Iterable[str]) -> list[WaitingJob]:
    """Ask Batch for jobs. Raises CloudError: it refused, or could not be reached."""

    async def fetch(batch: JobService) -> list[WaitingJob]:
        wanted = list(names)
        found = await asyncio.gather(*map(batch.get, wanted))
        return [WaitingJob(name, status) for name, status in zip(wanted, found, strict=True)]

    return _query(settings, fetch)


def look_at_task(settings: Settings, job: str, index: int) -> tuple[JobStatus | None, TaskStatus | None]:
    """Ask Batch for a job and one of its tasks; None for what it does not know. Raises CloudError."""

    async def fetch(batch: JobService) -> tuple[JobStatus | None, TaskStatus | None]:
        return await batch.get(job), await batch.task(job, index)

    return _query(settings, fetch)


def cancel_jobs(settings: Settings, names: Sequence[str]) -> list[WaitingJob]:
    """Cancel jobs, and wait until they have ended; return them as they are then, after CANCEL_SECONDS at the latest.

    Raises:
        CloudError: Batch refused, or could not be reached.
    """

    async def cancel(batch: JobService) -> list[WaitingJob]:
        await asyncio.gather(*map(batch.cancel, names))
        until = time.monotonic() + CANCEL_SECONDS
        while True:
            jobs = [WaitingJob(name, await batch.get(name)) for name in names]
            if not any(job.may_run for job in jobs) or time.monotonic() > until:
                return jobs
            await asyncio.sleep(CANCEL_PAUSE_SECONDS)

    return _query(settings, cancel)


def running_jobs(settings: Settings, name: str, sweep_id: str) -> list[str]:
    """Name the jobs of a sweep that may still run. Raises CloudError: Batch refused, or could not be reached."""
    wanted = {LABEL_SWEEP: label_value(name), LABEL_SWEEP_ID: label_value(sweep_id)}
    labels = " AND ".join(f'labels."{label}"="{value}"' for label, value in wanted.items())

    async def running(batch: JobService) -> list[str]:
        jobs = await batch.list(settings.parent, labels)
        is_ours = [all(job.labels.get(label) == value for label, value in wanted.items()) for job in jobs]
        return [job.name for job, ours in zip(jobs, is_ours, strict=True) if ours and not job.is_terminal]

    return _query(settings, running)


def _query(settings: Settings, question: Callable[[JobService], Awaitable[T]]) -> T:
    async def ask() -> T:
        batch = shared_services(settings.project_id, settings.bucket_name).batch
        try:
            return await question(batch)
        finally:
            await batch.close()

    return asyncio.run(ask())
