"""Waiting for the end of a job, looking at it every `poll_freq` seconds."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from ..cloud.batch import BatchApi, JobStatus
from ..errors import NoOutcomeError, UnavailableError

logger = logging.getLogger(__name__)

# A job that was made may not be found for minutes (seen by several systems that submit to Batch)
UNSEEN_SECONDS = 300.0
# While Batch cannot be reached the job may well run on
OUTAGE_SECONDS = 1800.0
# Batch's own bounds: two days in the queue, fourteen running
LONGEST_JOB_SECONDS = 16 * 24 * 3600.0

Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], float]


async def until_ended(batch: BatchApi, name: str, poll_seconds: float, sleep: Sleep, clock: Clock) -> JobStatus | None:
    """The job's last status, or None if it is gone from Batch.

    Args:
        sleep: waits for some seconds; it may raise to end the waiting.

    Raises:
        UnavailableError: Batch could not be asked for half an hour.
        NoOutcomeError: the job outlived Batch's own limits.
    """
    started = last_answer = clock()
    seen = is_troubled = False
    state = ""
    while clock() - started < LONGEST_JOB_SECONDS:
        await sleep(poll_seconds)
        try:
            status = await batch.get(name, patience_seconds=poll_seconds)
        except UnavailableError as error:
            if clock() - last_answer > OUTAGE_SECONDS:
                raise
            if not is_troubled:
                logger.warning("%s; the job may well run on, so it is asked again", error)
            is_troubled = True
            continue
        is_troubled = False
        last_answer = clock()
        if status is None:
            if seen or clock() - started > UNSEEN_SECONDS:
                return None
            continue
        seen = True
        if status.state != state:
            state = status.state
            logger.debug("job %s is %s", name, state)
        if status.is_terminal:
            return status
    raise NoOutcomeError(f"the job {name} has not ended within {LONGEST_JOB_SECONDS / 86400:.0f} days")
