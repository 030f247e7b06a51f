"""What a job left behind: its outcome; or else its task's state, its output so far, or the last lines of its log."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..batch.attempt_records import Measured
from ..batch.call_objects import CallObjects
from ..batch.download_buffer import DownloadBuffer
from ..batch.job_evidence import EvidenceReader
from ..batch.job_verdict import join_text
from ..cloud import Services
from ..cloud.batch import JobStatus
from ..cloud.threads import run_stoppable
from ..errors import CloudError, OutcomeError
from ..protocol.envelope import OUTCOME, PARTIAL
from ..protocol.identity import CallIdentity
from ..protocol.object_names import round_folder
from ..settings import Settings
from .cache_folder import remake_folder
from .outcome import Outcome, read_outcome, read_partial
from .verdict import ElectronEvidence

logger = logging.getLogger(__name__)

# The runner keeps 2 MiB of each stream (protocol.limits.KEPT_BYTES); what is larger it has not written
LARGEST_PARTIAL_BYTES = 5 * 1024 * 1024
# A job has ended and its outcome is not there: Cloud Storage is consistent, so this is for the unforeseen
OUTCOME_GRACE_SECONDS = (0.5, 1.5, 3.0)
# Of each stream of an attempt that was run again
EARLIER_CHARACTERS = 64 * 1024
# Whoever cancelled waits no longer than that for the output
LAST_OUTPUT_SECONDS = 5.0


@dataclass(frozen=True)
class Collector:
    """Fetches what one job left behind, through the services that its call came with.

    Attributes:
        measured: what attempts measured that left their output so far, by task and attempt, as far as that was read.
    """

    services: Services
    settings: Settings
    identity: CallIdentity
    job_name: str
    measured: dict[tuple[int, int], Measured] = field(default_factory=dict)

    async def outcome(self, objects: CallObjects, job: JobStatus | None) -> Outcome | OutcomeError | None:
        """The outcome, the error if it is refused, or None; asked for again where the job's end says it should come.

        Raises:
            CloudError: it could not be fetched for too long.
            CancelledCall: the user asked for the end.
        """
        is_expected = job is not None and job.state in ("SUCCEEDED", "FAILED")
        for pause in (*(OUTCOME_GRACE_SECONDS if is_expected else ()), None):
            found = await objects.fetch(self._read_outcome)
            if found is not None or pause is None:
                return found
            await asyncio.sleep(pause)
        return None

    async def explain_missing(
        self, found: ElectronEvidence, silent: Sequence[int] = (0,), round: int = 0
    ) -> ElectronEvidence:
        """What else there is to tell of a job of which these tasks left no outcome, the `round`-th of its call.

        It is told of the first of them that ended with an exit code: others may have been stopped for its sake.
        """
        job = found.job
        if job is None:
            return found
        reader = EvidenceReader(self.services, self.job_name)
        task = await reader.first_failed(job, silent)
        found = replace(found, task=task)
        index = task.index if task is not None else min(silent, default=0)
        stdout, stderr = await run_stoppable(self._read_partial, index, round)
        if stdout or stderr:
            return replace(found, stdout=stdout, stderr=stderr)
        only = index if sum(job.counts.values()) > 1 else None
        return replace(found, lines=await reader.last_lines(job.uid, only))

    async def with_earlier_output(self, outcome: Outcome) -> Outcome:
        """The outcome with what attempts before its own had printed until they were stopped, as far as they left it."""
        if not outcome.attempt:
            return outcome
        try:
            earlier = await asyncio.wait_for(run_stoppable(self._read_earlier, outcome.attempt), LAST_OUTPUT_SECONDS)
        except (CloudError, OSError, asyncio.TimeoutError) as error:
            logger.debug("the output of earlier attempts of %s is not read: %s", self.job_name, error)
            return outcome
        stdout = _earlier(earlier, 0, outcome.stdout, outcome.attempt)
        stderr = _earlier(earlier, 1, outcome.stderr, outcome.attempt)
        return replace(outcome, stdout=stdout, stderr=stderr)

    def _read_earlier(self, attempts: int) -> list[tuple[int, tuple[str, str]]]:
        return list(self._partials(0, 0, range(min(attempts, self.settings.retries + 1))))

    async def last_output(self, index: int = 0, round: int = 0) -> tuple[str, str]:
        """Stdout and stderr of a task whose job was cancelled, as far as it came to report them in time."""
        try:
            return await asyncio.wait_for(run_stoppable(self._read_last, index, round), LAST_OUTPUT_SECONDS)
        except (CloudError, OSError, asyncio.TimeoutError) as error:
            logger.debug("the last output of %s is not read: %s", self.job_name, error)
            return "", ""

    def _read_last(self, index: int, round: int) -> tuple[str, str]:
        streams = self._read_partial(index, round)
        if any(streams) or (index, round) != (0, 0):
            return streams
        # It had ended just before.
        outcome = self._read_once()
        if not isinstance(outcome, Outcome):
            return "", ""
        traceback = outcome.raised.traceback if outcome.raised is not None else ""
        return outcome.stdout, join_text(outcome.stderr, traceback)

    def _read_outcome(self) -> Outcome | OutcomeError | None:
        """What is there, or the error if it is refused twice: once it may have been changed on its way."""
        found = self._read_once()
        return self._read_once() if isinstance(found, OutcomeError) else found

    def _read_once(self) -> Outcome | OutcomeError | None:
        folder = self.settings.cache_dir
        remake_folder(folder)
        address = self.identity.task()
        with DownloadBuffer(folder, address.call.key, address.binding(OUTCOME), "the outcome") as arrival:
            try:
                if not arrival.fetch(self.services.objects, address.outcome_name):
                    return None
                return read_outcome(arrival.file, address, arrival.sha256, arrival.envelope)
            except OutcomeError as error:
                return error

    def _read_partial(self, index: int, round: int) -> tuple[str, str]:
        """Stdout and stderr of the task's latest attempt that was taken away and left them; empty if none did."""
        attempts = range(self.settings.retries, -1, -1)
        return next((streams for _, streams in self._partials(index, round, attempts)), ("", ""))

    def _partials(self, index: int, round: int, attempts: Iterable[int]) -> Iterator[tuple[int, tuple[str, str]]]:
        """Those of these attempts that left their output so far, each with its stdout and stderr.

        Only objects that are an attempt's and have its seal count, whatever else lies there.
        """
        store, address = self.services.objects, self.identity.task(index, round)
        try:
            prefix = f"{round_folder(self.identity.folder, round)}/attempt-"
            there = {stored.name: stored.size for stored in store.list(prefix)}
            for attempt in attempts:
                name = address.partial_name(attempt)
                if there.get(name, LARGEST_PARTIAL_BYTES + 1) > LARGEST_PARTIAL_BYTES:
                    continue
                with io.BytesIO() as stream:
                    store.get(name, stream)
                    try:
                        streams, measured = read_partial(stream, address.call.key, address.binding(PARTIAL))
                        self.measured[index, attempt] = measured
                        yield attempt, streams
                    except OutcomeError as error:
                        logger.debug("%s is passed over: %s", name, error)
        except CloudError as error:
            logger.debug("no output so far of %s: %s", self.job_name, error)


def _earlier(attempts: Sequence[tuple[int, tuple[str, str]]], stream: int, last: str, number: int) -> str:
    """One stream of all attempts, under their titles; of earlier ones the end, if they are long."""
    parts = []
    for attempt, streams in attempts:
        text = streams[stream]
        if len(text) > EARLIER_CHARACTERS:
            text = f"... {len(text) - EARLIER_CHARACTERS} characters left out ...\n{text[-EARLIER_CHARACTERS:]}"
        if text:
            end = "" if text.endswith("\n") else "\n"
            parts.append(f"--- attempt {attempt}, which was run again ---\n{text}{end}")
    return "".join([*parts, f"--- attempt {number} ---\n", last]) if parts else last
