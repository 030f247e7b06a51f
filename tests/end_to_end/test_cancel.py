"""Cancelling through Covalent: wherever an electron is on its way, it ends CANCELLED, and its job with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

# The client looks at Batch itself, to cancel at a moment that is known, and tells the services what is to go wrong.
PRELUDE = """
import json, os, sys, time
import urllib.request
import covalent as ct
import grpc
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport

SECONDS = 180
services = urllib.request.build_opener(urllib.request.ProxyHandler({}))
channel = grpc.insecure_channel(os.environ["BATCH_EMULATOR_HOST"])
batch = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
faults_address = os.environ["STORAGE_EMULATOR_HOST"] + "/_emulator/faults"

def set_faults(*rules):
    request = urllib.request.Request(faults_address, json.dumps({"rules": rules}).encode(), method="PUT")
    request.add_header("Content-Type", "application/json")
    services.open(request, timeout=60).read()

def consumed(name):
    return json.loads(services.open(faults_address, timeout=60).read())["consumed"][name]

def jobs_of(dispatch_id):
    jobs = batch.list_jobs({"parent": "projects/local/locations/us-east1", "page_size": 1000})
    return [job for job in jobs if dispatch_id in job.name]

def states_of(dispatch_id):
    return [job.status.state.name for job in jobs_of(dispatch_id)]

def wait_until(what, is_so):
    deadline = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit(f"it did not come to this: {what}")
        time.sleep(0.1)

def conclude(dispatch_id):
    result = ct.get_result(dispatch_id, wait=True)
    ended = ("CANCELLED", "SUCCEEDED", "FAILED")
    wait_until("all jobs ended", lambda: all(state in ended for state in states_of(dispatch_id)))
    return {
        "id": dispatch_id,
        "status": str(result.status),
        "nodes": {f"{node['node_name']}-{node['node_id']}": str(node["status"])
                  for node in result.get_all_node_results()},
        "jobs": states_of(dispatch_id),
    }

@ct.electron(executor="gcpbatch")
def sleeps():
    import time
    print("asleep", flush=True)
    time.sleep(120)

@ct.electron(executor="gcpbatch")
def sleeps_a_little():
    import time
    time.sleep(8)
    return 4

@ct.electron(executor="gcpbatch")
def quick():
    return 1

@ct.electron(executor="gcpbatch")
def follows(value):
    return value

report = {}
"""

STAGING = """
set_faults({"kind": "storage.slow", "name": "slow", "request": "objects.insert", "object": "*/call", "seconds": 12})
dispatch_id = ct.dispatch(ct.lattice(lambda: sleeps()))()
wait_until("it is being staged", lambda: consumed("slow") > 0)
ct.cancel(dispatch_id)
report["staging"] = conclude(dispatch_id)
"""

QUEUED = """
set_faults({"kind": "job.quota", "name": "quota"})
dispatch_id = ct.dispatch(ct.lattice(lambda: sleeps()))()
wait_until("its job waits", lambda: consumed("quota") > 0)
ct.cancel(dispatch_id)
report["queued"] = conclude(dispatch_id)
set_faults()
"""

RUNNING = """
dispatch_id = ct.dispatch(ct.lattice(lambda: follows(sleeps())))()
wait_until("its job runs", lambda: states_of(dispatch_id) == ["RUNNING"])
ct.cancel(dispatch_id)
report["running"] = conclude(dispatch_id)
"""

FINISHED = """
dispatch_id = ct.dispatch(ct.lattice(lambda: [quick(), sleeps()]))()
wait_until("one of two has ended", lambda: sorted(states_of(dispatch_id)) == ["RUNNING", "SUCCEEDED"])
def is_known():
    nodes = ct.get_result(dispatch_id).get_all_node_results()
    return any(node["node_name"] == "quick" and str(node["status"]) == "COMPLETED" for node in nodes)
wait_until("Covalent knows", is_known)
ct.cancel(dispatch_id)
report["finished"] = conclude(dispatch_id)
"""

ONE_OF_TWO = """
dispatch_id = ct.dispatch(ct.lattice(lambda: [sleeps(), sleeps_a_little()]))()
wait_until("both run", lambda: states_of(dispatch_id) == ["RUNNING", "RUNNING"])
ct.cancel(dispatch_id, task_ids=[0])
report["one_of_two"] = conclude(dispatch_id)
"""

MANY = """
many = ct.lattice(lambda: [sleeps() for _ in range(150)])
dispatch_id = ct.dispatch(many)()
wait_until("some are on their way", lambda: len(states_of(dispatch_id)) >= 20)
ct.cancel(dispatch_id)
report["many"] = conclude(dispatch_id)
"""

CONCLUSION = """
with open(sys.argv[1], "w") as file:
    json.dump(report, file)
"""


@pytest.fixture(scope="module")
def cancelled(run_client: Callable[[str], Any], emulator: Emulator) -> Iterator[Any]:
    from covalent_parallel_plugin.emulator import Faults

    try:
        yield run_client("".join([PRELUDE, STAGING, QUEUED, RUNNING, FINISHED, ONE_OF_TWO, MANY, CONCLUSION]))
    finally:
        emulator.faults.set(Faults())


@pytest.mark.parametrize("moment", ["staging", "queued", "running", "finished", "many"])
def test_the_dispatch_is_cancelled(cancelled: Any, moment: str) -> None:
    assert cancelled[moment]["status"] == "CANCELLED"


@pytest.mark.parametrize("moment", ["staging", "queued", "running"])
def test_the_electron_is_cancelled_wherever_it_is(cancelled: Any, moment: str) -> None:
    assert cancelled[moment]["nodes"]["sleeps-0"] == "CANCELLED"


def test_an_electron_that_is_being_staged_makes_no_job(cancelled: Any) -> None:
    assert cancelled["staging"]["jobs"] == []


def test_the_job_that_waits_is_cancelled(cancelled: Any) -> None:
    assert cancelled["queued"]["jobs"] == ["CANCELLED"]


def test_the_job_that_runs_is_cancelled_and_the_electron_after_it_made_none(cancelled: Any) -> None:
    assert cancelled["running"]["jobs"] == ["CANCELLED"]


def test_an_electron_that_has_ended_stays_completed(cancelled: Any) -> None:
    nodes = cancelled["finished"]["nodes"]
    assert (nodes["quick-0"], nodes["sleeps-1"]) == ("COMPLETED", "CANCELLED")


def test_one_electron_of_two_is_cancelled_alone(cancelled: Any) -> None:
    nodes = cancelled["one_of_two"]["nodes"]
    assert (nodes["sleeps-0"], nodes["sleeps_a_little-1"]) == ("CANCELLED", "COMPLETED")
    assert sorted(cancelled["one_of_two"]["jobs"]) == ["CANCELLED", "SUCCEEDED"]


def test_of_a_hundred_and_fifty_cancelled_at_once_each_is_cancelled(cancelled: Any) -> None:
    states = [state for name, state in cancelled["many"]["nodes"].items() if name.startswith("sleeps-")]
    assert states == ["CANCELLED"] * 150


def test_of_their_jobs_each_is_cancelled(cancelled: Any) -> None:
    assert set(cancelled["many"]["jobs"]) == {"CANCELLED"}


def test_nothing_of_them_is_left_in_the_bucket(cancelled: Any, left_of: Callable[..., list[str]]) -> None:
    assert left_of(*(report["id"] for report in cancelled.values())) == []
