"""What is told of each job at its end."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc
import pytest
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport

from covalent_parallel_plugin.emulator import Emulator, Fault, Faults, Timing
from covalent_parallel_plugin.emulator.model.job_summary import JobSummary
from covalent_parallel_plugin.protocol.ending_event import ending_line

SECONDS = 60
PARENT = "projects/p/locations/us-east1"


def told(
    text: str,
    tasks: int = 1,
    retries: int = 0,
    faults: Faults | None = None,
    then: Callable[[batch_v1.BatchServiceClient, str], object] = lambda client, name: None,
) -> list[JobSummary]:
    """Run one job of this script, and give what was told of it until the emulator had stopped."""
    ended: list[JobSummary] = []
    spec = batch_v1.TaskSpec(runnables=[batch_v1.Runnable(script={"text": text})], max_retry_count=retries)
    job = batch_v1.Job(
        task_groups=[batch_v1.TaskGroup(task_spec=spec, task_count=tasks)],
        logs_policy=batch_v1.LogsPolicy(destination="CLOUD_LOGGING"),
    )
    with (
        Emulator(timing=Timing(0.0, 0.0), faults=faults, on_job_end=ended.append) as emulator,
        grpc.insecure_channel(emulator.environment["BATCH_EMULATOR_HOST"]) as channel,
    ):
        client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
        name = client.create_job(parent=PARENT, job=job, job_id="mine").name
        then(client, name)
        deadline = time.monotonic() + SECONDS
        while not ended and time.monotonic() < deadline:
            time.sleep(0.02)
    return ended


def test_a_job_that_succeeded_is_told_once() -> None:
    (job,) = told("exit 0", tasks=3)
    assert (job.job_id, job.state, job.tasks, job.failed, job.attempts) == ("mine", "SUCCEEDED", 3, 0, 3)
    assert str(job).endswith(" s, 3 tasks, 3 attempts")


def test_a_job_that_failed_is_told_with_its_attempts_and_its_exit_code() -> None:
    (job,) = told("exit 9", retries=2)
    assert (job.state, job.failed, job.attempts, job.exit_code) == ("FAILED", 1, 3, 9)
    assert str(job).endswith("1 task, 3 attempts, exit code 9")


def test_of_several_tasks_the_number_that_failed_is_told() -> None:
    (job,) = told("exit $BATCH_TASK_INDEX", tasks=3)
    assert (job.failed, job.exit_code) == (2, 1)
    assert "3 tasks, 2 failed, 3 attempts, exit code 1" in str(job)


def test_a_job_that_failed_before_any_task_is_told_with_batchs_words() -> None:
    (job,) = told("exit 0", faults=Faults((Fault("job.refused"),)))
    assert (job.state, job.attempts) == ("FAILED", 0)
    assert "CODE_MACHINE_TYPE_NOT_FOUND" in str(job)


@pytest.mark.parametrize(("verb", "state"), [("cancel_job", "CANCELLED"), ("delete_job", "DELETED")])
def test_a_job_that_is_ended_on_request_is_told_once(verb: str, state: str) -> None:
    (job,) = told("sleep 600", then=lambda client, name: getattr(client, verb)(request={"name": name}))
    assert job.state == state


def test_a_job_that_is_deleted_after_its_end_is_not_told_again() -> None:
    def delete(client: batch_v1.BatchServiceClient, name: str) -> None:
        deadline = time.monotonic() + SECONDS
        while client.get_job(name=name).status.state.name != "SUCCEEDED" and time.monotonic() < deadline:
            time.sleep(0.02)
        client.delete_job(name=name).result(SECONDS)

    assert [job.state for job in told("exit 0", then=delete)] == ["SUCCEEDED"]


def echoed(text: str, has_failed: bool) -> str:
    """The script of a task that reports this of its electron, and ends with exit code 0."""
    return f"cat >&2 <<'END'\n{ending_line(text, has_failed)}END\n"


def test_an_electron_that_failed_is_named_and_is_not_called_succeeded() -> None:
    (job,) = told(echoed("electron 'train' (node 3) raised ValueError: it's bad", True))
    assert (job.state, job.has_electron_failed) == ("SUCCEEDED", True)
    assert str(job).startswith("FAILED    mine  ")
    assert str(job).endswith(", 1 task, 1 attempt: electron 'train' (node 3) raised ValueError: it's bad")


def test_an_electron_that_returned_is_named() -> None:
    (job,) = told(echoed("electron 'train' (node 3) returned a value", False))
    assert str(job).startswith("SUCCEEDED mine  ")
    assert str(job).endswith(": electron 'train' (node 3) returned a value")


def test_of_the_tasks_of_a_map_one_that_failed_is_named() -> None:
    one, other = echoed("electron 'f' (node 0) ran its items", False), echoed("electron 'f' (node 0) raised E", True)
    (job,) = told(f'if [ "$BATCH_TASK_INDEX" = 0 ]; then\n{one}\nelse\n{other}\nfi', tasks=2)
    assert str(job).startswith("FAILED")
    assert str(job).endswith(": electron 'f' (node 0) raised E")


@pytest.mark.parametrize("line", ['{"batch/custom/event": 1}', '["batch/custom/event"]', 'batch/custom/event {"x"'])
def test_a_line_that_is_no_event_is_a_line_only(line: str) -> None:
    (job,) = told(f"echo '{line}'")
    assert str(job).endswith("1 task, 1 attempt")
