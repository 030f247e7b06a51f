"""Keep log entries in memory, the newest so many, safe for many threads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

# google.logging.type.LogSeverity
SEVERITIES: Mapping[str, int] = {
    "DEFAULT": 0,
    "DEBUG": 100,
    "INFO": 200,
    "NOTICE": 300,
    "WARNING": 400,
    "ERROR": 500,
    "CRITICAL": 600,
    "ALERT": 700,
    "EMERGENCY": 800,
}

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def nanoseconds_of(moment: datetime) -> int:
    """Return nanoseconds since the epoch; a datetime without a zone is taken as UTC, as Cloud Logging does."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def log_name_of(project: str, log: str) -> str:
    """Return the resource name of a log, its id percent-encoded as Cloud Logging wants it."""
    return f"projects/{project}/logs/{quote(log, safe='')}"


@dataclass(frozen=True)
class LogRecord:
    """One entry; times are nanoseconds since the epoch.

    `payload` is a protobuf Struct or Any where the entry came with one instead of text.
    """

    project: str
    log_name: str
    labels: Mapping[str, str]
    severity: int
    text: str
    timestamp_ns: int
    received_ns: int
    insert_id: str
    resource_type: str
    resource_labels: Mapping[str, str] = field(default_factory=dict)
    payload: Any = None

    @property
    def order(self) -> tuple[int, str, str]:
        """Entries are listed by time and, at the same time, by insert id ("Method: entries.list")."""
        return (self.timestamp_ns, self.insert_id, self.log_name)

    @property
    def size(self) -> int:
        """Bytes of what the entry says, about."""
        return len(self.text) + (0 if self.payload is None else self.payload.ByteSize())


class LogStore:
    """The entries of all projects.

    Memory is bounded: past `max_entries` entries, or `max_bytes` bytes of text, the oldest arrivals are dropped,
    and `dropped` says how many. `clock_ns` gives nanoseconds since the epoch.
    """

    def __init__(
        self,
        max_entries: int = 100_000,
        max_bytes: int = 64 * 1024 * 1024,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._records: deque[LogRecord] = deque()
        self._bytes = 0
        self._sequence = 0
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many entries have been dropped to stay within the bounds."""
        return self._dropped

    def now_ns(self) -> int:
        """Return the store's clock."""
        return self._clock_ns()

    def new_insert_id(self) -> str:
        """Return an insert id that sorts after all given out before, so that lines of one instant keep their order."""
        with self._lock:
            self._sequence += 1
            return f"{self._sequence:016x}"

    def write(
        self,
        *,
        project: str,
        log: str,
        labels: Mapping[str, str],
        severity: str,
        text: str,
        timestamp: datetime | None = None,
        resource_type: str = "batch.googleapis.com/Job",
        resource_labels: Mapping[str, str] | None = None,
    ) -> None:
        """Add one line of text.

        Args:
            log: the log's id, such as "batch_task_logs". severity: a name of LogSeverity.
            timestamp: now, if None; without a zone it is UTC.

        Raises:
            ValueError: no such severity.
        """
        if severity not in SEVERITIES:
            raise ValueError(f"severity {severity!r} is not valid: use one of {', '.join(SEVERITIES)}")
        now = self._clock_ns()
        record = LogRecord(
            project=project,
            log_name=log_name_of(project, log),
            labels=dict(labels),
            severity=SEVERITIES[severity],
            text=text,
            timestamp_ns=now if timestamp is None else nanoseconds_of(timestamp),
            received_ns=now,
            insert_id=self.new_insert_id(),
            resource_type=resource_type,
            resource_labels={} if resource_labels is None else dict(resource_labels),
        )
        self.append(record)

    def append(self, *records: LogRecord) -> None:
        """Add finished entries."""
        with self._lock:
            for record in records:
                self._records.append(record)
                self._bytes += record.size
            while len(self._records) > self._max_entries or (self._bytes > self._max_bytes and len(self._records) > 1):
                self._bytes -= self._records.popleft().size
                self._dropped += 1

    def records(self) -> list[LogRecord]:
        """Return all entries held now, in order of arrival."""
        with self._lock:
            return list(self._records)

    def delete_log(self, log_name: str) -> int:
        """Remove a log's entries; returns how many there were."""
        with self._lock:
            before = len(self._records)
            self._records = deque(record for record in self._records if record.log_name != log_name)
            self._bytes = sum(record.size for record in self._records)
            return before - len(self._records)
