"""What a job left behind: its outcome; or else its task's state, its output so far, or the last lines of its log."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from ..protocol.identity import CallIdentity, TaskAddress
from ..protocol.object_names import round_folder
from ..settings import Settings
from .cache_folder import remake_folder
from .live_text import ItemTexts, by_item, joined, listed_parts, read_parts
from .outcome import Outcome, read_outcome, read_partial
from .output_sections import section
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
        hashes: whether the outcome is to come with the SHA-256 of its object.
        is_map: what its tasks delivered while they ran is asked for by `item_texts`, and in no text of a whole task.
    """

    services: Services
    settings: Settings
    identity: CallIdentity
    job_name: str
    is_map: bool = False
    hashes: bool = False
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
        """What else to report of a job, the `round`-th of its call, if these tasks left no outcome.

        The report is of the first of them that ended with an exit code: others may have been stopped because of it.
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
        outcome = self._read_once() if (index, round) == (0, 0) else None
        if not isinstance(outcome, Outcome):
            return self._read_partial(index, round)
        # It had ended just before.
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
                found = read_outcome(arrival.file, address, arrival.sha256, arrival.envelope)
                if not self.hashes:
                    return found
                size = arrival.file.seek(0, 2)
                return replace(found, object_sha256=arrival.whole_sha256(), object_size=size)
            except OutcomeError as error:
                return error

    def _read_partial(self, index: int, round: int) -> tuple[str, str]:
        """Stdout and stderr of the task's latest attempt that left them without an outcome; empty if none did."""
        attempts = range(self.settings.retries, -1, -1)
        return next((streams for _, streams in self._partials(index, round, attempts)), ("", ""))

    def _partials(self, index: int, round: int, attempts: Iterable[int]) -> Iterator[tuple[int, tuple[str, str]]]:
        """Those of these attempts that left their output so far, each with its stdout and stderr.

        It was delivered as they were stopped; or, by those that had no time for that, while they ran. Only objects that
        are an attempt's and have its seal count, whatever else lies there.
        """
        store, address = self.services.objects, self.identity.task(index, round)
        try:
            there = self._partial_sizes(round)
            live = {} if self.is_map else listed_parts(store, address)
            for attempt in attempts:
                found = self._one_partial(address, attempt, there)
                if found is None and attempt in live:
                    found = joined(read_parts(store, address, live[attempt]))
                if found is not None:
                    yield attempt, found
        except CloudError as error:
            logger.debug("no output so far of %s: %s", self.job_name, error)

    def _partial_sizes(self, round: int) -> dict[str, int]:
        prefix = f"{round_folder(self.identity.folder, round)}/attempt-"
        return {stored.name: stored.size for stored in self.services.objects.list(prefix)}

    def _one_partial(self, address: TaskAddress, attempt: int, sizes: Mapping[str, int]) -> tuple[str, str] | None:
        name = address.partial_name(attempt)
        if sizes.get(name, LARGEST_PARTIAL_BYTES + 1) > LARGEST_PARTIAL_BYTES:
            return None
        with io.BytesIO() as stream:
            self.services.objects.get(name, stream)
            try:
                streams, measured = read_partial(stream, address.call.key, address.binding(PARTIAL))
                self.measured[address.task, attempt] = measured
                return streams
            except OutcomeError as error:
                logger.debug("%s is passed over: %s", name, error)
                return None

    async def item_texts(self, index: int, round: int) -> ItemTexts:
        """What a task of a map printed until it was lost, as far as it was delivered while the task ran.

        Of an item that several attempts ran it is the latest one's. Attempts that came to report it all are left out.
        """
        try:
            return await asyncio.wait_for(run_stoppable(self._read_item_texts, index, round), LAST_OUTPUT_SECONDS)
        except (CloudError, OSError, asyncio.TimeoutError) as error:
            logger.debug("what task %d of %s printed is not read: %s", index, self.job_name, error)
            return ItemTexts()

    def _read_item_texts(self, index: int, round: int) -> ItemTexts:
        store, address = self.services.objects, self.identity.task(index, round)
        live = listed_parts(store, address)
        partials = self._partial_sizes(round) if live else {}
        found = ItemTexts()
        for attempt in sorted(live, reverse=True)[: self.settings.retries + 1]:
            if address.partial_name(attempt) not in partials:
                texts = by_item(read_parts(store, address, live[attempt]))
                outside = found.outside if any(found.outside) else texts.outside
                found = ItemTexts({**texts.items, **found.items}, outside)
        return found


def _earlier(attempts: Sequence[tuple[int, tuple[str, str]]], stream: int, last: str, number: int) -> str:
    """One stream of all attempts, under their titles; of earlier ones the end, if they are long."""
    parts = []
    for attempt, streams in attempts:
        text = streams[stream]
        if len(text) > EARLIER_CHARACTERS:
            text = f"... {len(text) - EARLIER_CHARACTERS} characters left out ...\n{text[-EARLIER_CHARACTERS:]}"
        if text:
            parts.append(section(f"attempt {attempt}, which was run again", text))
    return "".join([*parts, f"--- attempt {number} ---\n", last]) if parts else last
