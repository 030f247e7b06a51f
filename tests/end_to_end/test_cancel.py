"""Cancelling an electron through Covalent ends its job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# The client looks at Batch itself, to cancel at a moment that is known.
SOURCE = """
import json, os, sys, time
import covalent as ct
import grpc
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport

channel = grpc.insecure_channel(os.environ["BATCH_EMULATOR_HOST"])
batch = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))

def jobs_of(dispatch_id):
    jobs = batch.list_jobs(parent="projects/local/locations/us-east1")
    return [job for job in jobs if dispatch_id in job.name]

@ct.electron(executor="gcpbatch")
def sleeps():
    import time
    print("asleep", flush=True)
    time.sleep(120)

@ct.electron(executor="gcpbatch")
def follows(value):
    return value

@ct.lattice
def workflow():
    return follows(sleeps())

dispatch_id = ct.dispatch(workflow)()
def wait_for_job(*states):
    deadline = time.monotonic() + 60
    while not (jobs := jobs_of(dispatch_id)) or jobs[0].status.state.name not in states:
        if time.monotonic() > deadline:
            sys.exit(f"no job came to be {states}: {jobs}")
        time.sleep(0.1)
    return jobs

wait_for_job("RUNNING")
ct.cancel(dispatch_id)
result = ct.get_result(dispatch_id, wait=True)
report = {
    "id": dispatch_id,
    "status": str(result.status),
    "nodes": {node["node_name"]: str(node["status"]) for node in result.get_all_node_results()},
    "jobs": [job.status.state.name for job in wait_for_job("CANCELLED", "SUCCEEDED", "FAILED")],
}
with open(sys.argv[1], "w") as file:
    json.dump(report, file)
"""


@pytest.fixture(scope="module")
def cancelled(run_client: Callable[[str], Any]) -> Any:
    return run_client(SOURCE)


def test_the_dispatch_is_cancelled(cancelled: Any) -> None:
    assert cancelled["status"] == "CANCELLED"


def test_the_running_electron_is_cancelled(cancelled: Any) -> None:
    assert cancelled["nodes"]["sleeps"] == "CANCELLED"


def test_its_job_is_cancelled_and_the_electron_after_it_made_none(cancelled: Any) -> None:
    assert cancelled["jobs"] == ["CANCELLED"]


def test_nothing_of_it_is_left_in_the_bucket(cancelled: Any, object_names: Callable[[], list[str]]) -> None:
    assert [name for name in object_names() if cancelled["id"] in name] == []
