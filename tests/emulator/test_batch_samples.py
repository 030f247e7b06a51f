"""Behaviours that the samples of Batch's documentation rely on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from batch_jobs import PARENT, BatchJobs, batch_jobs, output
from google.cloud import batch_v1

from covalent_parallel_plugin.emulator import Emulator, Timing


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(timing=Timing(0.0, 0.0)) as running:
        yield running


@pytest.fixture
def jobs(emulator: Emulator) -> Iterator[BatchJobs]:
    with batch_jobs(emulator) as made:
        yield made


def run(jobs: BatchJobs, text: str, tasks: int = 1, **group: object) -> batch_v1.Job:
    """Run a job as the samples write one: JSON, with one script."""
    spec = {"runnables": [{"script": {"text": text}}]}
    job = {
        "taskGroups": [{"taskCount": tasks, "taskSpec": spec, **group}],
        "logsPolicy": {"destination": "CLOUD_LOGGING"},
    }
    return jobs.wait(jobs.client.create_job(parent=PARENT, job=batch_v1.Job.from_json(json.dumps(job))))


def test_a_job_that_requires_a_hosts_file_has_one_with_a_line_for_each_machine(
    jobs: BatchJobs, emulator: Emulator
) -> None:
    job = run(jobs, 'test -s "$BATCH_HOSTS_FILE" && cat "$BATCH_HOSTS_FILE"', tasks=2, requireHostsFile=True)
    assert job.status.state.name == "SUCCEEDED"
    assert output(emulator, job) == ["127.0.0.1"] * 2


def test_other_jobs_have_no_hosts_file(jobs: BatchJobs) -> None:
    assert run(jobs, 'test -z "${BATCH_HOSTS_FILE+set}"').status.state.name == "SUCCEEDED"


def test_a_structured_log_line_is_a_custom_status_event_of_its_task(jobs: BatchJobs) -> None:
    line = json.dumps({"batch/custom/event": "half of it is done", "severity": "NOTICE"})
    job = run(jobs, f"echo '{line}'")
    events = [event.description for event in jobs.task(job).status.status_events]
    assert events.count("half of it is done") == 1
    assert events.index("half of it is done") < len(events) - 1, "before the task's end"


def test_an_event_that_looks_like_an_error_fails_no_job(jobs: BatchJobs) -> None:
    line = json.dumps({"batch/custom/event": "not so good", "severity": "ERROR"})
    assert run(jobs, f"echo '{line}'").status.state.name == "SUCCEEDED"
