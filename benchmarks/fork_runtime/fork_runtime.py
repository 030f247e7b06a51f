"""The runtime for load tests: a warm Python process that forks for each task, so that none waits for an interpreter."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from covalent_parallel_plugin.containers.local_process import LocalProcess
from covalent_parallel_plugin.emulator.model.runtime_interface import (
    BARE_VM,
    CANNOT_START,
    Command,
    LogFolder,
    ResourceLimits,
    StartFailed,
    VmSpec,
)
from covalent_parallel_plugin.emulator.runtimes.process import (
    ProcessRuntime,
    ProcessWorkspace,
    make_parts,
    refuse_volumes,
)
from covalent_parallel_plugin.emulator.runtimes.task_environment import process_environment

_log = logging.getLogger(__name__)

MESSAGE_BYTES = 100_000
"""A longer command starts a Python of its own: a message to the warm process must fit into its socket's buffer."""
_SERVER = Path(__file__).with_name("fork_server.py")
# not as a script: its folder would become the first place to import from
_START = "import sys; exec(compile(open(sys.argv[1], 'rb').read(), sys.argv[1], 'exec'))"
_SEND_SECONDS = 30.0
_END_SECONDS = 10.0


class ForkRuntime:
    """Runs each `python3 -c SOURCE ...` in a fork of a warm process, and all else as `ProcessRuntime` does.

    Folders, environment, output, exit codes and ends are a process's; what differs is that the standard library
    modules which the runner uses, cloudpickle and the runner are imported already, that objects are not taken apart at
    the end, and that an interpreter's own variables (PYTHON*) are not looked at: a command that sets one gets a process
    of its own. There is one warm process for each interpreter; one that dies takes its tasks with it (137), is told of
    in the log, and is replaced. Arguments and errors are those of ProcessRuntime, and OSError elsewhere than on Linux.
    """

    def __init__(self, python: Path | None = None, images: Mapping[str, Sequence[str]] | None = None) -> None:
        if sys.platform != "linux":
            raise OSError("tasks can be forked from a warm process on Linux only")
        self._processes = ProcessRuntime(python, images, site_packages=python is None)
        self._warm: dict[str, WarmProcess] = {}

    def open(self, attempt: str, limits: ResourceLimits, vm: VmSpec = BARE_VM) -> ForkWorkspace:
        """Name the attempt's folder; it is made when its first process starts."""
        return ForkWorkspace(self, self._processes, self._processes.new_folder(), vm)

    def release(self, job_uid: str) -> None:
        """Do nothing: tasks share nothing."""

    def task_users(self) -> Collection[int]:
        """List none: tasks run as this process's own user."""
        return ()

    def close(self) -> None:
        """End the warm processes with all that they have forked, and remove all folders."""
        for warm in self._warm.values():
            warm.close()
        self._warm.clear()
        self._processes.close()

    def fork(self, python: str, request: dict[str, Any]) -> ForkedProcess:
        """Have the warm process of an interpreter start a task. Raises StartFailed."""
        try:
            return self._warm_process(python).fork(request)
        except ConnectionError:  # it has died just now
            try:
                return self._warm_process(python).fork(request)
            except ConnectionError as error:
                raise StartFailed(CANNOT_START, f"{python}: the warm process takes no task: {error}") from error

    def _warm_process(self, python: str) -> WarmProcess:
        """Give the one of an interpreter, a new one if it has died. Raises StartFailed where it never came up."""
        warm = self._warm.get(python)
        if warm is not None and warm.has_died():
            if not warm.has_served:
                raise StartFailed(CANNOT_START, f"{python}: the warm process ended with status {warm.status}")
            warm.close()
            warm = None
        if warm is None:
            warm = self._warm[python] = WarmProcess(python, self._processes.new_folder())
        return warm


class ForkWorkspace:
    """The folder of one attempt."""

    def __init__(self, runtime: ForkRuntime, processes: ProcessRuntime, folder: Path, vm: VmSpec) -> None:
        self._runtime = runtime
        self._vm = vm
        self._processes = processes
        self._folder = folder
        self._other: ProcessWorkspace | None = None
        self._forked: list[ForkedProcess] = []

    def log_folder(self, path: str, services: Mapping[str, str]) -> LogFolder:
        """Give this machine's own folder."""
        return LogFolder(Path(path))

    def start(self, command: Command) -> ForkedProcess | LocalProcess:
        """Start a runnable as the leader of its own session. Raises StartFailed."""
        refuse_volumes(command, self._vm)
        python = self._processes.interpreter(command.image)[0]
        words = [command.entrypoint, *command.arguments] if command.entrypoint else list(command.arguments)
        if _is_taken(command, words, python):
            environment = process_environment(self._folder, python, command.environment, os.environ)
            request = {
                "program": python,
                "source": words[2],
                "arguments": words[3:],
                "environment": environment,
                "folder": str(self._folder),
            }
            if len(json.dumps(request)) < MESSAGE_BYTES:
                self._forked.append(self._runtime.fork(python, request))
                return self._forked[-1]
        if self._other is None:
            make_parts(self._folder)
            self._other = self._processes.workspace(self._folder)
        return self._other.start(command)

    def close(self) -> None:
        """Remove the folder, in the background."""
        if self._other is not None:
            self._other.close()
        elif self._forked:
            self._processes.sweep(self._folder, has_strays=any(process.was_ended for process in self._forked))


