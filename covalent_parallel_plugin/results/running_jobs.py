"""What a dispatch's jobs wait for, in words, and the last lines of Google's log where nothing else has any."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import chain

from ..batch.error_hints import find_last_hint
from ..batch.job_names import LABEL_DISPATCH, LABEL_NODE, label_value
from ..cloud.batch import BatchApi, JobStatus
from ..cloud.logging import LogReader
from ..cloud.timed_calls import Deadline, call_within
from ..errors import CloudError
from .electron_log import LogLine
from .wanted_output import Place

ASK_EVERY_SECONDS = 30.0
BATCH_SECONDS = 10.0
LOG_SECONDS = 4.0
LOG_LINES = 1000
# The project has 60 readings a minute for everybody
MOST_LOG_READS = 3
NO_READS = (
    "Cloud Logging answers no more readings this minute (a project has 60 for everybody): try again in a minute, or"
    " read the log on the job's page of the console"
)


class RunningJobs:
    """The jobs of one dispatch, asked for now and then.

    Args:
        lineage: the dispatch, and those that it continues, the nearest first: their jobs it may have taken up.
    """

    def __init__(self, lineage: Callable[[], Sequence[str]], clock: Callable[[], float] = time.monotonic):
        self._lineage, self._clock = lineage, clock
        self._jobs: dict[str, dict[int, JobStatus]] = {}
        self._due: dict[str, float] = {}
        self._reads = 0

    def by_node(self, place: Place, deadline: Deadline) -> dict[int, JobStatus]:
        """The latest job of each node, of its own dispatch if it has one there, as Batch reported last.

        Raises CloudError.
        """
        if self._clock() >= self._due.get(place.parent, 0.0):
            self._due[place.parent] = self._clock() + ASK_EVERY_SECONDS
            seconds = deadline.share(BATCH_SECONDS)
            jobs = call_within(seconds, "Batch", lambda: asyncio.run(self._listed(place.parent, seconds)))
            found: dict[int, JobStatus] = {}
            for job in jobs:
                node = job.labels.get(LABEL_NODE, "")
                if node.isdecimal():
                    found[int(node)] = job
            self._jobs[place.parent] = found
        return self._jobs.get(place.parent, {})

    async def _listed(self, parent: str, seconds: float) -> list[JobStatus]:
        """List the jobs: the oldest dispatch's first, and of one dispatch those that were made first."""
        batch = BatchApi.shared()

        async def jobs_of(dispatch_id: str) -> list[JobStatus]:
            filter = f'labels."{LABEL_DISPATCH}"="{label_value(dispatch_id)}"'
            jobs = await batch.list(parent, filter, patience_seconds=seconds)
            return sorted(jobs, key=lambda job: job.created_seconds)

        try:
            lists = await asyncio.gather(*map(jobs_of, reversed(self._lineage())))
            return list(chain.from_iterable(lists))
        finally:
            await batch.close()

    def logged(self, place: Place, node: int, name: str, job: JobStatus, deadline: Deadline) -> list[LogLine]:
        """The last lines of a job's log; none once a few jobs' were read.

        Raises:
            CloudError: the log could not be read.
        """
        if self._reads >= MOST_LOG_READS:
            return []
        self._reads += 1
        entries = call_within(
            deadline.share(LOG_SECONDS),
            "Cloud Logging",
            lambda: LogReader.shared(place.project_id).last_entries(job.uid, LOG_LINES),
        )
        return [
            LogLine(node, name, "stderr" if entry.is_stderr else "stdout", entry.text, entry.seconds)
            for entry in entries
        ]


def waiting_for(job: JobStatus | None, is_staged: bool, delivers: bool, is_read: bool = True) -> str:
    """What an electron waits for of which there is no output, in words."""
    if job is None:
        if is_staged:
            return "is on its way to Batch"
        return "waits for a slot: the server brings a few electrons at a time on their way"
    if job.state in ("STATE_UNSPECIFIED", "QUEUED", "SCHEDULED"):
        texts = [event.description for event in job.events]
        hint = find_last_hint(texts)
        if hint is not None:
            return f"waits for a machine: {hint[0].meaning}: {hint[0].remedy}"
        return f"waits for a machine ({job.state}{': ' + texts[-1] if texts else ''})"
    if job.is_terminal:
        return f"has ended on Batch ({job.state}); Covalent is about to have what it printed"
    if not delivers:
        return "has live_output=False: what it prints comes when it has ended"
    if not is_read:
        return "runs; what it has delivered cannot be read here"
    return "runs, and has delivered nothing that it printed yet: that begins ten seconds after its start"


def log_refusal(error: CloudError) -> str:
    """Why a log could not be read, and what else can be done."""
    from google.api_core.exceptions import ResourceExhausted

    return NO_READS if isinstance(error.__cause__, ResourceExhausted) else str(error).split("\n", 1)[0]
