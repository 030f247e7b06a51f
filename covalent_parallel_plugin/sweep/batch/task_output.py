"""What a task of one round prints on Batch: what it delivers while it runs, then what its attempts and its end have."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ...cloud.interfaces import Bucket
from ...cloud.timed_calls import Deadline, call_all_within, call_within
from ...errors import OutcomeError
from ...programs.kept_output import StreamName, seek_rest
from ...protocol.envelope import WireError
from ...protocol.live_part import LivePart, LiveStream
from ...protocol.sweep_identity import SweepTaskAddress
from ...protocol.sweep_objects import LiveName, parse_delivered, task_attempts_prefix
from ...protocol.sweep_row import SweepRow, read_row
from ..printed_piece import STREAMS, AttemptEnd, PrintedPiece
from .delivered_body import BodyAddress, fetch_body
from .rows import end_of
from .running_output import RunningOutput

T = TypeVar("T")

READS_AT_ONCE = 12
# A part has 512 KiB at most
PARTS_AT_ONCE = 96
REQUEST_SECONDS = 20.0
# Whatever the deadline is: who answers slowly on a busy machine is heard all the same
LEAST_SECONDS = 2.0
# Of what reported an end; it may have as much output as `log_limit` lets it
SLOWEST_BYTES_PER_SECOND = 1e6
_CHUNK_BYTES = 1 << 20
_KILLED = "its container or machine was gone before it could report"


@dataclass(frozen=True)
class RoundTask:
    """A task as it was given to a round.

    Attributes:
        job_task: the index of the task of the round's job that runs it, perhaps after others.
        log_limit: bytes that are kept of each stream.
    """

    address: SweepTaskAddress
    name: str
    key: str
    job_task: int
    log_limit: int


@dataclass
class _Execution:
    """What was given of one execution: the end of each stream, and its last byte."""

    attempt: int
    token: str
    ends: dict[StreamName, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    last: dict[StreamName, bytes] = field(default_factory=lambda: dict.fromkeys(STREAMS, b"\n"))
    is_over: bool = False

    def take(self, stream: StreamName, output: LiveStream) -> PrintedPiece:
        """Note some output; return it."""
        self.ends[stream] = max(self.ends[stream], output.end)
        self.last[stream] = output.data[-1:] or self.last[stream]
        return PrintedPiece(self.attempt, stream, output)


@dataclass(frozen=True)
class _Report:
    """What reported an execution's end: an object of so many bytes, and of an outcome its row."""

    attempt: int
    body: BodyAddress
    size: int
    row: SweepRow | None = None


