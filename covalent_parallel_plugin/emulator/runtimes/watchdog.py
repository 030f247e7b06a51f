"""Outlive an emulator that is killed, and end what it ran: run as a program, with the container engine's name if any.

Its standard input is a pipe of the emulator's, which ends when that does. On it come lines: the number of a process
group that was started, and with a minus that of one that has ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

from ...containers.cleanup import remove_leftovers
from ...containers.engine import ContainerEngine
from ..model.own_folders import remove_dead_folders

# What starts while it looks is found the next time
ROUNDS = 5
PAUSE_SECONDS = 0.2


class Watchdog:
    """The program, as the emulator holds it."""

    def __init__(self, engine: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *filter(None, [engine])],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            # a signal to the emulator's group is not for it
            start_new_session=True,
        )

    def begin(self, group: int) -> None:
        """Kill a process group if the emulator is killed."""
        self._tell(group)

    def end(self, group: int) -> None:
        """Leave a process group alone, as it has ended: another one may get its number."""
        self._tell(-group)

    def close(self) -> None:
        """End it, with nothing left for it to do."""
        self._process.kill()
        self._process.communicate()

    def _tell(self, number: int) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # somebody killed it
            self._process.stdin.write(b"%d\n" % number)


def watch(engine: str) -> None:
    """Read until the emulator's end, and clear up after it."""
    groups: set[int] = set()
    for line in sys.stdin:
        number = int(line)
        if number > 0:
            groups.add(number)
        else:
            groups.discard(-number)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for _ in range(ROUNDS):
        if engine:
            remove_leftovers(ContainerEngine(engine))
        remove_dead_folders()
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    watch(*sys.argv[1:] or [""])
