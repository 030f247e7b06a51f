"""Run a script that sees the folders of its VM at their own paths, as the leader of its own session."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...containers.container import Bind
from ...containers.process import PreparedClient, PreparedProcess
from ..model.runtime_interface import CANNOT_START, StartFailed
from . import vm_folders
from .watchdog import Watchdog

OWN_PYTHON = tuple({os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)})
"""Where the interpreter is that scripts run: not to be hidden from them."""


class ScriptProcess(PreparedProcess):
    """A script, from the preparation of its folders until they have been written back."""

    _what = "the script"

    def __init__(
        self,
        name: str,
        watchdog: Watchdog,
        prepare: Callable[[], PreparedClient],
        clear_up: Callable[[], Sequence[str]],
    ) -> None:
        self._watchdog = watchdog
        super().__init__(name, prepare, clear_up)

    @property
    def was_ended(self) -> bool:
        """Whether it was asked to end."""
        return self._sent_signal is not None

    def _start(self, prepared: PreparedClient) -> subprocess.Popen[bytes]:
        return start_watched(prepared, self._watchdog, self._out, self._err)

    def _await(self, child: subprocess.Popen[bytes]) -> int:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        # before the leader is reaped: until then its number cannot belong to another group
        self._signal_group(child, signal.SIGKILL)
        status = child.wait()
        self._watchdog.end(child.pid)
        return status if status >= 0 else 128 - status

    def _send_term(self) -> None:
        if self._child is not None and self._child.returncode is None:
            os.kill(self._child.pid, signal.SIGTERM)

    def _end_it(self) -> None:
        if self._child is not None and self._child.returncode is None:
            self._signal_group(self._child, signal.SIGKILL)

    @staticmethod
    def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)


def start_watched(prepared: PreparedClient, watchdog: Watchdog, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    """Start a program as the leader of its own session, which ends with the emulator. Raises OSError."""
    child = subprocess.Popen(
        prepared.words,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd=prepared.folder,
        env=prepared.environment,
        start_new_session=True,
    )
    watchdog.begin(child.pid)
    return child


def refuse_elsewhere(path: str, platform: str = sys.platform) -> None:
    """Raise StartFailed where no program can have a folder at a path of its own."""
    if platform != "linux":
        raise StartFailed(
            CANNOT_START,
            f"{path} cannot be mounted: scripts see volumes on Linux only. Give the task a container image.",
        )


@dataclass(frozen=True)
class VmView:
    """What a script sees of its VM in place of this machine's.

    Attributes:
        disk: the folder that has the VM's own disk, by its paths.
        folders: those that are mounted.
        paths: those of the VM's disk that are not this machine's.
        own: those that stay this machine's, whatever lies over them.
    """

    disk: str
    folders: Sequence[Bind]
    paths: Sequence[str]
    own: Sequence[str]

    def seen_by(self, client: PreparedClient) -> PreparedClient:
        """Show it to a program."""
        folders = [(bind.source, bind.target, "ro" in bind.options.split(",")) for bind in self.folders]
        request = json.dumps({"disk": self.disk, "folders": folders, "paths": self.paths, "own": self.own})
        launcher = [sys.executable, "-I", "-S", vm_folders.__file__, request]
        return PreparedClient([*launcher, *client.words], client.environment, client.folder)
