"""Jobs of one script, made and followed with Google's client: for the tests of faults."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
from google.api_core import exceptions
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport

from covalent_parallel_plugin.emulator import Emulator

PARENT = "projects/science/locations/us-east1"
State = batch_v1.JobStatus.State
TaskState = batch_v1.TaskStatus.State
ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
PREEMPTED, LOST, REBOOTED, UNRESPONSIVE, RECREATED = 50001, 50002, 50003, 50004, 50006
SECONDS = 120


class BatchJobs:
    """Google's client, with the few calls that the tests make."""

    def __init__(self, client: batch_v1.BatchServiceClient) -> None:
        self.client = client

    def create(
        self,
        text: str = "exit 0",
        job_id: str = "",
        *,
        tasks: int = 1,
        parallelism: int = 0,
        labels: dict[str, str] | None = None,
        provisioning: str = "STANDARD",
        **spec: Any,
    ) -> batch_v1.Job:
        script = batch_v1.Runnable(script=batch_v1.Runnable.Script(text=text))
        group = batch_v1.TaskGroup(
            task_spec=batch_v1.TaskSpec(runnables=[script], **spec), task_count=tasks, parallelism=parallelism
        )
        job = batch_v1.Job(
            task_groups=[group],
            labels=labels or {},
            allocation_policy=batch_v1.AllocationPolicy(
                instances=[
                    batch_v1.AllocationPolicy.InstancePolicyOrTemplate(policy={"provisioning_model": provisioning})
                ]
            ),
            logs_policy=batch_v1.LogsPolicy(destination="CLOUD_LOGGING"),
        )
        # retry=None is the client's own default for create: none
        return self.client.create_job(batch_v1.CreateJobRequest(parent=PARENT, job=job, job_id=job_id))

    def create_from_json(self, *runnables: Mapping[str, Any], job: Any = None, spec: Any = None, **group: Any) -> Any:
        """Make a job as a JSON file has it, with further fields of the job, its task and its task group."""
        task = {"runnables": list(runnables), **(spec or {})}
        fields = {
            "taskGroups": [{"taskSpec": task, **group}],
            "logsPolicy": {"destination": "CLOUD_LOGGING"},
            **(job or {}),
        }
        return self.client.create_job(parent=PARENT, job=batch_v1.Job.from_json(json.dumps(fields)))

    def get(self, job: batch_v1.Job) -> batch_v1.Job:
        return self.client.get_job(name=job.name, retry=None)

    def wait(self, job: batch_v1.Job, is_there: Callable[[batch_v1.Job], bool] | None = None) -> batch_v1.Job:
        deadline = time.monotonic() + SECONDS
        while not (is_there or has_ended)(found := self.get(job)):
            assert time.monotonic() < deadline, found.status
            time.sleep(0.02)
        return found

    def run(self, *args: Any, **kwargs: Any) -> batch_v1.Job:
        return self.wait(self.create(*args, **kwargs))

    def task(self, job: batch_v1.Job, index: int = 0) -> batch_v1.Task:
        return self.client.get_task(name=f"{job.name}/taskGroups/group0/tasks/{index}")

    def tasks(self, job: batch_v1.Job) -> list[batch_v1.Task]:
        return list(self.client.list_tasks(parent=f"{job.name}/taskGroups/group0"))

    def exit_codes(self, job: batch_v1.Job, index: int = 0) -> list[int]:
        events = self.task(job, index).status.status_events
        return [event.task_execution.exit_code for event in events if event.task_execution]

    def way(self, job: batch_v1.Job, index: int = 0) -> list[str]:
        return [event.task_state.name for event in self.task(job, index).status.status_events]

    def is_gone(self, job: batch_v1.Job) -> bool:
        try:
            self.get(job)
        except exceptions.NotFound:
            return True
        return False


def script(text: str, **fields: Any) -> dict[str, Any]:
    """A runnable as a JSON file has it."""
    return {"script": {"text": text}, **fields}


def run_json(jobs: BatchJobs, *runnables: dict[str, Any], **fields: Any) -> batch_v1.Job:
    """Run a job that is made as `create_from_json` makes it to its end."""
    return jobs.wait(jobs.create_from_json(*runnables, **fields))


def has_ended(job: batch_v1.Job) -> bool:
    return job.status.state in ENDED


def event_texts(job: batch_v1.Job) -> str:
    return "\n".join(event.description for event in job.status.status_events)


def output(emulator: Emulator, job: batch_v1.Job) -> list[str]:
    return [record.text for record in emulator.logs.records() if record.labels.get("job_uid") == job.uid]


def wait_until(is_there: Callable[[], bool], what: object = "") -> None:
    deadline = time.monotonic() + SECONDS
    while not is_there():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextlib.contextmanager
def batch_jobs(emulator: Emulator) -> Iterator[BatchJobs]:
    with grpc.insecure_channel(emulator.environment["BATCH_EMULATOR_HOST"]) as channel:
        yield BatchJobs(batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel)))
