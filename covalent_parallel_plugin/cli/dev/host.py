"""The process that holds a session, apart from the terminal: it ends with the last `dev` that uses it, or is kept.

Run as a program; the request comes as a pickle on standard input. The answer is a line of JSON on standard output.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import click

from covalent_parallel_plugin.containers.ownership import new_owner
from covalent_parallel_plugin.covalent_api.private_server import PrivateServerError

from ..emulator.option_list import EmulatorOptions
from .clients import Clients
from .kept_session import KeptSession
from .local_session import LocalSession, session_folder
from .running_session import RunningSession
from .signals import Signals, Terminated

TURN_SECONDS = 0.5
# For electrons that run to save what they have: all must have ended ten seconds after a signal
CANCEL_SECONDS = 5.0
END_SECONDS = 10.0


@dataclass(frozen=True)
class HostRequest:
    """What `dev` asks for: `client` is its own process, `kept_file` where to enter a session that is kept, if it is."""

    options: EmulatorOptions
    client: str
    kept_file: Path | None


def hold(request: HostRequest) -> None:
    """Hold a session until nobody uses it, or a signal comes."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(session_folder())
        clients = Clients(folder)
        clients.add(request.client)
        stack.enter_context(Watch(clients, is_kept=request.kept_file is not None))
        session = stack.enter_context(LocalSession(folder, request.options, CANCEL_SECONDS))
        facts = RunningSession(new_owner(), str(folder), session.server.address, session.variables, session.runtime)
        if request.kept_file is not None:
            kept = KeptSession(request.kept_file)
            kept.enter(facts)
            stack.callback(kept.remove, facts)
        _answer(facts.to_json())
        _leave_the_terminal(folder / "host.log")
        while session.server.is_running:
            time.sleep(TURN_SECONDS)


class Watch:
    """A thread that ends this process by SIGTERM once no client, or no folder, is left; a context manager."""

    def __init__(self, clients: Clients, *, is_kept: bool) -> None:
        self._ended = threading.Event()
        self._clients = clients
        self._is_kept = is_kept
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(TURN_SECONDS):
            try:
                is_needed = self._clients.any_left() or self._is_kept
            except FileNotFoundError:
                # Somebody removed the folder, the server's database with it
                is_needed = False
            if not is_needed:
                os.kill(os.getpid(), signal.SIGTERM)
                return


def _answer(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _leave_the_terminal(log: Path) -> None:
    """Write what is still written to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def main() -> None:
    """Be the process."""
    request: HostRequest = pickle.load(sys.stdin.buffer)  # noqa: S301  # the writer started this process
    with Signals(END_SECONDS):
        try:
            hold(request)
        except (click.ClickException, PrivateServerError, OSError) as error:
            message = error.message if isinstance(error, click.ClickException) else str(error)
            _answer(json.dumps({"error": message}))
            sys.exit(1)
        except (KeyboardInterrupt, Terminated):
            pass


if __name__ == "__main__":
    main()
