"""What a task has between SIGTERM and SIGKILL: docker's 10 seconds, its container's own, or what was set."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from batch_jobs import PARENT, BatchJobs, State, batch_jobs, has_ended, output, wait_until
from google.cloud import batch_v1

from covalent_parallel_plugin.containers.run_command import stop_timeout_seconds
from covalent_parallel_plugin.emulator import Emulator, Timing
from covalent_parallel_plugin.emulator.runtimes.process import ProcessRuntime

IMAGE = "saves"
SAVES = """
import os, signal, sys, time
def save(number, frame):
    # not by print: the signal may come while that still writes "begun"
    os.write(1, b"asked\\n")
    time.sleep(3)
    os.write(1, b"saved\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("begun", flush=True)
time.sleep(100)
"""


def cancelled_lines(jobs: BatchJobs, emulator: Emulator, options: str) -> list[str]:
    """What a program prints that takes 3 seconds to save what it has, once its job is cancelled."""
    container = batch_v1.Runnable.Container(
        image_uri=IMAGE, entrypoint="python3", commands=["-c", SAVES], options=options
    )
    group = batch_v1.TaskGroup(task_spec=batch_v1.TaskSpec(runnables=[batch_v1.Runnable(container=container)]))
    logs = batch_v1.LogsPolicy(destination="CLOUD_LOGGING")
    job = jobs.client.create_job(parent=PARENT, job=batch_v1.Job(task_groups=[group], logs_policy=logs))
    wait_until(lambda: "begun" in output(emulator, job))
    jobs.client.cancel_job(name=job.name)
    assert jobs.wait(job, has_ended).status.state == State.CANCELLED
    return output(emulator, job)


def emulator_with(timing: Timing | None) -> Emulator:
    return Emulator(runtime=ProcessRuntime(images={IMAGE: [sys.executable]}), timing=timing, storage_port=None)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with emulator_with(None) as running:
        yield running


@pytest.fixture(scope="module")
def jobs(emulator: Emulator) -> Iterator[BatchJobs]:
    with batch_jobs(emulator) as made:
        yield made


@pytest.mark.parametrize("options", ["", "--stop-timeout=30", "--stop-timeout 1 --stop-timeout 30"])
def test_a_cancelled_task_has_time_to_save(jobs: BatchJobs, emulator: Emulator, options: str) -> None:
    assert cancelled_lines(jobs, emulator, options) == ["begun", "asked", "saved"]


def test_it_has_no_more_than_its_containers_stop_timeout(jobs: BatchJobs, emulator: Emulator) -> None:
    assert "saved" not in cancelled_lines(jobs, emulator, "--stop-timeout=1")


def test_a_grace_that_was_set_counts_for_all() -> None:
    with emulator_with(Timing(grace_seconds=1)) as emulator, batch_jobs(emulator) as jobs:
        assert "saved" not in cancelled_lines(jobs, emulator, "--stop-timeout=30")


@pytest.mark.parametrize(
    ("options", "seconds"),
    [("", None), ("--user 1", None), ("--stop-timeout=0", 0), ("--stop-timeout -1", None), ("'", None)],
)
def test_the_stop_timeout_among_dockers_options(options: str, seconds: float | None) -> None:
    assert stop_timeout_seconds(options) == seconds
