"""Jobs of one container, made and followed with Google's client."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import batch_v1, storage
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport

from covalent_parallel_plugin.containers.cleanup import list_containers, list_volumes
from covalent_parallel_plugin.emulator import ContainerRuntime, Emulator

PARENT = "projects/local/locations/us-east1"
# So long may a busy machine take
SECONDS = 300
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


class ContainerJobs:
    """Google's client, with the few calls that the tests make."""

    def __init__(self, client: batch_v1.BatchServiceClient, emulator: Emulator, image: str) -> None:
        self.client = client
        self.engine = ""
        self._emulator = emulator
        self.image = image

    def create(
        self, shell: str = "", *, tasks: int = 1, spec: Any = None, group: Any = None, **container: Any
    ) -> batch_v1.Job:
        """Make a job of one shell command, with further fields of the container, the task and the task group."""
        fields = {"image_uri": self.image, "entrypoint": "sh", "commands": ["-c", shell], **container}
        runnable = batch_v1.Runnable(container=batch_v1.Runnable.Container(**fields))
        task_spec = batch_v1.TaskSpec(runnables=[runnable], **(spec or {}))
        job = batch_v1.Job(
            task_groups=[batch_v1.TaskGroup(task_spec=task_spec, task_count=tasks, parallelism=tasks, **(group or {}))],
            logs_policy=batch_v1.LogsPolicy(destination="CLOUD_LOGGING"),
        )
        return self.client.create_job(parent=PARENT, job=job)

    def create_json(self, *runnables: Any, spec: Any = None, job: Any = None, **group: Any) -> batch_v1.Job:
        """Make a job as a JSON file has it, with further fields of the task, the job and the task group."""
        groups = [{"taskSpec": {"runnables": list(runnables), **(spec or {})}, **group}]
        fields = {"taskGroups": groups, "logsPolicy": {"destination": "CLOUD_LOGGING"}, **(job or {})}
        return self.client.create_job(parent=PARENT, job=batch_v1.Job.from_json(json.dumps(fields)))

    def run_json(self, *runnables: Any, **fields: Any) -> tuple[str, list[str]]:
        """Run such a job to its end; give its state and the lines of its log."""
        job = self.wait(self.create_json(*runnables, **fields))
        return job.status.state.name, self.output(job)

    def wait(self, job: batch_v1.Job, states: tuple[str, ...] = ENDED) -> batch_v1.Job:
        """Wait until the job is in one of the states."""
        return waited(lambda: self.client.get_job(name=job.name), lambda found: found.status.state.name in states)

    def run(self, shell: str = "", **fields: Any) -> tuple[str, list[str]]:
        """Run a job to its end; give its state and the lines of its log."""
        job = self.wait(self.create(shell, **fields))
        return job.status.state.name, self.output(job)

    def output(self, job: batch_v1.Job) -> list[str]:
        """The lines that the job's tasks wrote."""
        return [record.text for record in self._emulator.logs.records() if record.labels.get("job_uid") == job.uid]

    def exit_codes(self, job: batch_v1.Job) -> list[int]:
        """The exit codes in the events of the job's first task."""
        events = self.client.get_task(name=f"{job.name}/taskGroups/group0/tasks/0").status.status_events
        return [event.task_execution.exit_code for event in events if event.task_execution]

    def wait_for_line(self, job: batch_v1.Job, line: str) -> None:
        """Wait until the job has written a line."""
        waited(lambda: self.output(job), lambda lines: line in lines)


def waited(ask: Callable[[], Any], is_there: Callable[[Any], bool]) -> Any:
    """Ask until the answer is the one that is waited for."""
    deadline = time.monotonic() + SECONDS
    while not is_there(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer


@contextlib.contextmanager
def container_jobs(emulator: Emulator, image: str) -> Iterator[ContainerJobs]:
    with grpc.insecure_channel(emulator.environment["BATCH_EMULATOR_HOST"]) as channel:
        client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
        yield ContainerJobs(client, emulator, image)


def bucket_of(emulator: Emulator, name: str) -> Any:
    """Google's client of one of the emulator's buckets."""
    client = storage.Client(
        project="local",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": emulator.environment["STORAGE_EMULATOR_HOST"]},
    )
    return client.bucket(name)


def containers_of(runtime: ContainerRuntime) -> list[str]:
    """The containers of a runtime."""
    return [name for name, owner in list_containers(runtime.engine) if owner == runtime.owner]


def volumes_of(runtime: ContainerRuntime) -> list[str]:
    """The volumes of a runtime in the engine."""
    return [name for name, owner in list_volumes(runtime.engine) if owner == runtime.owner]
