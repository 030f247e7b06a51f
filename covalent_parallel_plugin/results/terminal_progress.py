"""How far a dispatch is, as lines on a terminal's stderr."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Protocol

from ..covalent_api.server_client import OVER, UNANSWERED, DispatchRecord, ServerClient
from .wanted_output import is_users, name_of

VARIABLE = "COVALENT_PARALLEL_PROGRESS"
# Covalent's server gives the electrons so often at most, and the less often the longer that takes it
LEAST_SECONDS, SPARED = 1.0, 5.0
NAMED = 3


class Progress(Protocol):
    """What is shown while a dispatch runs."""

    def look(self) -> None:
        """Show how far it is, if it is time; never raises for a server that does not answer."""


class NoProgress:
    """Shows nothing."""

    def look(self) -> None:
        """Do nothing."""


class ElectronLines:
    """Prints a line to stderr where something has changed."""

    def __init__(self, server: ServerClient, dispatch_id: str) -> None:
        self._server, self._dispatch_id = server, dispatch_id
        self._due = 0.0
        self._line = ""

    def look(self) -> None:
        """Ask for the electrons, if it is time, and print what has changed."""
        begun = time.monotonic()
        if begun < self._due:
            return
        with contextlib.suppress(*UNANSWERED):
            record = self._server.dispatch(self._dispatch_id)
            line = progress_line(self._dispatch_id, record) if record is not None else self._line
            if line != self._line:
                print(line, file=sys.stderr, flush=True)
            self._line = line
        self._due = time.monotonic() + max(LEAST_SECONDS, SPARED * (time.monotonic() - begun))


@contextlib.contextmanager
def progress_of(server: ServerClient, dispatch_id: str) -> Iterator[Progress]:
    """Show how far a dispatch is while this is entered: on a terminal, unless the environment says no."""
    is_shown = sys.stderr is not None and sys.stderr.isatty() and os.environ.get(VARIABLE) != "off"
    yield ElectronLines(server, dispatch_id) if is_shown else NoProgress()


def progress_line(dispatch_id: str, record: DispatchRecord) -> str:
    """Return one line on how many of a dispatch's electrons have ended, and which run."""
    own = {node: electron for node, electron in record.electrons.items() if is_users(electron.name)}
    done = sum(electron.status in OVER for electron in own.values())
    failed = sum(electron.status == "FAILED" for electron in own.values())
    running = [name_of(electron.name) for electron in own.values() if electron.status == "RUNNING"]
    text = f"dispatch {dispatch_id}: {done} of {len(own)} electrons done"
    text += f", {failed} failed" if failed else ""
    more = f" and {len(running) - NAMED} more" if len(running) > NAMED else ""
    return f"{text}, {len(running)} running ({', '.join(running[:NAMED])}{more})" if running else text
