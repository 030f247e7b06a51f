"""The journal of a sweep: one JSON line per event, appended and flushed; the state of the sweep is derived from it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, get_args

from ...errors import ParallelError
from ...programs.verdict import Status, TaskEnd
from ..tasks import Pinned, PinnedImage, SweepTask
from .pace import Pace

# Longer than a look at the lock takes
LOOK_SECONDS = 0.4


class JournalError(ParallelError):
    """A journal cannot be read or held; the message names it and what to do."""


class JournalHeldError(JournalError):
    """Another process holds the journal."""


def start_event(task: SweepTask, attempt: int, pid: int = 0, started_ticks: int = 0) -> dict[str, Any]:
    """Return the event of an attempt's start; `pid` and `started_ticks` identify the process of a plain command."""
    event = {"event": "start", "task": task.name, "index": task.index, "key": task.key, "attempt": attempt}
    return event | ({"pid": pid, "started_ticks": started_ticks} if pid else {})


def end_event(
    task: SweepTask, end: TaskEnd, parts: Mapping[str, str], used_seconds: float | None = None
) -> dict[str, Any]:
    """Return the event of a task's end; `parts` are the digests of what its key is made of.

    `used_seconds` are those of all attempts that the run made; None where only the last one's are known.
    """
    event = {"event": "end", "task": task.name, "index": task.index, "key": task.key, "parts": dict(parts)}
    return event | asdict(end) | ({} if used_seconds in (None, end.seconds) else {"used_seconds": used_seconds})


def open_event(sweep_id: str, name: str) -> dict[str, Any]:
    """Return the event of this process's beginning with a sweep."""
    return {"event": "open", "id": sweep_id, "name": name, "pid": os.getpid()}


def round_event(round: int, job: str, made: float, **more: object) -> dict[str, Any]:
    """Return the event of a round on Batch, before anything of it is there; `made` in seconds since 1970."""
    return {"event": "round", "round": round, "job": job, "made": made, **more}


def round_end_event(round: int, state: str, machine_seconds: float = 0.0) -> dict[str, Any]:
    """Return the event of a round's end: nothing of it runs, and all that it delivered was read.

    `machine_seconds`: that its machines ran; 0 where that is not known.
    """
    event = {"event": "round-end", "round": round, "state": state}
    return event | ({"machine_seconds": machine_seconds} if machine_seconds else {})


def drain_event() -> dict[str, Any]:
    """Return the event of a run that starts nothing more."""
    return {"event": "drain"}


def task_end(event: Mapping[str, Any]) -> TaskEnd:
    """Return how a task ended, from its event."""
    known = {field.name: event[field.name] for field in fields(TaskEnd) if field.name in event}
    return TaskEnd(**known | {"left": tuple(event.get("left", ()))})


def pinned_event(pinned: Pinned) -> dict[str, Any]:
    """Return what a run found of image and inputs, as a part of its event."""
    return asdict(pinned)


@dataclass(frozen=True, slots=True)
class RecordedEnd:
    """A task's last end: under which key, with which status, and where the journal has the whole of it (bytes).

    Of a task that ran on Batch, `at` is its round and its index there; `is_here` is False where its outputs are in the
    bucket only.
    """

    key: str
    status: Status
    offset: int
    is_here: bool = True
    at: tuple[int, int] | None = None


