"""What a job left behind: its outcome; or else its task's state, its output so far, or the last lines of its log."""

from __future__ import annotations

import asyncio
import io
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..batch.failure_message import TAIL_LINES
from ..batch.stage_runner import forget_runner
from ..cloud import Services
from ..cloud.batch import JobStatus, TaskStatus
from ..cloud.pool import LOG_POOL, in_pool
from ..cloud.storage import CorruptObjectError
from ..errors import CloudError, OutcomeError
from ..protocol.envelope import OUTCOME, PARTIAL
from ..protocol.exit_codes import EXIT_BUCKET_UNREADABLE, EXIT_NO_CALL, EXIT_TERMINATED
from ..protocol.identity import CallIdentity
from ..protocol.object_names import round_folder
from ..settings import Settings
from .download_buffer import Arrival
from .outcome import Outcome, read_outcome, read_streams
from .verdict import Findings

# The task may have found no runner in the bucket
RUNNER_MISSING_STATUSES = (EXIT_NO_CALL, EXIT_BUCKET_UNREADABLE)

logger = logging.getLogger(__name__)

# The runner keeps 2 MiB of each stream (runner.report.KEPT_BYTES); what is larger it has not written
LARGEST_PARTIAL_BYTES = 5 * 1024 * 1024
# A job has ended and its outcome is not there: Cloud Storage is consistent, so this is for the unforeseen
OUTCOME_GRACE_SECONDS = (0.5, 1.5, 3.0)
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
class Collection:
    """Fetches what one job left behind, through the services that its call came with."""

    services: Services
    settings: Settings
    identity: CallIdentity
    job_name: str

    async def outcome(self, job: JobStatus | None) -> Outcome | OutcomeError | None:
        """The outcome, the error if it is refused, or None; asked for again where the job's end says it should come."""
        is_expected = job is not None and job.state in ("SUCCEEDED", "FAILED")
        for pause in (*(OUTCOME_GRACE_SECONDS if is_expected else ()), None):
            found = await in_pool(self._read_outcome)
            if found is not None or pause is None:
                return found
            await asyncio.sleep(pause)
        return None

    async def without_outcome(self, found: Findings, silent: Sequence[int] = (0,), round: int = 0) -> Findings:
        """What else there is to tell of a job of which these tasks left no outcome, the `round`-th of its call.

        It is told of the first of them that ended with an exit code: others may have been stopped for its sake.
        """
        job = found.job
        if job is None:
            return found
        task = await self._first_failed(job, silent)
        if task is not None and task.exit_code in RUNNER_MISSING_STATUSES:
            forget_runner(self.services.objects)
        found = replace(found, task=task)
        index = task.index if task is not None else min(silent, default=0)
        stdout, stderr = await in_pool(self._read_partial, index, round)
        if stdout or stderr:
            return replace(found, stdout=stdout, stderr=stderr)
        only = index if sum(job.counts.values()) > 1 else None
        return replace(found, lines=await self._last_lines(job.uid, only))

    async def _first_failed(self, job: JobStatus, silent: Sequence[int]) -> TaskStatus | None:
        """The first of these tasks that ended with an exit code of its own; the job's own events may name it.

        Else one that was told to stop, such as for another one's sake, else the first.
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

    def _read_outcome(self) -> Outcome | OutcomeError | None:
        folder = self.settings.cache_dir
        Path(folder).mkdir(parents=True, exist_ok=True)
        address = self.identity.task()
        with Arrival(folder, address.call.key, address.binding(OUTCOME)) as arrival:
            try:
                if not self.services.objects.get(address.outcome_name, arrival):
                    return None
                return read_outcome(arrival.file, address, arrival.sha256)
            except CorruptObjectError as error:
                return OutcomeError(str(error))
            except OutcomeError as error:
                return error

    async def _task(self, index: int) -> TaskStatus | None:
        try:
            return await self.services.batch.task(self.job_name, index, patience_seconds=TASK_SECONDS)
        except CloudError as error:
            logger.debug("no task status of %s: %s", self.job_name, error)
            return None

    def _read_partial(self, index: int, round: int) -> tuple[str, str]:
        """Stdout and stderr of the task's latest attempt that was taken away and left them; empty if none did.

        Only objects that are an attempt's and have its seal count, whatever else lies there.
        """
        store, address = self.services.objects, self.identity.task(index, round)
        try:
            attempts = f"{round_folder(self.identity.folder, round)}/attempt-"
            there = {stored.name: stored.size for stored in store.list(attempts)}
            for attempt in range(self.settings.retries, -1, -1):
                name = address.partial_name(attempt)
                if there.get(name, LARGEST_PARTIAL_BYTES + 1) > LARGEST_PARTIAL_BYTES:
                    continue
                with io.BytesIO() as stream:
                    store.get(name, stream)
                    try:
                        return read_streams(stream, address.call.key, address.binding(PARTIAL))
                    except OutcomeError as error:
                        logger.debug("%s is passed over: %s", name, error)
        except CloudError as error:
            logger.debug("no output so far of %s: %s", self.job_name, error)
        return "", ""

    async def _last_lines(self, job_uid: str, index: int | None) -> list[str]:
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