class PrintedOutput:
    """The output of one task of one round; each look gives what is new.

    Attributes:
        has_begun: whether anything of an attempt was seen.
        refused: a sentence for each object that is not to be used; whoever reports them empties it.
    """

    def __init__(self, store: Bucket, task: RoundTask) -> None:
        self._store, self._task = store, task
        self._running = RunningOutput(store, task.address.sweep)
        self._executions: dict[str, _Execution] = {}
        self._newest: LiveName | None = None
        self._reported: set[str] = set()
        self.refused: list[str] = []

    @property
    def has_begun(self) -> bool:
        """Whether anything of an attempt was seen."""
        return bool(self._executions)

    def look(self, deadline: Deadline) -> Iterator[PrintedPiece | AttemptEnd]:
        """Yield what is new, in the order of attempts; what is not read by the deadline comes at the next look.

        Of a task that had ended before the first look, earlier attempts are left out.

        Raises:
            OutcomeError: what reported an end is not the one that was sealed. CloudError: the bucket cannot be used.
        """
        # In this order: what came before something that is seen is seen as well
        outcome = self._call(deadline, self._outcome)
        parts: dict[str, list[LiveName]] = {}
        reports = outcome
        if self._executions or not outcome:
            for name in self._call(deadline, lambda: self._running.names(self._task.address, self._newest)):
                self._executions.setdefault(name.token, _Execution(name.attempt, name.token))
                if name != self._newest:
                    parts.setdefault(name.token, []).append(name)
            reports = {**self._call(deadline, self._attempts), **outcome}
        for token, report in reports.items():
            self._executions.setdefault(token, _Execution(report.attempt, token))
        in_order = sorted(self._executions.values(), key=lambda execution: (execution.attempt, execution.token))
        for execution in in_order:
            if execution.is_over:
                continue
            if not (yield from self._new(execution, parts.get(execution.token, []), deadline)):
                return
            if execution.token in reports:
                status, reason = yield from self._rest(execution, reports[execution.token], deadline)
                execution.is_over = True
                yield AttemptEnd(execution.attempt, status, reason, execution.token in outcome)
            elif execution is not in_order[-1]:
                execution.is_over = True
                yield AttemptEnd(execution.attempt, "lost", _KILLED, False)

    def give_up(self) -> Iterator[AttemptEnd]:
        """Report attempts without an end as lost: their job has ended."""
        for execution in self._executions.values():
            if not execution.is_over:
                execution.is_over = True
                yield AttemptEnd(execution.attempt, "lost", _KILLED, False)

    def _call(self, deadline: Deadline, question: Callable[[], T]) -> T:
        return call_within(_seconds(deadline), f"the bucket {self._store.bucket_name}", question)

    def _outcome(self) -> dict[str, _Report]:
        """Return the outcome's report by its token; nothing where there is none, or none to be used."""
        address = self._task.address
        for stored in self._store.list(address.outcome_name, with_metadata=True):
            if stored.name == address.outcome_name:
                try:
                    row = read_row(address, stored.metadata)
                    end_of(row)
                except WireError as error:
                    self._refuse(f"gs://{self._store.bucket_name}/{stored.name} is refused: {error}")
                else:
                    attempt, token = (row.fields[name] for name in ("attempt", "token"))
                    assert isinstance(attempt, int) and isinstance(token, str)  # `end_of` has seen it
                    return {token: _Report(attempt, BodyAddress.outcome(address, self._task.name), stored.size, row)}
        return {}

    def _attempts(self) -> dict[str, _Report]:
        """Return the reports of attempts that were not the last, by their tokens."""
        address, name = self._task.address, self._task.name
        folder, reports = address.sweep.folder, {}
        for stored in self._store.list(task_attempts_prefix(folder, address.round, address.task)):
            read = parse_delivered(folder, stored.name)
            if read is not None:
                body = BodyAddress.attempt(address, name, read.attempt, read.token)
                reports[read.token] = _Report(read.attempt, body, stored.size)
        return reports

    def _new(
        self, execution: _Execution, names: Sequence[LiveName], deadline: Deadline
    ) -> Generator[PrintedPiece, None, bool]:
        """Yield what parts have; return whether all were read in time."""
        for first in range(0, len(names), PARTS_AT_ONCE):
            some = names[first : first + PARTS_AT_ONCE]
            reads = [partial(self._part, name) for name in some]
            found = call_all_within(_seconds(deadline), reads, READS_AT_ONCE)
            for name, part in zip(some, found, strict=True):
                if part is None:
                    return False
                self._newest = name
                if isinstance(part, LivePart):
                    for stream, output in zip(STREAMS, part.streams, strict=True):
                        if output.end > execution.ends[stream]:
                            yield execution.take(stream, output)
                elif part:
                    self._refuse(part)
        return True

    def _part(self, name: LiveName) -> LivePart | str:
        """Return a part, or why it is not used; "" where it is gone. Raises CloudError."""
        try:
            return self._running.read(name) or ""
        except OutcomeError as error:
            return str(error)

    def _rest(
        self, execution: _Execution, report: _Report, deadline: Deadline
    ) -> Generator[PrintedPiece, None, tuple[str, str]]:
        """Yield what of an execution's output was not given yet; return its status and the reason."""
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            files: dict[StreamName, BinaryIO] = {}
            fields: Any = report.row.fields if report.row is not None else None
            output: Any = report.row.output if report.row is not None else None
            if output is not None:
                files = {stream: io.BytesIO(output[stream].encode(errors="surrogateescape")) for stream in STREAMS}
            else:
                paths: dict[str, Path] = {stream: Path(folder) / stream for stream in STREAMS}
                seconds = _seconds(deadline) + report.size / SLOWEST_BYTES_PER_SECOND
                fetch = partial(fetch_body, self._store, report.body, Path(folder), paths)
                fields = call_within(seconds, f"the bucket {self._store.bucket_name}", fetch).row
                files = {stream: stack.enter_context(paths[stream].open("rb")) for stream in STREAMS}
            for stream, file in files.items():
                yield from self._rest_of(execution, stream, file)
        return str(fields.get("status", "")), str(fields.get("reason", ""))

    def _rest_of(self, execution: _Execution, stream: StreamName, file: BinaryIO) -> Iterator[PrintedPiece]:
        line = seek_rest(file, self._task.log_limit, execution.ends[stream])
        data = (b"\n" if line and execution.last[stream] != b"\n" else b"") + line
        while data or (data := file.read(_CHUNK_BYTES)):
            # As if it went on where the last part ended: what was left out was said
            yield execution.take(stream, LiveStream(execution.ends[stream], data))
            data = b""

    def _refuse(self, text: str) -> None:
        if text not in self._reported:
            self._reported.add(text)
            self.refused.append(text)


def _seconds(deadline: Deadline) -> float:
    """Return how long one request may take."""
    return max(deadline.share(REQUEST_SECONDS), LEAST_SECONDS)
