"""The process that holds a session, as the `dev` that started it has it."""

from __future__ import annotations

import contextlib
import json
import pickle
import signal
import subprocess
import sys
from types import TracebackType

import click

from covalent_parallel_plugin.covalent_api.held_signals import signals_held

from .host import END_SECONDS, HostRequest
from .running_session import RunningSession

HOST = (sys.executable, "-c", "from covalent_parallel_plugin.cli.dev.host import main; main()")


class HostProcess:
    """Starts a session; a context manager, which ends it unless it is to be kept."""

    def __init__(self, request: HostRequest) -> None:
        self._request = request
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    def start(self) -> RunningSession:
        """Start the session and return when it is ready. Raises ClickException."""
        with signals_held():
            self._process = subprocess.Popen(
                HOST, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        # One that has ended has said why
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(self._request, self._process.stdin)
            self._process.stdin.close()
        answer = self._process.stdout.readline()
        if not answer:
            raise click.ClickException(f"the emulator's process ended with status {self._process.wait()}")
        facts = json.loads(answer)
        if "error" in facts:
            self._process.wait()
            raise click.ClickException(facts["error"])
        self._is_ready = True
        return RunningSession(**facts)

    def is_running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> HostProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        is_kept = self._is_ready and self._request.kept_file is not None
        if not is_kept and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
