"""What the machines of a dispatch have been used for so far, over all its jobs, and whether that is above a limit."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from pathlib import Path
from typing import ClassVar

from ..cloud.batch import JobStatus
from ..cloud.threads import run_in_thread
from .job_definition import STOP_TIMEOUT_SECONDS
from .machine_hours import JobUse, machine_seconds
from .trace import read_trace, trace_path, traces_folder

logger = logging.getLogger(__name__)

HOUR_SECONDS = 3600.0
# Of so many dispatches the use is remembered; a forgotten one is read from its trace
MOST_REMEMBERED = 10_000


class DispatchUse:
    """The machine-seconds of one dispatch; for use in one event loop.

    Args:
        traces: the files that have what earlier processes had run of it, and of the dispatches that it continues.
    """

    _shared: ClassVar[OrderedDict[str, DispatchUse]] = OrderedDict()

    def __init__(self, *traces: Path):
        self._traces = traces
        self._earlier: float | None = None
        # Of all jobs of this process: thousands may be looked at every few seconds
        self._seconds = 0.0
        self._jobs: dict[str, JobUse] = {}

    @classmethod
    def shared(cls, dispatch_id: str, *continued: str) -> DispatchUse:
        """The one use of this dispatch in this process; what those had used that it continues counts, too."""
        if dispatch_id not in cls._shared:
            folder = traces_folder(os.environ)
            ids = () if folder is None else (dispatch_id, *continued)
            cls._shared[dispatch_id] = cls(*(trace_path(folder, each) for each in ids if folder is not None))
        cls._shared.move_to_end(dispatch_id)
        while len(cls._shared) > MOST_REMEMBERED:
            cls._shared.popitem(last=False)
        return cls._shared[dispatch_id]

    async def read_trace(self, is_limited: bool = True) -> None:
        """Count on from the trace, before the first job of this process; later calls do nothing.

        Only for whom it `is_limited` it is worth a warning that the trace cannot be read.
        """
        if self._earlier is not None:
            return
        earlier = 0.0
        for trace in self._traces:
            try:
                if trace.exists():
                    earlier += machine_seconds((await run_in_thread(read_trace, trace)).records)
            except OSError as error:
                logger.log(
                    logging.WARNING if is_limited else logging.DEBUG,
                    "the machine-hours of a dispatch are counted from here on, since its trace %s cannot be read: %s",
                    trace,
                    error,
                )
        if self._earlier is None:
            self._earlier = earlier

    def seen(self, job_name: str, job: JobStatus, tasks_per_machine: int, now: float) -> None:
        """Take note of a look at one of its jobs, at `now` in seconds since 1970.

        `job_name` is what it was submitted as: Batch may report the project's number in place of its id.
        """
        before = self._jobs.get(job_name, JobUse())
        after = self._jobs[job_name] = before.seen(job, tasks_per_machine, now)
        self._seconds += after.seconds - before.seconds

    def end(self, job_name: str, now: float) -> None:
        """A job is looked at no longer; what still ran of it has run until `now`."""
        use = self._jobs.pop(job_name, None)
        if use is not None and use.until is not None:
            self._seconds += use.machines * max(now - use.until, 0.0)

    @property
    def seconds(self) -> float:
        """What was used so far, in machine-seconds."""
        return (self._earlier or 0.0) + self._seconds

    def above(self, limit_hours: float | None, poll_seconds: float) -> str:
        """Return what was used, the limit, and what may be used beyond it; "" if it is not above the limit.

        Args:
            limit_hours: the option `max_machine_hours`; None for no limit.
            poll_seconds: the option `poll_freq`: how long a job may run on until it is looked at.
        """
        used = self.seconds / HOUR_SECONDS
        if limit_hours is None or used <= limit_hours:
            return ""
        machines = sum(use.machines for use in self._jobs.values())
        text = f"the machines of its dispatch have run for {used:.3g} h, and its max_machine_hours is {limit_hours:g}"
        if not machines:
            return text
        more = machines * (poll_seconds + STOP_TIMEOUT_SECONDS) / HOUR_SECONDS
        return f"{text}; up to {more:.2g} h more may be used until all of them have stopped"
