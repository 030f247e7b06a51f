"""What runs while something goes wrong."""

from __future__ import annotations

import os
import signal
import sys
import time

import cloudpickle

# The tasks cannot import the tests
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def seven() -> int:
    return 7


def double(number: int) -> int:
    return 2 * number


def slowly() -> int:
    """Long enough for what strikes after half a second, and short enough to come to its end."""
    print("has begun", flush=True)
    time.sleep(1.5)
    return 7


def sleeps_at_first() -> int:
    """Runs until something strikes it, however late it began."""
    if os.environ["BATCH_TASK_RETRY_ATTEMPT"] == "0":
        time.sleep(120)
    return 7


def sleeps() -> None:
    print("has begun", flush=True)
    time.sleep(120)


def raises() -> None:
    raise ValueError("the user's own")


def raises_at_first() -> int:
    if os.environ["BATCH_TASK_RETRY_ATTEMPT"] != "2":
        raise ValueError("not yet")
    return 7


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at_first() -> int:
    if os.environ["BATCH_TASK_RETRY_ATTEMPT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return 7
