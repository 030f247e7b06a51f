"""Waiting for the end of a job, looking at it every `poll_freq` seconds; two clocks, for the queue and for the run."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..cloud.batch import JobStatus
from ..errors import UnavailableError
from .error_hints import find_last_hint

logger = logging.getLogger(__name__)

# A job that was made may not be found for minutes (seen by several systems that submit to Batch)
UNSEEN_SECONDS = 300.0
# A job that was there is asked for so long before it counts as gone: one answer may come from a place that lags behind
GONE_SECONDS = 4.0
GONE_PAUSE_SECONDS = 1.0
# How long a job that somebody else cancels or deletes is watched on; its outcome may still come
ENDING_SECONDS = 3.0
# What Batch needs beyond an attempt's own time: another machine, its boot, the image
SLACK_PER_ATTEMPT_SECONDS = 1800.0

ENDING_STATES = frozenset({"CANCELLATION_IN_PROGRESS", "DELETION_IN_PROGRESS"})

StatusSource = Callable[[float], Awaitable[JobStatus | None]]
Clock = Callable[[], float]

# Why the watch ended, where it was not the job's own end
GONE = "gone"
QUEUE_LIMIT = "queue_limit"
OVERDUE = "overdue"


@dataclass(frozen=True)
class WatchLimits:
    """How long a job may wait for its first machine, how long its tasks may run, all attempts together, and how long
    Batch may be out of reach.
    """

    queue_seconds: float
    run_seconds: float
    outage_seconds: float = 1800.0


@dataclass(frozen=True)
class WatchResult:
    """A job's last status, and why it is watched no longer: "" for its end, else GONE, QUEUE_LIMIT or OVERDUE."""

    job: JobStatus | None
    reason: str = ""


async def wait_for_end(
    look: StatusSource, name: str, poll_seconds: float, limits: WatchLimits, clock: Clock
) -> WatchResult:
    """Look at a job until it has ended, is gone, or has outlived a limit.

    Args:
        look: gives the job's status so many seconds later, or None where there is no such job; it may raise to end
            the watch.
        name: the job's, for messages.

    Raises:
        UnavailableError: Batch was out of reach for too long.
    """
    started = clock()
    ending_since = running_since = missing_since = troubled_since = None
    job: JobStatus | None = None
    told = ""
    while True:
        try:
            status = await look(poll_seconds if missing_since is None else min(poll_seconds, GONE_PAUSE_SECONDS))
        except UnavailableError as error:
            # From the first look that failed on: before it there may have been a long pause, and no hint.
            now = clock()
            if troubled_since is not None and now - troubled_since > limits.outage_seconds:
                raise
            if troubled_since is None:
                troubled_since = now
                logger.warning(
                    "%s; the job may well run on, so it is asked for again for another %.0f s",
                    str(error).split("\n", 1)[0],
                    limits.outage_seconds,
                )
            continue
        troubled_since = None
        now = clock()
        if status is None:
            missing_since = now if missing_since is None and job is not None else missing_since
            if missing_since is not None and now - missing_since >= GONE_SECONDS:
                return WatchResult(job, GONE)
            if job is None and now - started > UNSEEN_SECONDS:
                return WatchResult(job, GONE)
            continue
        job = status
        missing_since = None
        if job.is_terminal:
            return WatchResult(job)
        if job.state in ENDING_STATES:
            ending_since = now if ending_since is None else ending_since
            if now - ending_since >= ENDING_SECONDS:
                return WatchResult(job)
        elif job.state == "RUNNING" or running_since is not None:
            # A job that has run may wait for another machine: that is part of its run, which has an end of its own.
            running_since = now if running_since is None else running_since
            if now - running_since > limits.run_seconds:
                return WatchResult(job, OVERDUE)
        else:
            told = _log_hint(job, told)
            if now - started > limits.queue_seconds:
                return WatchResult(job, QUEUE_LIMIT)


def _log_hint(job: JobStatus, told: str) -> str:
    """Log, once for each kind, why a job waits; returns the kind told last."""
    found = find_last_hint(event.description for event in job.events)
    if found is None or found[0].kind == told:
        return told
    hint, text = found
    logger.warning("job %s waits: %s; %s. Batch says: %s", job.name, hint.meaning, hint.remedy, text)
    return hint.kind
