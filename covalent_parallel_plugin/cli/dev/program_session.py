"""A program's time in a session: its environment, its electrons, and what is still to be done when it has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from covalent_parallel_plugin.covalent_api.server_client import UNANSWERED, ServerClient, reason_of

from .clients import Clients, kill_programs_of
from .electron_lines import ElectronLines
from .program import run_program
from .running_session import PROGRESS_VARIABLE, RunningSession, tell
from .signals import Signals, Terminated

INTERRUPTED_STATUS = 128 + signal.SIGINT
TURN_SECONDS = 0.2


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
            environment[PROGRESS_VARIABLE] = "off"
        server = ServerClient(self.session.address)
        try:
            with ElectronLines(server, is_quiet=self.is_quiet or self.is_shell) as lines:
                status = run_program(self.words, environment, signals)
                if status == INTERRUPTED_STATUS and not self.is_shell:
                    raise KeyboardInterrupt
                return self._finish(lines, status)
        except (KeyboardInterrupt, Terminated):
            kill_programs_of(self.owner)
            self._cancel(server, lines.running)
            raise
        finally:
            clients.remove(self.owner)

    def _finish(self, lines: ElectronLines, status: int) -> int:
        """Wait for what the program has left running, say what failed, and return the status."""
        try:
            lines.look()
            running = lines.running
            if running and self.is_kept:
                tell(f"{_dispatches(running)} of the program still running, in the session that is kept")
            elif running:
                tell(f"{_dispatches(running)} still running: waiting for the end; Ctrl-C cancels")
                while lines.running and self.is_alive():
                    time.sleep(TURN_SECONDS)
                if any(lines.states[dispatch_id] != "COMPLETED" for dispatch_id in running):
                    status = status or 1
        except UNANSWERED as error:
            raise click.ClickException(f"Covalent's server does not answer any more: {reason_of(error)}") from error
        for name, text in lines.failures():
            click.echo(f"--- why {name} failed\n{text.rstrip()}", err=True)
        return status

    def _cancel(self, server: ServerClient, running: Sequence[str]) -> None:
        """Cancel dispatches in a session that goes on; another one's end does that."""
        for dispatch_id in running if self.is_kept else ():
            with contextlib.suppress(*UNANSWERED):
                server.cancel(dispatch_id)


def _dispatches(running: Sequence[str]) -> str:
    return "1 dispatch is" if len(running) == 1 else f"{len(running)} dispatches are"