class State:
    """The state after the journal's events.

    Attributes:
        sweep_id, name: the sweep's; "" where the journal is empty.
        pid: the process that opened the journal last.
        run: the event of the last run; None before the first.
        finish: its last event; None while it runs, and where it was killed.
        pinned: image and inputs as the last run found them.
        ends: task's name -> its last end.
        running: task's name -> the event of a start without an end.
        stale: names of ends that the last run's file has no more, or under another key.
        pace: that of the last run that had tasks to run.
        rounds: number -> the event of a round on Batch whose job is not known to have ended, nor all it has left read.
        next_round: the number of the round that comes next; none is used twice.
        hears_signals: whether SIGTERM ends the run that holds the journal, and not all of its process.
        is_draining: whether the run starts nothing more, by `cancel --waiting`.
        place: project, region and bucket of the last run on Batch; None where there was none.
    """

    def __init__(self) -> None:
        self.sweep_id = self.name = ""
        self.pid = 0
        self.run: Mapping[str, Any] | None = None
        self.finish: Mapping[str, Any] | None = None
        self.pinned = Pinned()
        self.ends: dict[str, RecordedEnd] = {}
        self.running: dict[str, Mapping[str, Any]] = {}
        self.stale: set[str] = set()
        # Round, None for this machine -> what its tasks have taken, or once it has ended its machines
        self._used_seconds: dict[int | None, float] = {}
        self.pace = Pace()
        self.rounds: dict[int, Mapping[str, Any]] = {}
        self.next_round = 0
        self.is_draining = False
        self.hears_signals = True
        self.place: Mapping[str, str] | None = None
        self._attempts: dict[str, tuple[str, int]] = {}

    @classmethod
    def read(cls, path: Path) -> State:
        """Read a journal; a torn last line is ignored.

        Raises:
            JournalError: it is not there, or has a line that is not an event.
        """
        try:
            with path.open("rb") as file:
                return cls._of(path, file)
        except OSError as error:
            raise JournalError(f"{path} cannot be read: {error.strerror}") from error

    @classmethod
    def _of(cls, path: Path, file: BinaryIO) -> State:
        state, offset = cls(), 0
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                try:
                    state.apply(json.loads(line), offset)
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    raise JournalError(f"{path}:{number} is not an event of a sweep: remove the line") from error
            offset += len(line)
        return state

    def apply(self, event: Mapping[str, Any], offset: int) -> None:
        """Take in an event that the journal has at this offset (bytes)."""
        kind, name = event["event"], sys.intern(event.get("task", ""))
        if kind == "end":
            status: Status = sys.intern(event["status"])  # type: ignore[assignment]
            at = tuple(event["at"]) if "at" in event else None
            self.ends[name] = RecordedEnd(event["key"], status, offset, event.get("is_here", True), at)
            self.running.pop(name, None)
            self.stale.discard(name)
            self._attempts[name] = (event["key"], event["attempts"])
            if not event.get("is_read_again"):
                self._use(at[0] if at is not None else event.get("round"), event.get("used_seconds", event["seconds"]))
                if status != "cancelled":
                    self.pace.add(event.get("started", 0), event.get("ended", 0))
        elif kind == "start":
            self.running[name] = event
        elif kind == "open":
            self.sweep_id, self.name, self.pid = event["id"], event["name"], event["pid"]
            self.is_draining = False
            self.hears_signals = event.get("hears_signals", self.hears_signals)
        elif kind == "run":
            self.run, self.finish, self.running, self.stale = event, None, {}, set(event["stale"])
            self.pinned = _pinned(event["pinned"])
            self.place = event.get("place", self.place)
            if event.get("to_run", 1):
                self.pace = Pace()
        elif kind == "round":
            self.rounds[event["round"]] = event
            self.next_round = max(self.next_round, event["round"] + 1)
        elif kind == "round-end":
            self.rounds.pop(event["round"], None)
            if "machine_seconds" in event:
                self._used_seconds[event["round"]] = event["machine_seconds"]
        elif kind == "moved":
            self._move(event["names"])
        elif kind == "drain":
            self.is_draining = True
        elif kind == "finish":
            self.finish, self.running = event, {}

    def _move(self, names: Mapping[str, str]) -> None:
        moved = {new: (self.ends.pop(old), self._attempts.pop(old, ("", 0))) for new, old in names.items()}
        for name, (end, attempts) in moved.items():
            self.ends[name], self._attempts[name] = end, attempts

    def _use(self, round: int | None, seconds: float) -> None:
        self._used_seconds[round] = self._used_seconds.get(round, 0.0) + seconds

    @property
    def used_hours(self) -> float:
        """How many hours machines have run, by all runs: for rounds that continue those of their tasks."""
        return sum(self._used_seconds.values()) / 3600

    def round_seconds(self, round: int) -> float:
        """Return how long the tasks of a round have run so far, or, once it has ended, its machines."""
        return self._used_seconds.get(round, 0.0)

    def attempts(self, name: str, key: str) -> int:
        """Count a task's attempts under this key, but for those that a kill of the run cut short."""
        recorded, count = self._attempts.get(name, ("", 0))
        return count if recorded == key else 0

    def counts(self) -> Counter[str]:
        """Count the tasks of the last run's file by status, in an order of its own; "running" and "waiting" too."""
        counts: Counter[str] = Counter(dict.fromkeys((*get_args(Status)[:-1], "running", "waiting"), 0))
        counts.update(end.status for name, end in self.ends.items() if name not in self.stale | self.running.keys())
        counts["running"] = len(self.running)
        counts["waiting"] = max((self.run["count"] if self.run else 0) - counts.total(), 0)
        return counts


def _pinned(event: Mapping[str, Any]) -> Pinned:
    image = event["image"]
    if image is not None:
        lists: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in image.items()
        }
        image = PinnedImage(**lists)
    return Pinned(image, event["inputs"])


class Journal:
    """A journal that this process alone writes; `state` is always that of all its lines."""

    def __init__(self, path: Path, descriptor: int, state: State, size: int) -> None:
        self.path = path
        self.state = state
        self._descriptor = descriptor
        self._size = size

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Hold the journal, made if it is not there; a torn last line is cut off.

        Raises:
            JournalHeldError: another process holds it. JournalError: it cannot be read.
            OSError: it cannot be made.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            _lock(descriptor)
            with open(descriptor, "rb", closefd=False) as file:
                state = State._of(path, file)
            size = _whole_lines(descriptor)
            os.ftruncate(descriptor, size)
        except BlockingIOError as error:
            os.close(descriptor)
            raise JournalHeldError(f"another process holds {path}") from error
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, state, size)

    def append(self, event: Mapping[str, Any]) -> None:
        """Write an event, whole or not at all. Raises OSError, such as for a full disk."""
        line = json.dumps(event, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self.state.apply(event, self._size)
        self._size += len(line)

    def close(self) -> None:
        """Release the journal."""
        os.close(self._descriptor)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lock(descriptor: int) -> None:
    """Hold a file alone. Raises BlockingIOError where another process does, and not only for a look (`is_held`)."""
    deadline = time.monotonic() + LOOK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SECONDS / 20)


def is_held(path: Path) -> bool:
    """Return whether a process holds the journal."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def reading_ends(path: Path) -> Iterator[EndReader]:
    """Open a journal to read single ends in it."""
    with path.open("rb") as file:
        yield EndReader(file)


class EndReader:
    """Reads the events of ends where they are."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def event(self, end: RecordedEnd) -> dict[str, Any]:
        """Read the whole event of an end."""
        self._file.seek(end.offset)
        event: dict[str, Any] = json.loads(self._file.readline())
        return event


def _whole_lines(descriptor: int) -> int:
    """Return how many bytes the whole lines have."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end:
        start = max(end - 65536, 0)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
