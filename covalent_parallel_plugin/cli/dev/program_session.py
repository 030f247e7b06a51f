"""A program's time in a session: its environment, its electrons, and what is still to be done when it has ended."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from covalent_parallel_plugin.covalent_api.server_client import UNANSWERED, ServerClient, reason_of
from covalent_parallel_plugin.results.dev_program import PROGRESS_VARIABLE, RAISED_VARIABLE, raised_dispatches

from ..exit_statuses import INTERRUPTED
from .clients import Clients, kill_programs_of
from .electron_watch import ElectronWatch
from .program import run_program
from .running_session import RunningSession, tell
from .signals import Signals, Terminated

# Of a Python program that ends by an exception
EXCEPTION_STATUS = 1
TURN_SECONDS = 0.2
# For the server to start what a program has handed over
BEGIN_SECONDS = 10.0


@dataclass(frozen=True)
class ProgramSession:
    """A program, or a shell, and the session that it uses.

    Attributes:
        owner: this process, as `containers.ownership` names it.
        words: the program with its arguments.
        is_kept: whether the session goes on.
        is_quiet: no line is printed for an electron.
        is_alive: whether the session's process runs.
    """

    session: RunningSession
    owner: str
    words: Sequence[str]
    is_shell: bool
    is_kept: bool
    is_quiet: bool
    is_alive: Callable[[], bool]

    def run(self, signals: Signals) -> int:
        """Run the program and what it has dispatched to their ends, and return the exit status.

        Raises:
            KeyboardInterrupt, Terminated: a signal came; what the program started has ended.
        """
        clients = Clients(Path(self.session.folder))
        clients.add(self.owner)
        environment = self.session.environment(os.environ, self.owner)
        # A shell's programs show their own progress: lines of another process would mix with what is typed
        if not self.is_shell:
            environment |= {PROGRESS_VARIABLE: "off", RAISED_VARIABLE: str(clients.raised_file(self.owner))}
        server = ServerClient(self.session.address)
        watch = ElectronWatch(server, is_quiet=self.is_quiet or self.is_shell)
        try:
            with watch:
                status = run_program(self.words, environment, signals)
                if status == INTERRUPTED and not self.is_shell:
                    raise KeyboardInterrupt
                # Its last words, which Python has printed where it ended by an exception
                raised = raised_dispatches(clients.raised_file(self.owner)) if status == EXCEPTION_STATUS else ()
                status = self._await_dispatches(watch, status)
            for name, text in () if self.is_shell else watch.failures(raised):
                click.echo(f"--- why {name} failed\n{text.rstrip()}", err=True)
            return status
        except (KeyboardInterrupt, Terminated):
            kill_programs_of(self.owner)
            self._cancel(server, watch)
            raise
        except UNANSWERED as error:
            kill_programs_of(self.owner)
            raise click.ClickException(f"Covalent's server does not answer any more: {reason_of(error)}") from error
        finally:
            clients.remove(self.owner)

    def _await_dispatches(self, watch: ElectronWatch, status: int) -> int:
        """Wait for what the program has left running, and return the exit status. Raises one of UNANSWERED."""
        watch.look()
        left = running = watch.running
        if not running:
            return status
        if self.is_kept:
            tell(f"{_dispatches(running)} of the program still running, in the session that is kept")
            return status
        tell(f"{_dispatches(running)} still running: waiting for the end; Ctrl-C cancels")
        deadline = time.monotonic() + BEGIN_SECONDS
        while running := watch.running:
            if not watch.any_begun and time.monotonic() > deadline:
                tell(f"{len(running)} of them never started: the program ended before it had handed all over")
                return status or 1
            time.sleep(TURN_SECONDS)
            if not self.is_alive():
                kill_programs_of(self.owner)
                raise click.ClickException("the emulator and the server have ended: somebody killed their process")
        return status or int(any(watch.states[dispatch_id] != "COMPLETED" for dispatch_id in left))

    def _cancel(self, server: ServerClient, watch: ElectronWatch) -> None:
        """Cancel what runs in a session that goes on; the end of another one does that."""
        if self.is_kept:
            with contextlib.suppress(*UNANSWERED):
                watch.look()
                for dispatch_id in watch.running:
                    server.cancel(dispatch_id)


def _dispatches(running: Sequence[str]) -> str:
    return "1 dispatch is" if len(running) == 1 else f"{len(running)} dispatches are"