class WarmProcess:
    """A running `fork_server`; its methods are called from one thread. Raises StartFailed."""

    def __init__(self, python: str, folder: Path) -> None:
        self._python = python
        self._numbers = itertools.count()
        self._has_told = False
        self.has_served = False
        folder.mkdir()
        environment = process_environment(folder, python, {}, os.environ)
        environment.pop("PYTHONPATH")
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_SEND_SECONDS)
        try:
            self._process = subprocess.Popen(
                [python, "-c", _START, str(_SERVER), str(other.fileno()), str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=folder,
                env=environment,
                pass_fds=(other.fileno(),),
                # a Ctrl-C at the emulator's terminal is the emulator's
                start_new_session=True,
            )
        except OSError as error:
            self._control.close()
            raise StartFailed(CANNOT_START, f"{python}: {error.strerror}") from error
        finally:
            other.close()

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def expect_death(self) -> None:
        """Wait for its end, of which something has been seen already."""
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            _log.error("the warm process of %s does not answer", self._python)
            self._process.kill()
            self._process.wait()
        self.has_died()

    def has_died(self) -> bool:
        """Tell whether it has ended, though nobody asked it to; the log says so once."""
        if self.status is None:
            return False
        if not self._has_told:
            self._has_told = True
            _log.error("the warm process of %s ended with status %d, and all its tasks", self._python, self.status)
        return True

    def fork(self, request: dict[str, Any]) -> ForkedProcess:
        """Have a task started. Raises ConnectionError where the warm process has died, StartFailed."""
        number = next(self._numbers)
        pipes = [os.pipe() for _ in range(3)]
        try:
            message = json.dumps({**request, "number": number}).encode()
            socket.send_fds(self._control, [message], [write for _, write in pipes])
        except OSError as error:
            for read, _ in pipes:
                os.close(read)
            if isinstance(error, ConnectionError):
                self.expect_death()
                raise
            raise StartFailed(CANNOT_START, f"{self._python}: the warm process takes no task: {error}") from error
        finally:
            for _, write in pipes:
                os.close(write)
        return ForkedProcess(self, number, *(read for read, _ in pipes))

    def signal(self, number: int, signal_number: int, *, group: bool) -> None:
        """Send a signal to a task, or to all of its group; one that has ended gets none."""
        message = json.dumps({"number": number, "signal": int(signal_number), "group": group})
        # where nobody listens any more, no task of its lives
        with contextlib.suppress(ConnectionError):
            self._control.send(message.encode())

    def close(self) -> None:
        """End it, with all that it has forked."""
        self._control.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            _log.error("the warm process of %s did not end within %g s", self._python, _END_SECONDS)
            self._process.kill()
            self._process.wait()


class ForkedProcess:
    """A task's process, which the warm one has forked and buries; `ending` is where it tells the exit status."""

    def __init__(self, warm: WarmProcess, number: int, stdout: int, stderr: int, ending: int) -> None:
        self._warm = warm
        self._number = number
        self._exit_code: int | None = None
        self.was_ended = False
        self.stdout = stdout
        self.stderr = stderr
        self.ending: int | None = ending
        for descriptor in (stdout, stderr, ending):
            os.set_blocking(descriptor, False)

    def poll(self) -> int | None:
        """Give the exit code once it has ended; its group has been killed then."""
        if self._exit_code is None and self.ending is not None:
            try:
                told = os.read(self.ending, 32)
            except BlockingIOError:
                return None
            if told:
                self._warm.has_served = True
                code = int(told)
            else:
                # the kernel kills what a dead process has forked (PR_SET_PDEATHSIG)
                self._warm.expect_death()
                code = -signal.SIGKILL
            self.was_ended |= code < 0
            self._exit_code = code if code >= 0 else 128 - code
        return self._exit_code

    def terminate(self) -> None:
        """Send SIGTERM to the leader."""
        self.was_ended = True
        self._warm.signal(self._number, signal.SIGTERM, group=False)

    def kill(self) -> None:
        """Send SIGKILL to the whole group."""
        self.was_ended = True
        self._warm.signal(self._number, signal.SIGKILL, group=True)

    def close(self) -> None:
        """Close its pipes."""
        if self.ending is not None:
            for descriptor in (self.stdout, self.stderr, self.ending):
                os.close(descriptor)
            self.ending = None


def _is_taken(command: Command, words: Sequence[str], python: str) -> bool:
    """Tell whether a fork does the same as a start of its own."""
    if not command.image or len(words) < 3 or words[0] not in ("python", "python3") or words[1] != "-c":
        return False
    return Path(python).name.startswith("python") and not any(name.startswith("PYTHON") for name in command.environment)
