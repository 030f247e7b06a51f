"""Run a process of this machine as the leader of its own session, and end its whole group with it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO


class LocalProcess:
    """A process that leads its own session.

    `on_end` is called with its number right after its end. With `tells_group`, `terminate` reaches all of its group.
    """

    def __init__(
        self, child: subprocess.Popen[bytes], on_end: Callable[[int], None] | None = None, *, tells_group: bool = False
    ) -> None:
        self._child = child
        self._on_end = on_end
        self._tells_group = tells_group
        self.pid = child.pid
        self.peak_mib: float | None = None
        """The most memory that it, or one that it waited for, had; known after its end, if that is more than this
        process has had: the system counts the moment before it became another program, when it had this one's memory.
        """
        self.cpu_seconds: float | None = None
        """Its own and that of the processes that it waited for, once it has ended."""
        self.was_ended = False
        self._pipes: tuple[IO[bytes], ...] = tuple(pipe for pipe in (child.stdout, child.stderr) if pipe)
        self.stdout, self.stderr = (pipe.fileno() for pipe in self._pipes)
        os.set_blocking(self.stdout, False)
        os.set_blocking(self.stderr, False)
        self.ending: int | None = os.pidfd_open(child.pid) if hasattr(os, "pidfd_open") else None

    def poll(self) -> int | None:
        """Return the exit code once it has ended; whatever else of its session's group still runs is killed then."""
        if self._child.returncode is None:
            if not self._has_ended():
                return None
            # where possible before the leader is reaped: until then its number cannot belong to another group
            self._signal_group(signal.SIGKILL)
            self.was_ended |= self._reap() < 0
            if self._on_end is not None:
                self._on_end(self.pid)
        code = self._child.returncode
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """Send SIGTERM to the leader, or to the whole group."""
        self.was_ended = True
        # not Popen's own method, which would reap a leader that has just ended before its group is killed
        if self._child.returncode is None:
            if self._tells_group:
                self._signal_group(signal.SIGTERM)
            else:
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the whole group."""
        self.was_ended = True
        if self._child.returncode is None:
            self._signal_group(signal.SIGKILL)

    def close(self) -> None:
        """Close its pipes."""
        for pipe in self._pipes:
            pipe.close()
        if self.ending is not None:
            os.close(self.ending)
            self.ending = None

    def _reap(self) -> int:
        if self._child.returncode is None:
            _, status, usage = os.wait4(self.pid, 0)
            self._child.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_seconds = round(usage.ru_utime + usage.ru_stime, 3)
            if usage.ru_maxrss > _own_peak():
                self.peak_mib = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        return self._child.returncode

    def _has_ended(self) -> bool:
        if not hasattr(os, "waitid"):  # macOS: the only way to ask reaps
            return self._child.poll() is not None
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _signal_group(self, number: signal.Signals) -> None:
        # macOS answers EPERM for a group of which only a zombie is left
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _own_peak() -> int:
    """Return the most memory that this process has had, in the unit of `ru_maxrss`."""
    # getrusage(2) counts the program that started this one, too
    with contextlib.suppress(OSError, StopIteration), open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
