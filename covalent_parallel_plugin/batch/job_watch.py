"""Waiting for the end of a job, looking at it every `poll_freq` seconds; two clocks, for the queue and for the run."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..errors import CloudError, UnavailableError
from .error_hints import find_last_hint
from .trouble import Trouble

if TYPE_CHECKING:
    from ..cloud.batch import JobStatus

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
# While Batch does not report, the bucket is asked so often: what is delivered is the end, whatever Batch would say
DELIVERY_SECONDS = 60.0

ENDING_STATES = frozenset({"CANCELLATION_IN_PROGRESS", "DELETION_IN_PROGRESS"})

StatusSource: TypeAlias = "Callable[[float], Awaitable[JobStatus | None]]"
Clock = Callable[[], float]

# Why the watch ended, where it was not the job's own end
GONE = "gone"
QUEUE_LIMIT = "queue_limit"
OVERDUE = "overdue"
DELIVERED = "delivered"
LOST = "lost"
OVER_BUDGET = "over_budget"


@dataclass(frozen=True)
class WatchLimits:
    """How long a job may wait for its first machine, how long its tasks may run, all attempts together, how long
    Batch may be out of reach, and how long it may refuse to report the job.
    """

    queue_seconds: float
    run_seconds: float
    outage_seconds: float = 1800.0
    refusal_seconds: float = 300.0


@dataclass(frozen=True)
class KnownJob:
    """A job that was looked at before: how long ago it was made, and began to run; None if it did not yet."""

    status: JobStatus
    waited_seconds: float
    ran_seconds: float | None

    @classmethod
    def at(cls, now: float, status: JobStatus) -> KnownJob:
        """Return what a look at `now`, in seconds since 1970, shows."""
        began = status.entered_seconds("RUNNING")
        ran_seconds = None if began is None else max(now - began, 0.0)
        return cls(status, max(now - status.created_seconds, 0.0), ran_seconds)


class WatchEnded(Exception):
    """A look says that the job is to be watched no longer, and why.

    Attributes:
        result: the result of the watch.
    """

    def __init__(self, result: WatchResult) -> None:
        super().__init__(result.reason)
        self.result = result


@dataclass(frozen=True)
class WatchResult:
    """A job's last status, and why it is watched no longer.

    Attributes:
        reason: "" for its end, else GONE, QUEUE_LIMIT, OVERDUE, DELIVERED (all outcomes are in the bucket), LOST or
            OVER_BUDGET.
        error: the last answer, if the job was lost sight of.
        detail: what else there is to say of the reason.
    """

    job: JobStatus | None
    reason: str = ""
    error: Exception | None = None
    detail: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing of the job runs any more."""
        return self.reason == DELIVERED or (not self.reason and self.job is not None and self.job.is_terminal)


async def never_delivered() -> bool:
    """Report nothing about a delivery."""
    return False


async def wait_for_end(
    look: StatusSource,
    name: str,
    poll_seconds: float,
    limits: WatchLimits,
    clock: Clock,
    is_delivered: Callable[[], Awaitable[bool]] = never_delivered,
    known: KnownJob | None = None,
) -> WatchResult:
    """Look at a job until it has ended, is gone, is lost sight of, or has outlived a limit.

    Args:
        look: gives the job's status so many seconds later, or None where there is no such job; it may raise
            WatchEnded, or what else is to end the watch.
        name: the job's, for messages.
        is_delivered: whether all its tasks have delivered an outcome; asked for at times while Batch does not report.
        known: what is known of a job that an earlier process made, and whose clocks go on.
    """
    started = clock()
    ending_since = running_since = missing_since = None
    trouble = Trouble(limits.outage_seconds, limits.refusal_seconds, poll_seconds, clock)
    looked_for_delivery = started
    job: JobStatus | None = None
    if known is not None:
        job, started = known.status, started - known.waited_seconds
        running_since = None if known.ran_seconds is None else clock() - known.ran_seconds
    told = ""

    async def is_delivered_now() -> bool:
        nonlocal looked_for_delivery
        if clock() - looked_for_delivery < DELIVERY_SECONDS:
            return False
        looked_for_delivery = clock()
        return await is_delivered()

    while True:
        try:
            status = await look(
                trouble.next_pause() if missing_since is None else min(poll_seconds, GONE_PAUSE_SECONDS)
            )
        except WatchEnded as ended:
            return ended.result
        except CloudError as error:
            if trouble.since is None:
                logger.warning(
                    "%s; the job may well run on, so it is asked for again for another %.0f s",
                    str(error).split("\n", 1)[0],
                    limits.outage_seconds if isinstance(error, UnavailableError) else limits.refusal_seconds,
                )
                looked_for_delivery = clock()
            if not trouble.is_borne(error):
                return WatchResult(job, LOST, error)
            if await is_delivered_now():
                return WatchResult(job, DELIVERED)
            continue
        trouble.end()
        now = clock()
        if status is None:
            missing_since = now if missing_since is None and job is not None else missing_since
            if missing_since is not None and now - missing_since >= GONE_SECONDS:
                return WatchResult(job, GONE)
            if job is None and now - started > UNSEEN_SECONDS:
                return WatchResult(job, GONE)
            if job is None and await is_delivered_now():
                return WatchResult(job, DELIVERED)
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
    """Log, once for each kind, why a job waits; returns the kind logged last."""
    found = find_last_hint(event.description for event in job.events)
    if found is None or found[0].kind == told:
        return told
    hint, text = found
    logger.warning("job %s waits: %s; %s. Batch says: %s", job.name, hint.meaning, hint.remedy, text)
    return hint.kind
