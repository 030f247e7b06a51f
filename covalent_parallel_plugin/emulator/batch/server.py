"""Serve Batch v1 over gRPC: read the messages, count the calls, and have faults and the project's limits apply."""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from google.cloud import batch_v1
from google.longrunning import operations_pb2

from ..execution.scheduler import Scheduler
from ..faults.plan import FaultPlan
from ..faults.rpc_faults import CallFaults
from ..filters import field_masks
from ..model.callers import Callers
from ..model.job_summary import JobSummary
from ..model.service import GrpcServer, Handler
from ..project.resources import ProjectResources
from .project_checks import check_request
from .service import BatchService

_MAX_MESSAGE_BYTES = 64 << 20
_MASKED = ("GetJob", "ListJobs")


class BatchServer(GrpcServer):
    """Serves Batch and Operations; `rpc_counts` has the number of calls by method, refused ones included."""

    name = "batch"
    # more than work needs: a fault that delays a call holds one for as long
    threads = 64
    grace_seconds = 0.2
    options = (("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),)

    def __init__(
        self,
        scheduler: Scheduler,
        port: int = 0,
        faults: FaultPlan | None = None,
        known: ProjectResources | None = None,
        on_job_end: Callable[[JobSummary], None] = lambda ended: None,
        callers: Callers | None = None,
    ) -> None:
        self._known = ProjectResources() if known is None else known
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        service = BatchService(scheduler, known=self._known, on_job_end=on_job_end)
        self._faults = CallFaults(FaultPlan() if faults is None else faults, "rpc", service.described)
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
        super().__init__(
            port,
            {
                "google.cloud.batch.v1.BatchService": {
                    name: (self._counted(name, call), kind.deserialize) for name, (call, kind) in batch.items()
                },
                "google.longrunning.Operations": {
                    name: (self._counted(name, call), kind.FromString) for name, (call, kind) in operations.items()
                },
            },
            callers,
        )

    @property
    def rpc_counts(self) -> dict[str, int]:
        """A copy of the counters."""
        with self._lock:
            return dict(self._counts)

    def _counted(self, name: str, call: Callable[..., Any]) -> Handler:
        def answer(request: Any, context: Any) -> Any:
            with self._lock:
                self._counts[name] += 1
            masked = functools.partial(call, mask=_mask(context)) if name in _MASKED else call
            check_request(self._known, request)
            return self._faults.answer(name, request, masked, context)

        return answer


def _mask(context: Any) -> str:
    return ",".join(value for key, value in context.invocation_metadata() if key == field_masks.HEADER)
