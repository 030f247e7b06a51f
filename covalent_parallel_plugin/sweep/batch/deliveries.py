"""What tasks delivered, written to the folders that a run on this machine would have made: OUT/TASK."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ...cloud.interfaces import Bucket
from ...cloud.threads import map_in_threads
from ...errors import CloudError, OutcomeError
from ...programs.task_folder import FILES, TASK_FILE, write_json
from ...programs.verdict import TaskEnd
from ...protocol.envelope import WireError
from ...protocol.live_part import LivePart
from ...protocol.sweep_identity import SweepIdentity, SweepTaskAddress
from ...protocol.sweep_objects import (
    DeliveredName,
    LiveName,
    attempts_prefix,
    parse_delivered,
    task_attempts_prefix,
)
from ...protocol.sweep_row import SweepRow
from ..records.out_folder import UNFINISHED, OutFolder
from .delivered_body import BodyAddress, DeliveredBody, DeliveredFile, disk_errors, fetch_body, fetch_header
from .downloaded_folder import STREAMS, CheckedFile, empty, put_in_place, recorded_end, tokens_in, write_nothing
from .round_verdict import unreported_end
from .rows import Delivery, end_of
from .running_output import RunningOutput, executions, write_streams

logger = logging.getLogger(__name__)

# Downloads of files at a time, of all tasks together
THREADS = 8
_KILLED = "its container or machine was gone before it could report: this is what it had delivered while it ran"


class _Earlier(NamedTuple):
    """An attempt that was not the last; `parts` are what it delivered while it ran, where it has reported nothing."""

    name: DeliveredName
    parts: Sequence[LiveName] = ()


class Downloads:
    """Brings what tasks of a sweep delivered into its folder; may be used by several threads at once.

    Args:
        noted: gets the task's name and the row of each earlier attempt that is downloaded.

    Attributes:
        refused: a sentence for each earlier attempt that is not to be used.
    """

    def __init__(
        self,
        store: Bucket,
        identity: SweepIdentity,
        out: OutFolder,
        noted: Callable[[str, Mapping[str, Any]], None] = lambda name, row: None,
    ) -> None:
        self._noted = noted
        self._store = store
        self._identity = identity
        self._out = out
        self._slots = threading.BoundedSemaphore(THREADS)
        self._lock = threading.Lock()
        self._running = RunningOutput(store, identity)
        # Of rounds that are over: index -> attempts that were not the last
        self._attempts: dict[int, dict[int, list[_Earlier]]] = {}
        self.refused: list[str] = []

    def result(self, delivery: Delivery) -> TaskEnd:
        """Return how a task ended, with its result and the names of what was left, and write nothing.

        Raises:
            OutcomeError: its outcome is gone, or not the one that its row belongs to.
            OSError, CloudError.
        """
        if not delivery.is_result_elsewhere and not delivery.row.fields.get("left"):
            return delivery.end
        address = self._outcome(delivery)
        return _with_body(delivery, fetch_header(self._store, address, self._out.path), address)

    def fetch(self, delivery: Delivery, description: Mapping[str, object]) -> TaskEnd:
        """Write a task's folder, with its earlier attempts in `attempt-N`; nothing where that was done before.

        Args:
            delivery: its `end` is written as it is, but for what its outcome's body has.
            description: what task.json says before the end.

        Raises:
            OutcomeError: its outcome or a file of it is gone, or not the one that its row belongs to.
            OSError: such as for a full disk; what was there stays. CloudError: the bucket cannot be used.
        """
        fields: Mapping[str, Any] = delivery.row.fields
        name, mark = delivery.name, {"key": delivery.key, "round": delivery.round, "token": fields["token"]}
        if recorded := recorded_end(self._out.task_folder(name), mark):
            return replace(delivery.end, result=recorded.get("result"), left=tuple(recorded.get("left", ())))
        with self._unfinished(name) as part:
            body = self._write_outcome(part, delivery)
            end = delivery.end if body is None else _with_body(delivery, body, self._outcome(delivery))
            write_json(part / TASK_FILE, {**description, **asdict(end), **mark})
            task = self._identity.task(delivery.round, delivery.index)
            earlier = self._listed(task, fields["attempt"] > 0, fields["token"])
            put_in_place(
                part, self._out.task_folder(name), self._write_earlier(part, earlier, name, delivery.key, description)
            )
        return end

    def fetch_lost(
        self, round: int, index: int, name: str, key: str, end: TaskEnd, description: Mapping[str, object]
    ) -> TaskEnd:
        """Write the folder of a task that delivered no outcome: what its last attempt of this round left, if it did.

        Returns:
            Its end, with when and where that attempt ran by its own report.

        Raises:
            OSError, CloudError.
        """
        earlier = self._listed(self._identity.task(round, index), has_current=True)
        last = earlier.pop() if earlier and earlier[-1].name.round == round else None
        mark = {"key": key, "round": round, "token": last.name.token if last is not None else ""}
        if recorded := recorded_end(self._out.task_folder(name), mark):
            return _as_reported(end, recorded)
        with self._unfinished(name) as part:
            if last is not None and self._write_attempt(part, last, name, key, description):
                end = end if last.parts else _as_reported(end, recorded_end(part, {}) or {})
            else:
                write_nothing(part)
            write_json(part / TASK_FILE, {**description, **asdict(end), **mark})
            put_in_place(part, self._out.task_folder(name), self._write_earlier(part, earlier, name, key, description))
        return end

    def forget_running(self, round: int, index: int, fields: Mapping[str, Any]) -> None:
        """Delete what an execution had delivered while it ran: what it reported, with this row, has all of that."""
        if not fields.get("live"):
            return
        try:
            self._running.delete(self._identity.task(round, index), fields["token"])
        except CloudError as error:
            logger.debug("what task %d of round %d printed while it ran stays: %s", index, round, error)

    def _outcome(self, delivery: Delivery) -> BodyAddress:
        return BodyAddress.outcome(self._identity.task(delivery.round, delivery.index), delivery.name)

    @contextmanager
    def _unfinished(self, name: str) -> Iterator[Path]:
        """Yield a folder beside the tasks', which is not there before and after."""
        part = self._out.path / f".{name}{UNFINISHED}"
        if part.exists():
            shutil.rmtree(part)
        part.mkdir(mode=0o700)
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _write_outcome(self, part: Path, delivery: Delivery) -> DeliveredBody | None:
        """Write streams and files; return the body, None where the row has everything."""
        output: Any = delivery.row.output
        if delivery.is_whole:
            (part / FILES).mkdir()
            for stream, file in STREAMS.items():
                (part / file).write_bytes(output[stream].encode(errors="surrogateescape"))
            return None
        address = self._outcome(delivery)
        return self._write_body(part, address, self._identity.task(delivery.round, delivery.index))

    def _write_body(self, part: Path, address: BodyAddress, task: SweepTaskAddress) -> DeliveredBody:
        """Write the streams of a body and the files that it names. Raises OutcomeError: others were sealed."""
        (part / FILES).mkdir()
        with self._slots:
            body = fetch_body(self._store, address, part, {name: part / file for name, file in STREAMS.items()})
        token = str(body.row["token"])
        write = partial(self._write_file, part / FILES, address, task, token)
        for _ in map_in_threads(write, body.files, min(THREADS, len(body.files)) or 1):
            pass
        return body

    def _write_file(
        self, folder: Path, address: BodyAddress, task: SweepTaskAddress, token: str, file: DeliveredFile
    ) -> None:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        name = task.output_name(token, file.path)
        with path.open("xb") as opened:
            target = CheckedFile(opened, file, address)
            with self._slots, disk_errors():
                if not self._store.get(name, target):
                    address.refuse(f"its file {file.path!r} is gone from gs://{self._store.bucket_name}")
            target.check()
        path.chmod(file.mode & 0o777)
        os.utime(path, ns=(file.mtime_ns, file.mtime_ns))

    def _listed(self, task: SweepTaskAddress, has_current: bool, reported: str = "") -> list[_Earlier]:
        """List a task's attempts that were not the last, oldest first.

        `has_current`: perhaps some of this round, beside the one whose token has `reported`.
        """
        found = [attempt for round in range(task.round) for attempt in self._of_round(round).get(task.task, ())]
        if has_current:
            attempts = self._parsed(self._store.names(task_attempts_prefix(self._identity.folder, *task[1:])))
            found += self._with_killed(attempts, self._running.names(task), reported)
        return sorted(found, key=lambda attempt: (attempt.name.round, attempt.name.attempt))

    def _of_round(self, round: int) -> Mapping[int, Sequence[_Earlier]]:
        with self._lock:
            if round not in self._attempts:
                by_task = defaultdict(list)
                attempts = self._parsed(self._store.names(attempts_prefix(self._identity.folder, round)))
                for earlier in self._with_killed(attempts, self._running.of_round(round)):
                    by_task[earlier.name.task].append(earlier)
                self._attempts[round] = by_task
            return self._attempts[round]

    def _with_killed(
        self, attempts: Sequence[DeliveredName], parts: Sequence[LiveName], reported: str = ""
    ) -> list[_Earlier]:
        """Return attempts, and those of which there is only what they delivered while they ran."""
        killed = executions(parts, {reported, *(attempt.token for attempt in attempts)}).values()
        return [*map(_Earlier, attempts), *(_Earlier(DeliveredName(*own[0][:4]), own) for own in killed)]

    def _parsed(self, names: Sequence[str]) -> list[DeliveredName]:
        return [found for name in names if (found := parse_delivered(self._identity.folder, name)) and found.token]

    def _write_earlier(
        self,
        part: Path,
        attempts: Sequence[_Earlier],
        name: str,
        key: str,
        description: Mapping[str, object],
    ) -> list[Path]:
        """Write the folders of earlier attempts that the task's folder does not have yet; return them."""
        there = tokens_in(self._out.task_folder(name)) if attempts else set()
        made = []
        for number, attempt in enumerate(attempts):
            folder = part / f"attempt-{number}"
            folder.mkdir()
            if attempt.name.token not in there and self._write_attempt(folder, attempt, name, key, description):
                made.append(folder)
        return made

    def _write_attempt(
        self, folder: Path, attempt: _Earlier, name: str, key: str, description: Mapping[str, object]
    ) -> bool:
        """Write the folder of an attempt that was not the last; False, and none, where it is of no use."""
        try:
            end = (
                self._write_killed(folder, attempt, key)
                if attempt.parts
                else self._write_reported(folder, attempt.name, name, key)
            )
        except OutcomeError as error:
            logger.warning("%s", error)
            self.refused.append(str(error))
            end = None
        if end is None:
            empty(folder)
            return False
        mark = {"key": key, "round": attempt.name.round, "token": attempt.name.token}
        write_json(folder / TASK_FILE, {**description, **asdict(end), **mark})
        return True

    def _write_reported(self, folder: Path, attempt: DeliveredName, name: str, key: str) -> TaskEnd | None:
        """Write what an attempt has left; return its end, None if it is another task's. Raises OutcomeError."""
        task = self._identity.task(attempt.round, attempt.task)
        address = BodyAddress.attempt(task, name, attempt.attempt, attempt.token)
        body = self._write_body(folder, address, task)
        end = replace(_end_in(body, address), left=body.left)
        if (body.row["attempt"], body.row["token"]) != (attempt.attempt, attempt.token):
            address.refuse("it is another attempt's")
        self.forget_running(attempt.round, attempt.task, body.row)
        if body.row["key"] != key:
            return None
        self._noted(name, body.row)
        return end

    def _write_killed(self, folder: Path, attempt: _Earlier, key: str) -> TaskEnd | None:
        """Write what an attempt had printed that has reported nothing; return as `_write_reported` does."""
        parts = [part for name in attempt.parts if (part := self._part(name)) is not None and part.run == key]
        if not parts:
            return None
        (folder / FILES).mkdir()
        ended = write_streams(parts, {stream: folder / file for stream, file in STREAMS.items()})
        return unreported_end("lost", _KILLED, ended=ended)

    def _part(self, name: LiveName) -> LivePart | None:
        """Fetch some output; None where it is gone, or not to be used."""
        with self._slots:
            try:
                return self._running.read(name)
            except OutcomeError as error:
                logger.warning("%s", error)
                self.refused.append(str(error))
                return None


def _with_body(delivery: Delivery, body: DeliveredBody, address: BodyAddress) -> TaskEnd:
    if _without_result(delivery.row.fields) != _without_result(body.row):
        address.refuse("it belongs to another row than the one that it came with")
    return replace(delivery.end, result=body.result, left=body.left)


def _as_reported(end: TaskEnd, reported: Mapping[str, Any]) -> TaskEnd:
    """Return an end that Batch reported, with when and where its task ran by its own report."""
    known = {name: reported[name] for name in ("seconds", "machine", "started", "ended") if name in reported}
    return replace(end, **known, left=tuple(reported.get("left", ())))


def _without_result(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's fields but for where its result is, which is known only when the body is sealed."""
    return {name: value for name, value in row.items() if name != "result"}


def _end_in(body: DeliveredBody, address: BodyAddress) -> TaskEnd:
    try:
        return end_of(SweepRow({**body.row, "result": "none" if body.result is None else "row"}, body.result, None))
    except WireError as error:
        address.refuse(error)
