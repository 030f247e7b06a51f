"""A line on standard error for each change of an electron, while a program runs and dispatches; see `ElectronWatch`."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from covalent_parallel_plugin.covalent_api.server_client import OVER, UNANSWERED, ServerClient
from covalent_parallel_plugin.sweep.display.printable import printable

from .electron_states import ElectronState, failed_texts, fetch_electrons
from .running_session import tell

PAUSE_SECONDS = 0.25
# Of large dispatches the server needs long to tell: it is not asked all the time
PAUSE_OF_A_LOOK = 5.0
MOST_DISPATCHES = 1000
LONGEST_LINE = 160
_TRACEBACK = "Traceback (most recent call last):"
_NOT_BEGUN = "NEW_OBJECT"


class ElectronWatch:
    """Looks at the dispatches that begin from now on, in a thread; a context manager.

    Args:
        server: asked for them.
        is_quiet: no line is printed.

    Attributes:
        states: of the dispatches, by id.
    """

    def __init__(self, server: ServerClient, *, is_quiet: bool = False) -> None:
        self._server = server
        self._is_quiet = is_quiet
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._looking = threading.Lock()
        self._earlier: frozenset[str] = frozenset()
        self._seen: dict[tuple[str, int], str] = {}
        self._failures: dict[tuple[str, int], tuple[str, str]] = {}
        self.states: dict[str, str] = {}

    def __enter__(self) -> ElectronWatch:
        self._earlier = frozenset(dispatch_id for dispatch_id, _ in self._listed())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def look(self) -> None:
        """Look once, and print what has changed. Raises one of UNANSWERED."""
        with self._looking:
            for dispatch_id, state in self._listed():
                if dispatch_id not in self._earlier and self.states.get(dispatch_id) not in OVER:
                    self._look_at(dispatch_id)
                    self.states[dispatch_id] = state

    @property
    def running(self) -> list[str]:
        """The dispatches that have not ended, as of the last look."""
        return [dispatch_id for dispatch_id, state in self.states.items() if state not in OVER]

    @property
    def any_begun(self) -> bool:
        """Whether one of these has begun: one that is only registered waits for its client to start it."""
        return any(self.states[dispatch_id] != _NOT_BEGUN for dispatch_id in self.running)

    def failures(self, but_of: Collection[str] = ()) -> Iterator[tuple[str, str]]:
        """Return the name of each electron that failed, and what it wrote with its error, but of these dispatches."""
        for (dispatch_id, _node), failure in self._failures.items():
            if dispatch_id not in but_of:
                yield failure

    def _run(self) -> None:
        pause = PAUSE_SECONDS
        while not self._ended.wait(pause):
            began = time.monotonic()
            try:
                self.look()
            except UNANSWERED:
                # A busy server may be late; one that has ended is noticed by its process
                pass
            pause = max(PAUSE_SECONDS, PAUSE_OF_A_LOOK * (time.monotonic() - began))

    def _listed(self) -> Iterator[tuple[str, str]]:
        """Return the id and the state of each dispatch, in the order in which they began."""
        answer: Mapping[str, Any] = self._server.get_json(
            f"/api/v2/dispatches?count={MOST_DISPATCHES}&status_only=true"
        )
        for found in reversed(answer["dispatches"]):
            yield str(found["dispatch_id"]), str(found["status"])

    def _look_at(self, dispatch_id: str) -> None:
        electrons = fetch_electrons(self._server, dispatch_id)
        changed = [each for each in electrons if self._seen.get((dispatch_id, each.node), _NOT_BEGUN) != each.status]
        if any(each.status == "FAILED" for each in changed):
            for node, failure in failed_texts(self._server, dispatch_id).items():
                self._failures[dispatch_id, node] = failure
        for electron in changed:
            key = dispatch_id, electron.node
            self._seen[key] = electron.status
            if not self._is_quiet:
                text = self._failures.get(key, ("", ""))[1]
                tell(electron_line(electron, text))


def electron_line(electron: ElectronState, error_text: str) -> str:
    """Return a line on an electron, with the error that it failed with."""
    line = f"{electron.name}: {electron.status}"
    if electron.status in OVER and electron.seconds is not None:
        line += f" after {electron.seconds:.1f} s"
    error = error_line(error_text) if electron.status == "FAILED" else ""
    return textwrap.shorten(printable(f"{line}: {error}" if error else line), LONGEST_LINE, placeholder=" ...")


def error_line(text: str) -> str:
    """Return the line of an error's text that names the error: after its last traceback, where it has one."""
    _before, header, after = text.rpartition(_TRACEBACK)
    lines = [line for line in after.splitlines() if line.strip()]
    if header:
        lines = [line for line in lines if not line.startswith(" ")]
    return lines[0] if lines else ""
