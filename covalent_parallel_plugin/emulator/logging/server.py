"""Serve google.logging.v2.LoggingServiceV2 on loopback: ListLogEntries, WriteLogEntries, ListLogs, DeleteLog."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from google.cloud.logging_v2 import types

from ..faults.plan import FaultPlan
from ..faults.read_quota import ReadQuota
from ..faults.rpc_faults import CallFaults
from ..model.callers import Callers
from ..model.log_store import LogStore
from ..model.service import GrpcServer
from .service import LoggingService


class LoggingServer(GrpcServer):
    """A Cloud Logging on 127.0.0.1 that serves what a LogStore holds.

    Args:
        port: 0 means any free one.
        reads_per_minute: past it ListLogEntries answers RESOURCE_EXHAUSTED, as Google does past 60 reads a
            minute and project; None means no limit.
        clock: seconds, for that limit.
        faults: what goes wrong with calls.
        callers: whose calls are answered.
    """

    name = "logging"
    threads = 8
    grace_seconds = 2.0

    def __init__(
        self,
        store: LogStore,
        port: int = 0,
        reads_per_minute: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        faults: FaultPlan | None = None,
        callers: Callers | None = None,
    ) -> None:
        self._faults = CallFaults(FaultPlan() if faults is None else faults, "logging")
        calls = LoggingService(store, ReadQuota(reads_per_minute, clock))
        methods: dict[str, tuple[Callable[[Any], Any], Any]] = {
            "ListLogEntries": (calls.list_log_entries, types.ListLogEntriesRequest),
            "WriteLogEntries": (calls.write_log_entries, types.WriteLogEntriesRequest),
            "ListLogs": (calls.list_logs, types.ListLogsRequest),
            "DeleteLog": (calls.delete_log, types.DeleteLogRequest),
        }
        super().__init__(
            port,
            {
                "google.logging.v2.LoggingServiceV2": {
                    # The plain protobuf class under the proto-plus one: cheaper to read and build.
                    name: (functools.partial(self._answer, name, call), kind.pb().FromString)
                    for name, (call, kind) in methods.items()
                }
            },
            callers,
        )

    def _answer(self, name: str, call: Callable[[Any], Any], request: Any, context: Any) -> Any:
        return self._faults.answer(name, request, call, context)
