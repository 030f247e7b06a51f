"""The trace of a dispatch or sweep: what its jobs and attempts did, and when; one JSON line each, for its owner alone.

docs/reference/trace.md has the kinds of records and their fields.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)

VERSION = 1
SUBMITTED = "submitted"
WAITED = "waited"
ATTEMPT = "attempt"
ITEMS = "items"
CACHED = "cached"
ENDED = "ended"
KINDS = frozenset({SUBMITTED, WAITED, ATTEMPT, ITEMS, CACHED, ENDED})

TRACES_VARIABLE = "COVALENT_PARALLEL_TRACES"
"""Where `covalent-parallel dev` has its server's traces: programs that it starts have a home of their own."""
# Of an error's message
MESSAGE_BYTES = 2048
SUFFIX = ".jsonl"
DAYS = 60
DAY_SECONDS = 86400.0
# Old traces are looked for no more often than that
REMOVAL_PAUSE_SECONDS = 3600.0
# A job waits for its machines for 2 days and runs for 14 at most (https://cloud.google.com/batch/quotas): a trace whose
# nodes have not all ended may be silent for so long, and grow again
LONGEST_SILENCE_DAYS = 20
# Of something else in a trace's place, such as a pipe, the opening is not to wait; where a link leads nobody asked for
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
# Names of files that are made of a dispatch's id as it is
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


def traces_folder(environment: Mapping[str, str], home: Path | None = None) -> Path | None:
    """Return the folder of a user's traces; None for a user who has no home folder.

    Source: https://specifications.freedesktop.org/basedir-spec, where a relative path counts for nothing.
    """
    named = Path(environment.get("XDG_DATA_HOME", ""))
    if not named.is_absolute():
        try:
            home = home or Path(environment.get("HOME") or Path.home())
        except RuntimeError:  # as pathlib says that the system knows no such user
            return None
        named = home / ".local" / "share"
    return named / "covalent-parallel" / "traces" if named.is_absolute() else None


def dispatch_traces(environment: Mapping[str, str]) -> Path | None:
    """Return the folder of the traces that the server of a client's environment writes, on the same machine."""
    named = Path(environment.get(TRACES_VARIABLE, ""))
    return named if named.is_absolute() else traces_folder(environment)


def trace_path(folder: Path, dispatch_id: str) -> Path:
    """Return the file of a dispatch or sweep; an id that cannot be the name of a file is hashed."""
    plain = _PLAIN_ID.fullmatch(dispatch_id)
    return folder / (
        (dispatch_id if plain else hashlib.sha256(dispatch_id.encode(errors="backslashreplace")).hexdigest()) + SUFFIX
    )


class OneWarning:
    """Has a process warn once that it cannot write traces."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_given = False

    def give(self, where: object, error: object) -> None:
        """Log the warning unless it was logged before."""
        with self._lock:
            is_first, self._is_given = not self._is_given, True
        if is_first:
            logger.warning(
                "No trace of what dispatches do can be written to %s (%s); they run all the same. Make the folder"
                " writable for the user of the Covalent server, set XDG_DATA_HOME to another place, or trace=False.",
                where,
                error,
            )


WARNING = OneWarning()


class TraceFile:
    """The trace of one dispatch or sweep, to which several processes may append; writing blocks, and never raises.

    Args:
        folder: see `traces_folder`.
        dispatch_id: the dispatch's, or the sweep's.
        days: older traces of the folder are deleted.
        warning: is given where a trace cannot be written.
    """

    def __init__(self, folder: Path | None, dispatch_id: str, days: int = DAYS, warning: OneWarning = WARNING):
        self.path = None if folder is None else trace_path(folder, dispatch_id)
        self._days = days
        self._warning = warning

    def write(self, kind: str, node: int | None, **fields: object) -> bool:
        """Append one record; return whether that succeeded."""
        return self.append([record_line(kind, node, fields)])

    def append(self, lines: Sequence[bytes]) -> bool:
        """Append lines as `record_line` makes them, each with one write; return whether that succeeded."""
        if not lines:
            return True
        if self.path is None:
            self._warning.give("the user's data folder", "the user has no home folder")
            return False
        try:
            _append(self.path, lines)
        except OSError as error:
            self._warning.give(self.path.parent, error.strerror or error)
            return False
        removals.remove_now_and_then(self.path.parent, self._days)
        return True


def shortened_message(text: str) -> str:
    """Return the first of a message's bytes, whole characters of it."""
    return text.encode("utf-8", "backslashreplace")[:MESSAGE_BYTES].decode("utf-8", "ignore")


