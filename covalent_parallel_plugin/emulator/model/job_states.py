"""Define states, status events and the retry rule, with the numbers of google.cloud.batch_v1."""

from __future__ import annotations

import enum
from dataclasses import dataclass

TIME_LIMIT_EXIT_CODE = 50005
"""A task or runnable ran past its maximum time (Batch's table of reserved exit codes)."""


class JobState(enum.IntEnum):
    """`JobStatus.State` of google.cloud.batch.v1."""

    QUEUED = 1
    SCHEDULED = 2
    RUNNING = 3
    SUCCEEDED = 4
    FAILED = 5
    DELETION_IN_PROGRESS = 6
    CANCELLATION_IN_PROGRESS = 7
    CANCELLED = 8


class TaskState(enum.IntEnum):
    """`TaskStatus.State` of google.cloud.batch.v1."""

    PENDING = 1
    ASSIGNED = 2
    RUNNING = 3
    FAILED = 4
    SUCCEEDED = 5
    UNEXECUTED = 6


ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
STOPPING = frozenset({JobState.CANCELLATION_IN_PROGRESS, JobState.DELETION_IN_PROGRESS})


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """One entry of a job's or task's `status_events`; `exit_code` only where a task's attempt failed.

    `has_failed` is what a task of this package reports of its electron, None for every other event.
    """

    time: float
    text: str
    task_state: TaskState | None = None
    exit_code: int | None = None
    kind: str = "STATUS_CHANGED"
    has_failed: bool | None = None


@dataclass(frozen=True)
class RetryRule:
    """When a failed attempt is tried again.

    `retried` holds the exit codes of a RETRY_TASK policy, `failed` those of a FAIL_TASK policy, each None without
    one. With neither every non-zero exit code is retried; all share `max_retries` (0-10).
    """

    max_retries: int = 0
    retried: frozenset[int] | None = None
    failed: frozenset[int] | None = None

    def allows(self, exit_code: int, attempt: int) -> bool:
        """Return whether an attempt (0-based) that ended with this code is followed by another."""
        if attempt >= self.max_retries:
            return False
        if self.retried is not None:
            return exit_code in self.retried
        return self.failed is None or exit_code not in self.failed
