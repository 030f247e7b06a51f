"""Batch v1 over gRPC: binds the port, reads and writes the messages, counts the calls, gives errors their status."""

from __future__ import annotations

import errno
import functools
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.cloud import batch_v1
from google.longrunning import operations_pb2

from ..execution.scheduler import Engine
from ..faults.plan import FaultPlan
from ..faults.rpc_faults import CallFaults
from ..filters import field_masks
from ..filters.filter_language import FilterError
from ..model.job import TransitionRefused
from ..model.job_summary import EndedJob
from ..project.resources import Known
from .project_checks import DetailedRefusal, check_request
from .service import BatchService
from .validate_job import Refusal

# more than work needs: a fault that delays a call holds one for as long
_THREADS = 64
_MAX_MESSAGE_BYTES = 64 << 20
_MASKED = ("GetJob", "ListJobs")


class BatchServer:
    """Serves Batch and Operations on 127.0.0.1 in plaintext; `port` 0 takes a free one.

    `rpc_counts` has the number of calls by method, refused ones included. Raises OSError when the port is taken.
    """

    def __init__(
        self,
        engine: Engine,
        port: int = 0,
        faults: FaultPlan | None = None,
        known: Known | None = None,
        on_job_end: Callable[[EndedJob], None] = lambda ended: None,
    ) -> None:
        self._known = Known() if known is None else known
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="emulator-batch")
        self._server = grpc.server(
            self._pool,
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES)],
        )
        service = BatchService(engine, known=self._known, on_job_end=on_job_end)
        self._faults = CallFaults(FaultPlan() if faults is None else faults, "rpc", service.described)
        self._server.add_generic_rpc_handlers(self._handlers(service))
        try:
            self._port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        except RuntimeError as error:
            raise OSError(errno.EADDRINUSE, f"port {port} is taken") from error

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._port}"

    @property
    def rpc_counts(self) -> dict[str, int]:
        """A copy of the counters."""
        with self._lock:
            return dict(self._counts)

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self) -> None:
        """Refuse new calls, let running ones end, and release the port."""
        self._server.stop(grace=0.2).wait()
        self._pool.shutdown(wait=True)

    def _handlers(self, service: BatchService) -> tuple[Any, Any]:
        batch: dict[str, tuple[Callable[..., Any], Any]] = {
            "CreateJob": (service.create_job, batch_v1.CreateJobRequest),
            "GetJob": (service.get_job, batch_v1.GetJobRequest),
            "ListJobs": (service.list_jobs, batch_v1.ListJobsRequest),
            "GetTask": (service.get_task, batch_v1.GetTaskRequest),
            "ListTasks": (service.list_tasks, batch_v1.ListTasksRequest),
            "CancelJob": (service.cancel_job, batch_v1.CancelJobRequest),
            "DeleteJob": (service.delete_job, batch_v1.DeleteJobRequest),
        }
        operations: dict[str, tuple[Callable[..., Any], Any]] = {
            "GetOperation": (service.get_operation, operations_pb2.GetOperationRequest),
            "ListOperations": (service.list_operations, operations_pb2.ListOperationsRequest),
            "WaitOperation": (service.wait_operation, operations_pb2.WaitOperationRequest),
            "CancelOperation": (service.cancel_operation, operations_pb2.CancelOperationRequest),
            "DeleteOperation": (service.delete_operation, operations_pb2.DeleteOperationRequest),
        }
        return (
            grpc.method_handlers_generic_handler(
                "google.cloud.batch.v1.BatchService",
                {name: self._method(name, call, kind.deserialize) for name, (call, kind) in batch.items()},
            ),
            grpc.method_handlers_generic_handler(
                "google.longrunning.Operations",
                {name: self._method(name, call, kind.FromString) for name, (call, kind) in operations.items()},
            ),
        )

    def _method(self, name: str, call: Callable[..., Any], read: Callable[[bytes], Any]) -> Any:
        def answer(request: Any, context: Any) -> Any:
            with self._lock:
                self._counts[name] += 1
            masked = call
            if name in _MASKED:
                masked = functools.partial(call, mask=_mask(context))
            try:
                check_request(self._known, request)
                return self._faults.answer(name, request, masked, context)
            except DetailedRefusal as refusal:
                context.set_trailing_metadata((("grpc-status-details-bin", refusal.trailer),))
                context.abort(grpc.StatusCode[refusal.code], str(refusal))
            except Refusal as refusal:
                context.abort(grpc.StatusCode[refusal.code], str(refusal))
            except TransitionRefused as refusal:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refusal))
            except FilterError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=read,
            response_serializer=lambda made: made if isinstance(made, bytes) else made.SerializeToString(),
        )


def _mask(context: Any) -> str:
    return ",".join(value for key, value in context.invocation_metadata() if key == field_masks.HEADER)