def record_line(kind: str, node: int | None, fields: Mapping[str, object]) -> bytes:
    """Return a record as a line of a trace."""
    record = {"v": VERSION, "kind": kind, "node": node, **fields}
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _append(path: Path, lines: Sequence[bytes]) -> None:
    """Append lines. Raises OSError, also where one was written in part."""
    try:
        file = os.open(path, _FLAGS, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, _FLAGS, 0o600)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is not a file")
        if os.geteuid() not in (0, status.st_uid):
            raise OSError(f"{path} belongs to another user")
        # A line that was cut, by a full disk or a crash of the machine, does not take the next one with it.
        is_cut = status.st_size > 0 and os.pread(file, 1, status.st_size - 1) != b"\n"
        for line in lines:
            line = b"\n" + line if is_cut else line
            is_cut = False
            if os.write(file, line) < len(line):
                raise OSError(f"no space left for {path}")
    finally:
        os.close(file)


class Trace(NamedTuple):
    """What a trace has: its records in the order in which they were written, and how many lines were not read."""

    records: list[dict[str, Any]]
    skipped: int = 0


def read_trace(path: Path) -> Trace:
    """Read a trace; one that is not there has no records. Lines that are cut or of an unknown kind are skipped.

    Raises:
        OSError: the file cannot be read.
    """
    records: list[dict[str, Any]] = []
    skipped = 0
    for record in iterate_trace(path):
        if record is None:
            skipped += 1
        else:
            records.append(record)
    return Trace(records, skipped)


def iterate_trace(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield a trace's records one by one, and None for each line that is cut or of an unknown kind.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        with open(path, "rb", opener=open_regular) as file:
            for line in file:
                if line.strip():
                    yield _read_record(line)
    except FileNotFoundError:
        return


def open_regular(path: str, flags: int) -> int:
    """Open a file, and nothing else that reading might wait for."""
    file = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{path} is not a file")
    return file


def _read_record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.get("v") != VERSION:
        return None
    kind, node = record.get("kind"), record.get("node")
    is_known = isinstance(kind, str) and kind in KINDS and (node is None or isinstance(node, int))
    return record if is_known else None


class Removals:
    """Deletes a folder's old traces, now and then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[Path, float] = {}

    def remove_now_and_then(self, folder: Path, days: int) -> None:
        """Delete traces older than so many days, unless that was done less than an hour ago."""
        now = time.monotonic()
        with self._lock:
            last = self._last.get(folder)
            if last is not None and now - last < REMOVAL_PAUSE_SECONDS:
                return
            self._last[folder] = now
        remove_old_traces(folder, days, time.time())


removals = Removals()


def remove_old_traces(folder: Path, days: int, now: float) -> None:
    """Delete the traces that nobody has written to for so many days; those that may be written to again are left.

    `now` in seconds since 1970. What cannot be deleted stays.
    """
    with contextlib.suppress(OSError):
        for path in folder.glob("*" + SUFFIX):
            with contextlib.suppress(OSError):
                age = _age_days(path, now)
                is_silent = age > max(days, LONGEST_SILENCE_DAYS)
                if age > days and (is_silent or _has_ended(path)) and _age_days(path, now) > days:
                    path.unlink()


def _age_days(path: Path, now: float) -> float:
    status = path.lstat()
    return (now - status.st_mtime) / DAY_SECONDS if stat.S_ISREG(status.st_mode) else 0.0


def _has_ended(path: Path) -> bool:
    """Whether each node of a trace has ended after its last job was submitted."""
    running = set()
    for record in read_trace(path).records:
        if record["kind"] == SUBMITTED:
            running.add(record["node"])
        elif record["kind"] == ENDED:
            running.discard(record["node"])
    return not running
