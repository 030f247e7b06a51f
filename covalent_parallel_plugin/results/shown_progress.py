"""How far a dispatch is, while it is waited for: lines on a terminal's stderr, or a table in a notebook."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TextIO

from ..covalent_api.server_client import ServerClient
from .dev_program import PROGRESS_VARIABLE
from .dispatch_looks import DispatchLooks
from .run import Run
from .run_table import items_line

# A line comes so often at most if only items have changed
ITEMS_SECONDS = 10.0
NAMED = 3


class ShownProgress(Protocol):
    """What is shown of a dispatch.

    Attributes:
        run: what is on display in a notebook; None where nothing is.
    """

    run: Run | None

    def look(self) -> None:
        """Show how far it is, if it is time; a server that does not answer is passed over."""

    def end(self) -> None:
        """Show how it ended."""


class NothingShown:
    """Shows nothing."""

    run: Run | None = None

    def look(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class ProgressLines:
    """Prints a line where something has changed.

    Args:
        clock: seconds from any start.
    """

    run: Run | None = None

    def __init__(self, looks: DispatchLooks, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._looks, self._out, self._clock = looks, out, clock
        self._electrons, self._line, self._next = "", "", 0.0

    def look(self) -> None:
        """Print what has changed."""
        self.show(self._looks.look())

    def end(self) -> None:
        """Print how it ended; its jobs are not waited for."""
        self.show(self._looks.last(has_jobs=False))

    def show(self, run: Run | None) -> None:
        """Print a line on a look, unless there is nothing new."""
        if run is None:
            return
        electrons = electrons_line(run)
        line = "; ".join([electrons, *(items_line(items) for items in run.items if items.running or items.waiting)])
        if electrons != self._electrons or (line != self._line and self._clock() >= self._next):
            print(line, file=self._out, flush=True)
            self._electrons, self._line, self._next = electrons, line, self._clock() + ITEMS_SECONDS


class NotebookRun:
    """Shows a dispatch in a notebook's output, each look in place of the one before; a saved notebook keeps the last.

    Args:
        show: displays a bundle of MIME type -> text.
    """

    def __init__(self, looks: DispatchLooks, show: Callable[[Mapping[str, str]], None]) -> None:
        self._looks, self._show = looks, show
        self._shown: Mapping[str, str] = {}
        self.run: Run | None = None

    def look(self) -> None:
        """Show a look."""
        self._update(self._looks.look())

    def end(self) -> None:
        """Show the last look, with its jobs as they ended."""
        self._update(self._looks.last(has_jobs=True))

    def _update(self, run: Run | None) -> None:
        if run is None:
            return
        self.run, bundle = run, run.bundle()
        if bundle != self._shown:
            self._show(bundle)
        self._shown = bundle


def electrons_line(run: Run) -> str:
    """Return how many of a dispatch's electrons have ended, and which run."""
    running = [electron.name for electron in run.electrons if electron.state in ("RUNNING", "QUEUED", "SCHEDULED")]
    more = f" and {len(running) - NAMED} more" if len(running) > NAMED else ""
    title = run.title
    return f"{title}, {len(running)} running ({', '.join(running[:NAMED])}{more})" if running else title


@contextlib.contextmanager
def progress_of(server: ServerClient, dispatch_id: str) -> Iterator[ShownProgress]:
    """Show how far a dispatch is while this is entered: in a notebook, or on a terminal that it is not off for."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty() and os.environ.get(PROGRESS_VARIABLE) != "off"
    is_notebook = _in_notebook()
    if not (is_terminal or is_notebook):
        yield NothingShown()
        return
    with DispatchLooks(server, dispatch_id) as looks:
        yield _notebook_run(looks) if is_notebook else ProgressLines(looks, sys.stderr)


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from ..sweep.display.notebook_table import in_notebook

    return in_notebook()


def _notebook_run(looks: DispatchLooks) -> NotebookRun:
    from ..sweep.display.notebook_table import in_place

    return NotebookRun(looks, in_place())
