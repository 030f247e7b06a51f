"""Google Batch: create, look at, cancel, delete and list jobs, with what may pass retried on every call alike."""

from __future__ import annotations

import asyncio
import builtins
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, TypeVar

from google.api_core import exceptions as google
from google.cloud import batch_v1

from ..errors import CloudError
from ..protocol.environment import BATCH_EMULATOR_HOST
from .errors import to_package_error
from .job_status import GROUP, read_job, read_raw_job, read_raw_task, read_task_status
from .job_status import Event as Event
from .job_status import InstanceStatus as InstanceStatus
from .job_status import JobStatus as JobStatus
from .job_status import TaskStatus as TaskStatus
from .outage_tracker import LOCAL_CHANNEL, service_at
from .page_limit import PageLimit
from .per_loop import PerLoop
from .rate_limiter import RateLimiter
from .retry import retry_transient

logger = logging.getLogger(__name__)

T = TypeVar("T")

# One attempt of a request; a healthy service answers in a fraction of this
ATTEMPT_SECONDS = 20.0
# How long a request is tried again while Batch is in trouble
PATIENCE_SECONDS = 300.0
# The same for a server on this machine, which is there or is not
LOCAL_PATIENCE_SECONDS = 20.0
# A job that runs already is worth a longer wait
OUTAGE_SECONDS = 1800.0
LOCAL_OUTAGE_SECONDS = 20.0
# A refusal to report such a job may be a proxy's, or an expired token's: so long it is not believed
REFUSAL_SECONDS = 300.0
# https://cloud.google.com/batch/quotas: 15,000 reads per minute and region, for everybody in the project
MAX_READS_PER_MINUTE = 6000
# How long a read waits before it looks again whether there is room
FULL_PAUSE_SECONDS = 0.5
# As many jobs as a list may have on one page; a server that gives fewer says how it goes on
PAGE_SIZE = 1000
MOST_PAGES, LIST_SECONDS = 200, 120.0
# https://cloud.google.com/apis/docs/system-parameters: which fields an answer is to have. A job's definition, with its
# environment, is what makes most of it, and nothing here reads that.
FIELD_MASK = "x-goog-fieldmask"
JOB_MASK = "name,uid,labels,create_time,status"
LIST_MASK = ",".join(f"jobs.{field}" for field in JOB_MASK.split(",")) + ",next_page_token"
TASK_MASK = "status"
TASKS_MASK = "tasks.name,tasks.status,next_page_token"
VARIABLES_MASK = "task_groups"
# So many jobs of a list are read in one go; the event loop's others have their turn in between
READ_AT_ONCE = 100
# Google's client attaches whole requests to its debug records, and with a job's environment the call's key
REQUEST_LOGGER = "google.cloud.batch_v1.services.batch_service.transports"


class AlreadyExistsError(CloudError):
    """A job of this name exists."""


