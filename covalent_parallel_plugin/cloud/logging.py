"""The last lines a job's tasks wrote, from Cloud Logging: for endings that brought no outcome, and only for them.

Reading is limited to 60 requests a minute for a whole project (https://cloud.google.com/logging/quotas), so this never
is the way in which output normally travels.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from typing import Any, ClassVar

from ..protocol.environment import LOGGING_EMULATOR_HOST
from .errors import to_package_error
from .outage_tracker import LOCAL_CHANNEL
from .rate_limiter import RateLimiter

logger = logging.getLogger(__name__)

LOG = "batch_task_logs"
# google.logging.type.LogSeverity.ERROR, which stderr has
ERROR_SEVERITY = 500
REQUEST_TIMEOUT_SECONDS = 4.0
# Of the project's 60 a minute, which people and other programs share
READS_PER_MINUTE = 40
BACK_OFF_SECONDS = 30.0


@dataclass(frozen=True)
class LogEntry:
    """A line in a job's log, when it was written in seconds since 1970, and whether it went to stderr."""

    text: str
    seconds: float
    is_stderr: bool


class LogReader:
    """Reads one project's Batch logs; blocking, thread-safe.

    Args:
        project_id: the project.
        client: a `LoggingServiceV2Client`; made on first use if not given.
        limiter: holds the readings back that would be too many.
    """

    _clients: ClassVar[dict[str, Any]] = {}
    _limiters: ClassVar[dict[str, RateLimiter]] = {}
    _lock = threading.Lock()

    def __init__(self, project_id: str, client: Any = None, limiter: RateLimiter | None = None):
        self._project_id = project_id
        self._client = client
        self._limiter = limiter or RateLimiter(READS_PER_MINUTE, 60.0)

    @classmethod
    def shared(cls, project_id: str) -> LogReader:
        """The project's logs through the process's client, which is made when the first line is asked for."""
        with cls._lock:
            limiter = cls._limiters.setdefault(project_id, RateLimiter(READS_PER_MINUTE, 60.0))
        return cls(project_id, limiter=limiter)

    def last_lines(self, job_uid: str, count: int = 20, task_index: int | None = None) -> list[str]:
        """The last lines of a job's tasks, or of one of them, oldest first.

        There are none where the project's readings are used up for now.

        Raises:
            CloudError: they could not be read.
        """
        return [entry.text for entry in self.last_entries(job_uid, count, task_index)]

    def last_entries(self, job_uid: str, count: int, task_index: int | None = None) -> list[LogEntry]:
        """As `last_lines`, with each line's time and stream. Raises CloudError."""
        from google.api_core.exceptions import ResourceExhausted
        from google.cloud.logging_v2.types import ListLogEntriesRequest

        task = f"{job_uid}-group0-{task_index}"
        # Batch's agent writes task/<task>/<attempt>/0
        of_task = f' AND (labels.task_id="{task}" OR labels.task_id:"{task}/")' if task_index is not None else ""
        request = ListLogEntriesRequest(
            resource_names=[f"projects/{self._project_id}"],
            # Without a bound of its own the service looks at the last day only; a job may be older.
            filter=f'logName="projects/{self._project_id}/logs/{LOG}" AND labels.job_uid="{job_uid}"{of_task}'
            ' AND timestamp>="2000-01-01T00:00:00Z"',
            order_by="timestamp desc",
            page_size=count,
        )
        if not self._limiter.take():
            logger.debug("the logs of %s are not read: too many readings this minute", job_uid)
            return []
        try:
            pager = self._connected().list_log_entries(request, retry=None, timeout=REQUEST_TIMEOUT_SECONDS)
            page = next(iter(pager.pages))
        except ResourceExhausted as error:
            self._limiter.back_off(BACK_OFF_SECONDS)
            raise to_package_error(error, f"read the logs of the job {job_uid}") from error
        except Exception as error:
            raise to_package_error(error, f"read the logs of the job {job_uid}") from error
        return [_entry(entry) for entry in page.entries][::-1]

    def _connected(self) -> Any:
        if self._client is None:
            address = os.environ.get(LOGGING_EMULATOR_HOST, "")
            with self._lock:
                if address not in self._clients:
                    self._clients[address] = connect(address)
            self._client = self._clients[address]
        return self._client


def _entry(entry: Any) -> LogEntry:
    return LogEntry(entry.text_payload.rstrip("\n"), entry.timestamp.timestamp(), entry.severity >= ERROR_SEVERITY)


def connect(address: str = "") -> Any:
    """A client for Google, or for the plaintext server at `address` (host:port)."""
    from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client

    if not address:
        return LoggingServiceV2Client()
    import grpc
    from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcTransport

    channel = grpc.insecure_channel(address, LOCAL_CHANNEL)
    return LoggingServiceV2Client(transport=LoggingServiceV2GrpcTransport(channel=channel))
