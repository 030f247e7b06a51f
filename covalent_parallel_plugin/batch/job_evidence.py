"""What is known of an ended job beside its results: its status, that of the task that failed, the end of the log."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..cloud import Services
from ..cloud.threads import LOG_POOL
from ..errors import CloudError
from ..protocol.exit_codes import EXIT_TERMINATED
from .failure_message import TAIL_LINES

if TYPE_CHECKING:
    from ..cloud.batch import JobStatus, TaskStatus

logger = logging.getLogger(__name__)

# No verdict waits longer than this for the log's last lines, which may come a moment after the job's end
LOG_SECONDS = 6.0
LOG_PAUSE_SECONDS = 2.0
# Nor any longer than that for its task's status
TASK_SECONDS = 3.0
# Of so many tasks without an outcome, Batch is asked how they ended
ASKED_TASKS = 5
# "... Specifically, task with index 0 failed due to the following task event ...", in a failed job's own event
_TASK_IN_TEXT = re.compile(r"\btask with index (\d{1,6})\b")


@dataclass(frozen=True)
class JobEvidence:
    """What is known once a job is watched no longer.

    Attributes:
        job: its last status, None if it was never seen.
        task: its task's, where that was asked for; None if Batch lists none.
        reason, detail: why the watch ended, where it was not the job's own end (`job_watch.GONE`, ...).
        stdout, stderr: output of an attempt that was taken away.
        lines: the last ones of the log, read where nothing else came.
    """

    job: JobStatus | None
    task: TaskStatus | None = None
    reason: str = ""
    stdout: str = ""
    stderr: str = ""
    lines: Sequence[str] = ()
    detail: str = ""

    @property
    def exit_code(self) -> int | None:
        """The task's exit code, where it is known."""
        return self.task.exit_code if self.task is not None else None


@dataclass(frozen=True)
class EvidenceReader:
    """Asks Google how the tasks of one job ended."""

    services: Services
    job_name: str

    async def first_failed(self, job: JobStatus, silent: Sequence[int]) -> TaskStatus | None:
        """The first of these tasks that ended with an exit code of its own; the job's own events may name it.

        Else one that was stopped, such as because of another one, else the first.
        """
        named = [int(index) for event in job.events for index in _TASK_IN_TEXT.findall(event.description)]
        wanted = [*dict.fromkeys(index for index in reversed(named) if index in silent), *silent][:ASKED_TASKS]
        asked = []
        for index in dict.fromkeys(wanted or (0,)):
            task = await self._task(index)
            if task is None:
                continue
            if task.state != "SUCCEEDED" and task.exit_code not in (None, EXIT_TERMINATED):
                return task
            asked.append(task)
        return min(asked, key=lambda task: task.exit_code is None, default=None)

    async def tasks(self, indices: Sequence[int]) -> dict[int, TaskStatus]:
        """These tasks by their index, without those that Batch does not report."""
        asked = await asyncio.gather(*map(self._task, indices))
        return {index: task for index, task in zip(indices, asked, strict=True) if task is not None}

    async def last_lines(self, job_uid: str, index: int | None) -> list[str]:
        """The log's last lines, of one task only where the job has several, if they come in time."""
        until = asyncio.get_running_loop().time() + LOG_SECONDS
        lines = await self._read_log(job_uid, index, LOG_SECONDS)
        if not lines and asyncio.get_running_loop().time() + 2 * LOG_PAUSE_SECONDS < until:
            await asyncio.sleep(LOG_PAUSE_SECONDS)
            lines = await self._read_log(job_uid, index, until - asyncio.get_running_loop().time())
        return lines

    async def _read_log(self, job_uid: str, index: int | None, seconds: float) -> list[str]:
        # Not waited for any longer than that, unlike what else runs in the threads: a reading leaves nothing behind.
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(LOG_POOL, self.services.logs.last_lines, job_uid, TAIL_LINES, index)
        await asyncio.wait([reading], timeout=seconds)
        if not reading.done():
            reading.cancel()
            reading.add_done_callback(lambda late: late.cancelled() or late.exception())
            return []
        try:
            return reading.result()
        except CloudError as error:
            logger.debug("no log lines of %s: %s", self.job_name, error)
            return []

    async def _task(self, index: int) -> TaskStatus | None:
        try:
            return await self.services.batch.task(self.job_name, index, patience_seconds=TASK_SECONDS)
        except CloudError as error:
            logger.debug("no task status of %s: %s", self.job_name, error)
            return None