class BatchApi:
    """The Batch API through one client, which belongs to the event loop it was made in.

    Attributes:
        outage_seconds: how long Batch may be out of reach before a job that runs there is given up.
        refusal_seconds: how long it may refuse to report such a job.
    """

    # By project and region; for all event loops of this process
    _reads: ClassVar[dict[str, RateLimiter]] = {}
    # By address
    _shared: ClassVar[PerLoop[dict[str, BatchApi]]] = PerLoop(dict)

    def __init__(
        self, client: batch_v1.BatchServiceAsyncClient, patience_seconds: float = PATIENCE_SECONDS, address: str = ""
    ):
        self._client = client
        self._patience_seconds = patience_seconds
        self._takes_masks = True
        self._service = service_at("Google Batch", address or client.api_endpoint, bool(address))
        self.outage_seconds = OUTAGE_SECONDS if patience_seconds > LOCAL_OUTAGE_SECONDS else LOCAL_OUTAGE_SECONDS
        self.refusal_seconds = REFUSAL_SECONDS

    @classmethod
    def shared(cls) -> BatchApi:
        """The running event loop's client: Google's, or BATCH_EMULATOR_HOST's without credentials.

        Raises:
            PermissionDeniedError: no credentials.
        """
        address = os.environ.get(BATCH_EMULATOR_HOST, "")
        mine = cls._shared.here()
        if address not in mine:
            mine[address] = cls(connect(address), LOCAL_PATIENCE_SECONDS if address else PATIENCE_SECONDS, address)
        return mine[address]

    async def create(self, parent: str, job: batch_v1.Job, job_id: str, request_id: str) -> JobStatus:
        """Submit a job.

        Raises:
            AlreadyExistsError: the id is taken; perhaps by this very job, if an earlier answer was lost.
            CloudError: Batch refused it, or could not be reached for five minutes.
        """
        request = batch_v1.CreateJobRequest(parent=parent, job=job, job_id=job_id, request_id=request_id)
        try:
            return read_job(await self._ask(self._client.create_job, request))
        except google.AlreadyExists as error:
            raise AlreadyExistsError(f"the job {job_id} exists already") from error
        except Exception as error:
            raise to_package_error(error, f"create the job {job_id} under {parent}") from error

    async def get(self, name: str, patience_seconds: float | None = None) -> JobStatus | None:
        """The job's status, or None where Batch knows no such job (as also for a while after its creation)."""
        try:
            request = batch_v1.GetJobRequest(name=name)
            return read_job(await self._read(name, self._client.get_job, request, JOB_MASK, patience_seconds))
        except google.NotFound:
            return None
        except Exception as error:
            raise to_package_error(error, f"read the job {name}") from error

    async def variables(self, name: str, patience_seconds: float | None = None) -> Mapping[str, str] | None:
        """The environment of a job's tasks, or None where Batch knows no such job."""
        try:
            request = batch_v1.GetJobRequest(name=name)
            job = await self._read(name, self._client.get_job, request, VARIABLES_MASK, patience_seconds)
            groups = batch_v1.Job.pb(job).task_groups
            return dict(groups[0].task_spec.environment.variables) if groups else {}
        except google.NotFound:
            return None
        except Exception as error:
            raise to_package_error(error, f"read the job {name}") from error

    async def task(self, job_name: str, index: int = 0, patience_seconds: float | None = None) -> TaskStatus | None:
        """The status of one task, or None where Batch lists no such task."""
        name = f"{job_name}/taskGroups/{GROUP}/tasks/{index}"
        try:
            request = batch_v1.GetTaskRequest(name=name)
            task = await self._read(name, self._client.get_task, request, TASK_MASK, patience_seconds)
            return read_task_status(index, batch_v1.Task.pb(task).status)
        except google.NotFound:
            return None
        except Exception as error:
            raise to_package_error(error, f"read the task {name}") from error

    async def tasks(self, job_name: str, patience_seconds: float | None = None) -> builtins.list[TaskStatus]:
        """The status of all tasks that Batch lists of a job, all pages; none where it knows no such job.

        Raises:
            CloudError: also for a list whose pages have no end.
        """
        request = batch_v1.ListTasksRequest(parent=f"{job_name}/taskGroups/{GROUP}", page_size=PAGE_SIZE)
        list_tasks = self._client.list_tasks
        try:
            return await self._listed(
                job_name, list_tasks, request, TASKS_MASK, patience_seconds, "tasks", read_raw_task
            )
        except google.NotFound:
            return []
        except Exception as error:
            raise to_package_error(error, f"list the tasks of the job {job_name}") from error

    async def list(
        self, parent: str, filter: str = "", patience_seconds: float | None = None
    ) -> builtins.list[JobStatus]:
        """The jobs under a project and region that a filter in Batch's language lets through, all pages.

        Raises:
            CloudError: also for a list whose pages have no end.
        """
        request = batch_v1.ListJobsRequest(parent=parent, filter=filter, page_size=PAGE_SIZE)
        list_jobs = self._client.list_jobs
        try:
            return await self._listed(parent, list_jobs, request, LIST_MASK, patience_seconds, "jobs", read_raw_job)
        except Exception as error:
            raise to_package_error(error, f"list the jobs under {parent}") from error

    async def cancel(self, name: str, patience_seconds: float | None = None) -> bool:
        """Ask for a job's end; False where there is nothing to end: no such job, ended, or being ended already."""
        try:
            await self._ask(self._client.cancel_job, batch_v1.CancelJobRequest(name=name), patience_seconds)
        except google.MethodNotImplemented:
            # Where jobs cannot be cancelled yet, deleting them ends them too.
            return await self.delete(name)
        except (google.NotFound, google.FailedPrecondition, google.AlreadyExists) as error:
            logger.debug("the job %s needs no cancelling: %s", name, error)
            return False
        except Exception as error:
            raise to_package_error(error, f"cancel the job {name}") from error
        return True

    async def delete(self, name: str) -> bool:
        """End a job and remove its history; False where there is no such job."""
        try:
            await self._ask(self._client.delete_job, batch_v1.DeleteJobRequest(name=name))
        except (google.NotFound, google.FailedPrecondition) as error:
            logger.debug("the job %s needs no deleting: %s", name, error)
            return False
        except Exception as error:
            raise to_package_error(error, f"delete the job {name}") from error
        return True

    async def close(self) -> None:
        """Close the channel."""
        await self._client.transport.close()  # type: ignore[no-untyped-call]  # the client has no types for it

    async def _listed(
        self,
        place: str,
        method: Callable[..., Awaitable[Any]],
        request: Any,
        mask: str,
        patience_seconds: float | None,
        rows: str,
        read: Callable[[Any], T],
    ) -> builtins.list[T]:
        """All rows of all pages, each one read; `rows` is the field of a page that has them."""
        found: builtins.list[T] = []
        limit = PageLimit(MOST_PAGES, LIST_SECONDS)
        while True:
            pager = await self._read(place, method, request, mask, patience_seconds)
            answer = await anext(aiter(pager.pages))
            page = type(answer).pb(answer)
            for number, row in enumerate(getattr(page, rows)):
                if number % READ_AT_ONCE == READ_AT_ONCE - 1:
                    await asyncio.sleep(0)
                found.append(read(row))
            limit.check(page.next_page_token)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def _read(
        self, name: str, method: Callable[..., Awaitable[T]], request: Any, mask: str, patience_seconds: float | None
    ) -> T:
        """One request that reads, within this process's share of the region's quota, for the fields of a mask."""
        place = "/".join(name.split("/", 4)[:4])
        limiter = self._reads.setdefault(place, RateLimiter(MAX_READS_PER_MINUTE, 60.0))

        async def limited(asked: Any, **options: Any) -> T:
            # Bounded by the limiter's own span: what was taken a minute ago is free again.
            while not limiter.take():  # noqa: ASYNC110 - it is time that is waited for
                await asyncio.sleep(FULL_PAUSE_SECONDS)
            return await method(asked, metadata=((FIELD_MASK, mask),) if self._takes_masks else (), **options)

        try:
            return await self._ask(limited, request, patience_seconds)
        except google.InvalidArgument as error:
            if not self._takes_masks:
                raise
            # Whatever is wrong, it is not worth an electron to ask for less.
            self._takes_masks = False
            logger.debug("Batch is asked for whole answers from here on: %s", error)
            return await self._ask(limited, request, patience_seconds)

    async def _ask(self, method: Callable[..., Awaitable[T]], request: Any, patience_seconds: float | None = None) -> T:
        """One request, tried again while what goes wrong may pass."""

        async def attempt() -> T:
            return await method(request, retry=None, timeout=ATTEMPT_SECONDS)

        patience = self._patience_seconds if patience_seconds is None else patience_seconds
        return await retry_transient(attempt, patience, self._service)


def connect(address: str = "") -> batch_v1.BatchServiceAsyncClient:
    """A client for Google, or for the plaintext server at `address` (host:port); needs a running event loop.

    Raises:
        PermissionDeniedError: no credentials.
    """
    logging.getLogger(REQUEST_LOGGER).setLevel(logging.INFO)
    try:
        if not address:
            return batch_v1.BatchServiceAsyncClient()
        from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcAsyncIOTransport
        from grpc import aio

        return batch_v1.BatchServiceAsyncClient(
            transport=BatchServiceGrpcAsyncIOTransport(channel=aio.insecure_channel(address, LOCAL_CHANNEL))
        )
    except Exception as error:
        raise to_package_error(error, "connect to Google Batch") from error
