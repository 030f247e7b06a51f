"""What `watch` knows of a dispatch on a private server, asked now and then: how electrons ended, how far maps are."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from covalent_parallel_plugin.results.status.item_counts import ItemCounts
from covalent_parallel_plugin.results.status.snapshot import JobView
from covalent_parallel_plugin.results.status.words import job_state, progress

# An electron that runs for longer may be a map, of which there is a line so often at most
EVERY_SECONDS = 10.0
# A look takes seconds: most of it is Python's start
LOOK_SECONDS = 30.0
WATCH = (sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "watch")


class BatchLooks:
    """Runs `watch --once --json` beside the caller; use it as a context manager.

    Args:
        environment: of the private server's clients.
        every_seconds: between two looks.
        clock: seconds from any start.

    Attributes:
        endings: how electrons ended, by node.
        lines: how far maps are, by node.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        every_seconds: float = EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environment = environment
        self._every_seconds = every_seconds
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._due = 0.0
        self.endings: dict[int, str] = {}
        self.lines: dict[int, str] = {}

    def __enter__(self) -> BatchLooks:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._output is not None:
            self._output.close()

    def look(self, dispatch_id: str) -> None:
        """Begin a look if one is due, and take what the one before has told."""
        if self._process is None and self._clock() >= self._due:
            self._due = self._clock() + self._every_seconds
            self._output = tempfile.TemporaryFile()  # noqa: SIM115  # closed with its process
            self._process = subprocess.Popen(
                [*WATCH, dispatch_id, "--once", "--json"],
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        elif self._process is not None and self._process.poll() is not None:
            self._take()

    def finish(self, dispatch_id: str) -> None:
        """Look once more, and wait for what that tells."""
        for _ in range(2):
            # The one that is on its way may have begun too early.
            self._due = 0.0
            if self._process is None:
                self.look(dispatch_id)
            with contextlib.suppress(subprocess.TimeoutExpired):
                assert self._process is not None  # begun above
                self._process.wait(LOOK_SECONDS)
                self._take()

    def _take(self) -> None:
        output, self._output, self._process = self._output, None, None
        assert output is not None  # beside each process
        with output:
            output.seek(0)
            try:
                jobs: list[Any] = json.loads(output.read())["jobs"]
            except (ValueError, KeyError, TypeError):
                return
        for job in jobs:
            items = job["items"]
            view = JobView(**{**job, "items": None if items is None else ItemCounts(**items)})
            if view.ending:
                self.endings[int(view.node)] = job_state(view)
            if view.is_map:
                self.lines[int(view.node)] = progress(view)
