"""Implement the methods of Batch v1 and of Operations: check a request, have the scheduler act, and answer."""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from google.cloud import batch_v1
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from ..execution.scheduled_job import ScheduledJob
from ..execution.scheduler import Scheduler
from ..filters.field_masks import EVERYTHING, parse_mask
from ..filters.filter_language import parse_filter
from ..model.errors import RpcError
from ..model.job import Job
from ..model.job_summary import JobSummary, summarize
from ..project.resources import ProjectResources
from .job_table import JOB_FILTERS, JobRecord, JobTable, in_order, page
from .messages import (
    TASK_FILTERS,
    JobName,
    parse_job_name,
    parse_tasks_name,
    retry_rule,
    task_plan,
    tasks_at_once,
    with_defaults,
)
from .operations import OPERATION_FILTERS, Operation, Operations, operation_message
from .project_checks import machine_error
from .response_cache import list_response, message_type
from .validate_job import validate_create_job, validate_request_id

REQUEST_ID_SECONDS = 3600.0
"""For at least 60 minutes the same request_id gets the first answer (google.cloud.batch.v1)."""
MAX_WAIT_SECONDS = 5.0
_JOB = message_type("Job")
_JOBS = message_type("ListJobsResponse")


class BatchService:
    """The methods of BatchService and of Operations. Raises RpcError.

    `on_job_end` is called with the scheduler's lock held, so it must be quick.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        clock: Callable[[], float] = time.time,
        known: ProjectResources | None = None,
        on_job_end: Callable[[JobSummary], None] = lambda ended: None,
    ) -> None:
        self._known = ProjectResources() if known is None else known
        self._on_job_end = on_job_end
        self._scheduler = scheduler
        self._clock = clock
        self._table = JobTable()
        self._operations = Operations(lambda: uuid.uuid4().hex)
        self._requests: OrderedDict[tuple[str, str, str], tuple[float, JobRecord | Operation]] = OrderedDict()
        self._changed = threading.Condition(scheduler.lock)

    def create_job(self, request: batch_v1.CreateJobRequest) -> bytes:
        """Make a job and hand it to the scheduler."""
        validate_create_job(request)
        project, location = _parent(request.parent)
        name = JobName(project, location, request.job_id or f"j-{uuid.uuid4()}")
        uid = f"{name.job[:40].rstrip('-')}-{uuid.uuid4().hex[:12]}"
        filled = with_defaults(request.job, name, uid)
        plan = task_plan(filled, name)
        group = filled.task_groups[0]
        with self._scheduler.lock:
            now = self._clock()
            earlier = self._earlier("create", request.parent, request.request_id, now)
            if isinstance(earlier, JobRecord):
                return earlier.answer(now)
            if self._table.find(name) is not None:
                raise RpcError("ALREADY_EXISTS", f'Resource "{name.numbered}" already exists')
            job = Job(
                name.numbered,
                task_count=group.task_count,
                parallelism=tasks_at_once(group),
                retry=retry_rule(group.task_spec),
                now=now,
                on_end=lambda job: self._on_job_end(summarize(name.job, job)),
            )
            refusal = machine_error(self._known, filled, plan.zone)
            scheduled = ScheduledJob(job, plan, settled=lambda: self._settled(record), refusal=refusal)
            record = self._table.add(name, batch_v1.Job.pb(filled), scheduled)
            self._remember("create", request.parent, request.request_id, now, record)
            answer = record.answer(now)
        self._scheduler.submit(scheduled)
        return answer

    def described(self, name: str) -> tuple[Mapping[str, str], float] | None:
        """Return the labels of a job and the time it was created, if there is one of this name."""
        with self._scheduler.lock:
            record = self._table.find(parse_job_name(name))
            return None if record is None else (record.scheduled.plan.labels, record.scheduled.job.created)

    def get_job(self, request: batch_v1.GetJobRequest, mask: str = "") -> bytes:
        """Return a job, or the fields that a mask selects."""
        fields = parse_mask(mask, _JOB)
        name = parse_job_name(request.name)
        with self._scheduler.lock:
            return self._table.get(name).answer(self._clock(), mask, fields)

    def list_jobs(self, request: batch_v1.ListJobsRequest, mask: str = "") -> bytes:
        """Return a page of jobs, or the fields that a mask selects."""
        fields = parse_mask(mask, _JOBS)
        matches = parse_filter(request.filter, JOB_FILTERS)
        project, location = _parent(request.parent)
        with self._scheduler.lock:
            now = self._clock()
            jobs, token = page(
                in_order(self._table.below(project, location), request.order_by),
                size=request.page_size,
                token=request.page_token,
                mark=lambda record: record.number,
                is_wanted=matches,
            )
            # a mask of the list's has another name than the same text for a job
            answers = [record.answer(now, f"list:{mask}", fields.get("jobs", EVERYTHING)) for record in jobs]
        return list_response(answers, token, fields)

    def get_task(self, request: batch_v1.GetTaskRequest) -> bytes:
        """Return a task."""
        name, group, task = parse_tasks_name(request.name)
        with self._scheduler.lock:
            record = self._table.get(name)
            tasks = record.scheduled.job.tasks if record.scheduled.job.lists_tasks and group == "group0" else []
            if task is None or not task.isdecimal() or int(task) >= len(tasks):
                raise RpcError("NOT_FOUND", f'Resource "{request.name}" was not found')
            return record.task_message(tasks[int(task)])

    def list_tasks(self, request: batch_v1.ListTasksRequest) -> bytes:
        """Return a page of tasks; a job that has not been scheduled has none."""
        name, group, _ = parse_tasks_name(request.parent)
        matches = parse_filter(request.filter, TASK_FILTERS)
        with self._scheduler.lock:
            record = self._table.get(name)
            if group != "group0":
                raise RpcError("NOT_FOUND", f'Resource "{request.parent}" was not found')
            tasks, token = page(
                record.scheduled.job.tasks if record.scheduled.job.lists_tasks else [],
                size=request.page_size,
                token=request.page_token,
                mark=lambda task: task.index,
                is_wanted=matches,
            )
            return list_response(map(record.task_message, tasks), token)

    def cancel_job(self, request: batch_v1.CancelJobRequest) -> Any:
        """Begin to cancel a job."""
        return self._begin("cancel", request.name, request.request_id)

    def delete_job(self, request: batch_v1.DeleteJobRequest) -> Any:
        """Begin to delete a job; while that continues, the same operation is the answer."""
        return self._begin("delete", request.name, request.request_id)

    def get_operation(self, request: Any) -> Any:
        """Return an operation."""
        with self._scheduler.lock:
            return operation_message(self._operations.get(request.name))

    def list_operations(self, request: Any) -> Any:
        """Return a page of operations; a filter may ask for `done`."""
        matches = parse_filter(request.filter, OPERATION_FILTERS)
        answer = operations_pb2.ListOperationsResponse()
        with self._scheduler.lock:
            operations = list(enumerate(self._operations.below(request.name.removesuffix("/operations"))))
            chosen, answer.next_page_token = page(
                operations,
                size=request.page_size,
                token=request.page_token,
                mark=lambda numbered: numbered[0],
                is_wanted=lambda numbered: matches(numbered[1]),
            )
            answer.operations.extend(operation_message(operation) for _, operation in chosen)
        return answer

    def wait_operation(self, request: Any) -> Any:
        """Return an operation once it is done, or after the timeout, which is 5 s at most here."""
        seconds = request.timeout.ToNanoseconds() / 1e9 if request.HasField("timeout") else MAX_WAIT_SECONDS
        with self._changed:
            operation = self._operations.get(request.name)
            self._changed.wait_for(lambda: operation.ended is not None, min(seconds, MAX_WAIT_SECONDS))
            return operation_message(operation)

    def cancel_operation(self, request: Any) -> Any:
        """Mark an operation as cancelled; ending its job cannot be taken back."""
        with self._scheduler.lock:
            operation = self._operations.get(request.name)
            operation.is_cancelled = operation.is_cancelled or operation.ended is None
        return empty_pb2.Empty()

    def delete_operation(self, request: Any) -> Any:
        """Forget an operation."""
        with self._scheduler.lock:
            self._operations.delete(request.name)
        return empty_pb2.Empty()

    def _begin(self, verb: str, text: str, request_id: str) -> Any:
        validate_request_id(request_id)
        name = parse_job_name(text)
        with self._scheduler.lock:
            now = self._clock()
            earlier = self._earlier(verb, text, request_id, now)
            if isinstance(earlier, Operation):
                return operation_message(earlier)
            record = self._table.get(name)
            if verb == "cancel":
                record.scheduled.job.request_cancel(now)
            else:
                under_way = next((each for each in record.open_operations if each.verb == "delete"), None)
                if under_way is not None:
                    return operation_message(under_way)
                record.scheduled.job.request_delete(now)
            parent = f"projects/{record.name.project}/locations/{record.name.location}"
            operation = self._operations.begin(parent, str(record.name), verb, now)
            record.open_operations.append(operation)
            self._remember(verb, text, request_id, now, operation)
            answer = operation_message(operation)
        self._scheduler.end(record.scheduled)
        return answer

    def _settled(self, record: JobRecord) -> None:
        """Finish a job that was cancelled or deleted and is at rest; the scheduler holds the lock."""
        if not record.scheduled.job.has_ended:
            self._table.remove(record)
        for operation in record.open_operations:
            operation.ended = self._clock()
        record.open_operations.clear()
        self._changed.notify_all()

    def _earlier(self, verb: str, target: str, request_id: str, now: float) -> JobRecord | Operation | None:
        while self._requests and next(iter(self._requests.values()))[0] < now - REQUEST_ID_SECONDS:
            self._requests.popitem(last=False)
        return self._requests.get((verb, target, request_id), (0.0, None))[1] if request_id else None

    def _remember(self, verb: str, target: str, request_id: str, now: float, answered: JobRecord | Operation) -> None:
        if request_id:
            self._requests[verb, target, request_id] = (now, answered)


def _parent(text: str) -> tuple[str, str]:
    """Read projects/PROJECT/locations/LOCATION. Raises RpcError (INVALID_ARGUMENT)."""
    parts = text.split("/")
    if len(parts) != 4 or parts[0::2] != ["projects", "locations"] or not all(parts):
        raise RpcError("INVALID_ARGUMENT", f"parent {text!r} must be projects/PROJECT/locations/LOCATION")
    return parts[1], parts[3]
