"""What runs while something goes wrong."""

from __future__ import annotations

import os
import signal
import sys
import time

import cloudpickle

# What strikes waits for this line: how soon an electron begins says more about the machine's load than about the code
BEGUN = "has begun"

# The tasks cannot import the tests
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def seven() -> int:
    return 7


def double(number: int) -> int:
    return 2 * number


def slowly() -> int:
    """Long enough for what is to run beside it, and short enough to come to its end."""
    print(BEGUN, flush=True)
    time.sleep(1.5)
    return 7


def sleeps_at_first() -> int:
    """Runs until something strikes it, however late it began."""
    if os.environ["BATCH_TASK_RETRY_ATTEMPT"] == "0":
        sleeps()
    return 7


def sleeps() -> None:
    print(BEGUN, flush=True)
    time.sleep(600)


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
