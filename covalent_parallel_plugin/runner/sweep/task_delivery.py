"""Deliver what became of a task: its files, then the outcome, whose metadata has the task's row of the table."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...programs.task_folder import FILES, STDERR_FILE, STDOUT_FILE, names_left
from ...programs.verdict import AttemptVerdict
from ...protocol import envelope as envelopes
from ...protocol.sweep_identity import ATTEMPT, OUTCOME, SweepTaskAddress
from ...protocol.sweep_row import MOST_OUTPUT_BYTES, MOST_REASON_CHARACTERS, row_metadata
from ..output_capture import say
from .machine import Json, MachineSeams
from .output_files import SentFiles, find_files, send_files
from .task_measures import TaskMeasures

# A reason as JSON, in which a character may take twelve bytes
_REASON_BYTES = 1200


class TaskDelivery:
    """The delivery of one task, whose clock runs from when it is made until `note_end`.

    Attributes:
        live: what a report says of output that was delivered before, "" for nothing.
    """

    def __init__(
        self,
        seams: MachineSeams,
        address: SweepTaskAddress,
        entry: Json,
        folder: Path,
        measured: TaskMeasures | None = None,
    ) -> None:
        self._measured = TaskMeasures() if measured is None else measured
        self._seams, self._address, self._entry, self._folder = seams, address, entry, folder
        self._started, self._clock = time.time(), time.monotonic()
        self.live = ""

    def note_end(self) -> None:
        """Note that the program has ended, or will not start."""
        self._ended, self._seconds = time.time(), time.monotonic() - self._clock

    def deliver_outcome(self, verdict: AttemptVerdict, result: dict[str, Any] | None) -> None:
        """Upload files and outcome, unless another attempt has delivered one. Raises BucketError, OSError."""
        header, parts, metadata = self._packed(OUTCOME, verdict, result, None)
        prefix = envelopes.seal_envelope(header, parts, self._address.sweep.key, self._address.outcome_binding)
        if not self._put(self._address.outcome_name, prefix, parts, metadata):
            say("another attempt of task %s has delivered its outcome before" % self._entry["name"])

    def deliver_attempt(self, verdict: AttemptVerdict, most_seconds: float | None) -> None:
        """Upload what an attempt has left that is not the last; files for so long. Raises BucketError, OSError."""
        header, parts, _ = self._packed(ATTEMPT, verdict, None, most_seconds)
        number, token = self._seams.job.attempt, self._seams.token
        binding = self._address.attempt_binding(number, token)
        prefix = envelopes.seal_envelope(header, parts, self._address.sweep.key, binding)
        self._put(self._address.attempt_name(number, token), prefix, parts, None)

    def _packed(
        self,
        kind: str,
        verdict: AttemptVerdict,
        result: dict[str, Any] | None,
        most_seconds: float | None,
    ) -> tuple[dict[str, object], dict[str, envelopes.Part], dict[str, str]]:
        """Upload the files; return an outcome's header, its parts, and the metadata that has its row."""
        files = self._folder / FILES
        left = [*names_left(files)]
        found, folders = find_files(files)
        sent = send_files(self._seams.job.bucket, self._address, self._seams.token, found, most_seconds)
        left += [*folders, *sent.left]
        streams = {"stdout": self._folder / STDOUT_FILE, "stderr": self._folder / STDERR_FILE}
        for path in streams.values():
            path.touch()
        self._measured.note("delivered")
        fields = self._row_fields(verdict, sent, streams)
        fields["left"] = len(left)
        if self.live:
            fields["live"] = self.live
        metadata = row_metadata(
            self._address, fields, result, {name: _start_of(path) for name, path in streams.items()}
        )
        header: dict[str, object] = {"kind": kind, "row": fields, "result": result, "left": left}
        header["files"] = list(sent.entries)
        return header, {name: envelopes.file_part(str(path)) for name, path in streams.items()}, metadata

    def _row_fields(self, verdict: AttemptVerdict, sent: SentFiles, streams: Mapping[str, Path]) -> dict[str, object]:
        return {
            "index": self._entry["index"],
            "key": self._entry["key"],
            "name": self._entry["name"],
            "round": self._seams.job.round,
            "attempt": self._seams.job.attempt,
            "token": self._seams.token,
            "status": verdict.status,
            "exit": verdict.exit,
            "signal": verdict.signal,
            "seconds": round(self._seconds, 3),
            "machine": socket.gethostname(),
            "started": self._started,
            "ended": self._ended,
            "reason": _cut(verdict.reason),
            **{f"{name}_bytes": path.stat().st_size for name, path in streams.items()},
            "files": len(sent.entries),
            "file_bytes": sent.size,
            "measured": self._measured.fields(),
        }

    def _put(
        self, name: str, prefix: bytes, parts: Mapping[str, envelopes.Part], metadata: Mapping[str, str] | None
    ) -> bool:
        def body() -> Iterator[bytes]:
            return envelopes.envelope_chunks(prefix, parts)

        return self._seams.bucket.put(name, envelopes.envelope_size(prefix, parts), body, metadata=metadata)


def _start_of(path: Path) -> str:
    """Return a stream's output as text, and as much of a long one as shows that it is long."""
    with path.open("rb") as file:
        return file.read(MOST_OUTPUT_BYTES + 1).decode("utf-8", "surrogateescape")


def _cut(reason: str) -> str:
    reason = reason[:MOST_REASON_CHARACTERS]
    while len(json.dumps(reason)) > _REASON_BYTES:
        reason = reason[:-1]
    return reason
