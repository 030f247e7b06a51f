"""Serve google.logging.v2.LoggingServiceV2 on loopback: ListLogEntries, WriteLogEntries, ListLogs, DeleteLog."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import grpc
from google.cloud.logging_v2 import types

from ..batch.validate_job import Refusal
from ..faults.plan import FaultPlan
from ..faults.rpc_faults import CallFaults
from ..model.log_store import LogStore
from .service import LoggingCalls, LoggingRefusal, ReadQuota

__all__ = ["LogStore", "LoggingServer"]

SERVICE = "google.logging.v2.LoggingServiceV2"
STOP_SECONDS = 2.0


def _handler(name: str, call: Callable[[Any], Any], request_type: Any, faults: CallFaults) -> grpc.RpcMethodHandler:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return faults.answer(name, request, call, context)
        except LoggingRefusal as refusal:
            context.abort(refusal.status, refusal.message)
        except Refusal as refusal:
            context.abort(grpc.StatusCode[refusal.code], str(refusal))

    # The plain protobuf class under the proto-plus one: cheaper to read and build.
    return grpc.unary_unary_rpc_method_handler(
        answer, request_type.pb().FromString, lambda response: response.SerializeToString()
    )


class LoggingServer:
    """A Cloud Logging on 127.0.0.1 that serves what a LogStore holds.

    Args:
        port: 0 means any free one.
        reads_per_minute: past it ListLogEntries answers RESOURCE_EXHAUSTED, as Google does past 60 reads a
            minute and project; None means no limit.
        clock: seconds, for that limit.
        faults: what goes wrong with calls.
    """

    def __init__(
        self,
        store: LogStore,
        port: int = 0,
        reads_per_minute: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        faults: FaultPlan | None = None,
    ) -> None:
        self._faults = CallFaults(FaultPlan() if faults is None else faults, "logging")
        self._calls = LoggingCalls(store, ReadQuota(reads_per_minute, clock))
        self._port = port
        self._server: grpc.Server | None = None
        self._threads: ThreadPoolExecutor | None = None

    @property
    def address(self) -> str:
        """The value for LOGGING_EMULATOR_HOST: host:port."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Begin to serve.

        Raises:
            RuntimeError: already started.
            OSError: the port is taken.
        """
        if self._server is not None:
            raise RuntimeError(f"the logging server is already running at {self.address}")
        threads = ThreadPoolExecutor(8, thread_name_prefix="emulator-logging")
        # Without this option a second server could share the port, and each would get some of the calls.
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0)])
        calls = self._calls
        methods = {
            "ListLogEntries": (calls.list_log_entries, types.ListLogEntriesRequest),
            "WriteLogEntries": (calls.write_log_entries, types.WriteLogEntriesRequest),
            "ListLogs": (calls.list_logs, types.ListLogsRequest),
            "DeleteLog": (calls.delete_log, types.DeleteLogRequest),
        }
        handlers = {name: _handler(name, call, kind, self._faults) for name, (call, kind) in methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        try:
            self._port = server.add_insecure_port(self.address)
        except RuntimeError as error:  # what grpc raises for every failure to bind
            threads.shutdown()
            raise OSError(f"the logging server cannot listen on port {self._port}: {error}") from error
        server.start()
        self._server, self._threads = server, threads

    def stop(self) -> None:
        """End; calls under way get 2 s. Does nothing if not started."""
        if self._server is not None and self._threads is not None:
            self._server.stop(STOP_SECONDS).wait(STOP_SECONDS * 2)
            self._threads.shutdown()
        self._server = self._threads = None

    def __enter__(self) -> LoggingServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
