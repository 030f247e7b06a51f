"""How attempts, items and calls ended, in the words of traces, which stay as they are.

docs/reference/trace.md explains them.
"""

from __future__ import annotations

from ..errors import (
    BudgetError,
    ElectronError,
    ImageError,
    JobCancelledError,
    JobError,
    MachineLostError,
    MapError,
    NoCapacityError,
    ParallelError,
    SchedulingError,
    SettingsError,
    TaskKilledError,
    TaskRefusedError,
    TimeLimitError,
)
from ..protocol.exit_codes import EXIT_RETRY_EXCEPTION, EXIT_TERMINATED
from .cancellation import CancelledCall
from .job_verdict import IMAGE_CODES, MACHINE_LOST_CODES

VALUE = "value"
EXCEPTION = "exception"
KILLED = "killed"
TIME_LIMIT = "time_limit"
PREEMPTED = "preempted"
LOST = "lost"
TERMINATED = "terminated"
REFUSED = "refused"
NOT_STARTED = "not_started"
CANCELLED = "cancelled"
STOPPED = "stopped"
FAILED = "failed"
NO_CAPACITY = "no_capacity"
BUDGET = "budget"
ENDS = (
    VALUE, EXCEPTION, KILLED, TIME_LIMIT, PREEMPTED, LOST, TERMINATED, REFUSED, NOT_STARTED, CANCELLED, STOPPED, FAILED,
    NO_CAPACITY, BUDGET,
)  # fmt: skip

SPOT_PREEMPTED, PAST_ITS_TIME = 50001, 50005
_OF_ERRORS: dict[type[BaseException], str] = {
    TaskKilledError: KILLED,
    TimeLimitError: TIME_LIMIT,
    TaskRefusedError: REFUSED,
    SettingsError: REFUSED,
    JobCancelledError: CANCELLED,
    CancelledCall: CANCELLED,
    MachineLostError: LOST,
    NoCapacityError: NO_CAPACITY,
    BudgetError: BUDGET,
    SchedulingError: NOT_STARTED,
    ImageError: NOT_STARTED,
    JobError: FAILED,
    ElectronError: EXCEPTION,
    MapError: EXCEPTION,
    ParallelError: FAILED,
    # As its server does, which cancels what it awaits, or this process
    Exception: EXCEPTION,
    BaseException: STOPPED,
}


def verdict_of(error: BaseException | None) -> str:
    """Return the verdict on a call: that of the error with which it ends, or that of a value."""
    return VALUE if error is None else next(_OF_ERRORS[kind] for kind in type(error).__mro__ if kind in _OF_ERRORS)


def end_of_code(exit_code: int) -> str:
    """Return how an attempt ended for which Batch reports this exit code, and the task itself nothing."""
    if exit_code == SPOT_PREEMPTED:
        return PREEMPTED
    if exit_code in MACHINE_LOST_CODES:
        return LOST
    if exit_code == PAST_ITS_TIME:
        return TIME_LIMIT
    if exit_code in IMAGE_CODES:
        return NOT_STARTED
    if exit_code == EXIT_TERMINATED:
        return TERMINATED
    if exit_code == EXIT_RETRY_EXCEPTION:
        return EXCEPTION
    return KILLED if 128 < exit_code < 128 + 65 else FAILED
