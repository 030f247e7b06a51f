"""What is told of the machines that tasks run on: in jobs, in events, by the metadata server, and by the counters."""

from __future__ import annotations

import http.client
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import BatchJobs, State, batch_jobs, output, script, wait_until
from google.cloud import batch_v1

from covalent_parallel_plugin.emulator import Emulator, Fault, Faults, ProcessRuntime, VmModel
from covalent_parallel_plugin.emulator.execution.machine_addresses import MachineAddresses
from covalent_parallel_plugin.emulator.metadata.answers import answer
from covalent_parallel_plugin.emulator.model.task_plan import TaskPlan
from covalent_parallel_plugin.emulator.project.machine_types import picked_machine_type

# Asks as Google's own clients do, and prints what it was told
ASK = """exec python3 -c "
import os, urllib.error, urllib.request
for path in '''{paths}'''.split():
    url = 'http://' + os.environ['GCE_METADATA_HOST'] + '/computeMetadata/v1/' + path
    try:
        request = urllib.request.Request(url, headers={{'Metadata-Flavor': 'Google'}})
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    print(answer.status, answer.headers['Metadata-Flavor'], answer.read().decode(), flush=True)
"
"""
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(tasks_at_once=4, runtime=ProcessRuntime(site_packages=True)) as emulator:
        yield emulator


@pytest.fixture
def jobs(emulator: Emulator) -> Iterator[BatchJobs]:
    with batch_jobs(emulator) as jobs:
        yield jobs


def made(jobs: BatchJobs, text: str, *, policy: Any = None, zones: Any = None, **group: Any) -> batch_v1.Job:
    """A job of one script with these machines."""
    allocation: dict[str, Any] = {"instances": [{"policy": policy or {}}]}
    if zones:
        allocation["location"] = {"allowedLocations": [f"zones/{zone}" for zone in zones]}
    return jobs.create_from_json(script(text), job={"allocationPolicy": allocation}, **group)


def instances(jobs: BatchJobs, job: batch_v1.Job) -> list[str]:
    """The instance of each attempt of the job's tasks, in order."""
    texts = [event.description for task in jobs.tasks(job) for event in task.status.status_events]
    found = [re.search(r"to RUNNING on zones/([^/]+/instances/[^ ]+)\.$", text) for text in texts]
    return [match[1] for match in found if match]


def test_a_job_tells_the_machines_that_it_asked_for(jobs: BatchJobs) -> None:
    policy = {"machineType": "n2-standard-8", "provisioningModel": "SPOT"}
    job = jobs.wait(made(jobs, "exit 0", policy=policy, taskCountPerNode=4))
    (machine,) = job.status.task_groups["group0"].instances
    assert (machine.machine_type, machine.provisioning_model.name, machine.task_pack) == ("n2-standard-8", "SPOT", 4)


@pytest.mark.parametrize(
    ("cpu_milli", "machine_type"), [(500, "e2-standard-2"), (5000, "e2-standard-8"), (40_000, "n2-standard-48")]
)
def test_a_job_that_names_no_machine_type_tells_the_one_that_was_picked(cpu_milli: int, machine_type: str) -> None:
    assert picked_machine_type("", cpu_milli) == machine_type
    assert picked_machine_type("c3-standard-4", cpu_milli) == "c3-standard-4"


def test_a_job_that_waits_has_no_machines_yet() -> None:
    with Emulator(faults=Faults((Fault("job.quota"),))) as emulator, batch_jobs(emulator) as jobs:
        assert not jobs.get(jobs.create()).status.task_groups


def test_each_attempt_has_a_machine_of_its_own_in_a_zone_of_the_jobs() -> None:
    faults = Faults((Fault("attempt.exit", exit_code=1, attempt=0),))
    with Emulator(faults=faults) as emulator, batch_jobs(emulator) as jobs:
        job = jobs.wait(made(jobs, "sleep 0.2", zones=["us-east1-d"], taskCount=3, spec={"maxRetryCount": 1}))
        names = instances(jobs, job)
    assert len(names) == len(set(names)) == 6
    assert all(name.startswith(f"us-east1-d/instances/{job.uid}-group0-0-") for name in names)


def test_tasks_share_a_machine_that_has_room_for_them(emulator: Emulator, jobs: BatchJobs) -> None:
    # at the barrier all of them run
    job = jobs.wait(jobs.create_from_json({"barrier": {}}, script("exit 0"), taskCount=4, taskCountPerNode=2))
    names = instances(jobs, job)
    assert sorted(map(names.count, set(names))) == [2, 2]
    assert emulator.counts["vms"] == 2


def test_a_machine_that_was_taken_away_gets_no_task_more(tmp_path: Path) -> None:
    faults = Faults((Fault("attempt.preempt", task=0, attempt=0, notice_seconds=0.1),))
    with Emulator(faults=faults, tasks_at_once=2) as emulator, batch_jobs(emulator) as jobs:
        # the second task runs until the first one has come again
        text = (
            f"[ $BATCH_TASK_INDEX$BATCH_TASK_RETRY_ATTEMPT = 01 ] && exec touch {tmp_path}/again;"
            f" until [ -e {tmp_path}/again ]; do sleep 0.02; done"
        )
        job = jobs.wait(made(jobs, text, taskCount=2, taskCountPerNode=2, spec={"maxRetryCount": 1}))
        first, again, second = instances(jobs, job)
    assert first == second != again


def test_a_machine_counts_from_its_tasks_start_to_its_end() -> None:
    faults = Faults((Fault("attempt.lost", first=1, before_run=True),))
    with Emulator(faults=faults, tasks_at_once=2) as emulator, batch_jobs(emulator) as jobs:
        jobs.run("sleep 0.3", tasks=2, max_retry_count=1)
        counts = emulator.counts
        assert counts["vms"] == counts["attempts"] == 3
        assert counts["vm_seconds"] >= 0.6
        assert emulator.counts == counts
        assert "vms_at_most" not in counts and "vm_billed_seconds" not in counts


def test_what_was_cancelled_before_it_ran_costs_nothing() -> None:
    with Emulator(faults=Faults((Fault("job.no_capacity"),))) as emulator, batch_jobs(emulator) as jobs:
        job = jobs.create()
        jobs.client.cancel_job(name=job.name)
        assert jobs.wait(job).status.state == State.CANCELLED
        assert (emulator.counts["vms"], emulator.counts["vm_seconds"]) == (0, 0)


def test_a_machine_that_runs_counts_already(emulator: Emulator, jobs: BatchJobs) -> None:
    job = jobs.create("sleep 600")
    wait_until(lambda: emulator.counts["vm_seconds"] > 0.1)
    jobs.client.delete_job(name=job.name)


@on_linux
def test_a_task_is_told_of_its_machine(emulator: Emulator, jobs: BatchJobs) -> None:
    paths = (
        "instance/machine-type instance/zone instance/name instance/scheduling/preemptible"
        " instance/scheduling/provisioning-model project/project-id"
    )
    policy = {"machineType": "n2-standard-8", "provisioningModel": "SPOT"}
    job = jobs.wait(made(jobs, ASK.format(paths=paths), policy=policy))
    assert job.status.state == State.SUCCEEDED, output(emulator, job)
    (name,) = (instance.rpartition("/")[2] for instance in instances(jobs, job))
    told = [line.removeprefix("200 Google ") for line in output(emulator, job)]
    assert [re.sub(r"^projects/\d+/", "", value) for value in told] == [
        "machineTypes/n2-standard-8", "zones/us-east1-b", name, "TRUE", "SPOT", "science",
    ]  # fmt: skip


@on_linux
@pytest.mark.parametrize("machines", [None, VmModel()])
def test_tasks_that_run_at_a_time_are_told_of_their_own_machines(machines: VmModel | None) -> None:
    with Emulator(tasks_at_once=4, machines=machines) as emulator, batch_jobs(emulator) as jobs:
        ask = script(ASK.format(paths="instance/name")) | {"environment": {}}
        job = jobs.wait(jobs.create_from_json({"barrier": {}}, ask, taskCount=4, taskCountPerNode=2))
        told = {line.removeprefix("200 Google ") for line in output(emulator, job)}
        assert told == {name.rpartition("/")[2] for name in instances(jobs, job)} and len(told) == 2


@on_linux
def test_a_task_gets_no_token_and_is_told_why(emulator: Emulator, jobs: BatchJobs) -> None:
    job = jobs.wait(made(jobs, ASK.format(paths="instance/service-accounts/default/token")))
    (told,) = output(emulator, job)
    assert told.startswith("404 ") and "gives no tokens" in told and "GOOGLE_APPLICATION_CREDENTIALS" in told


@on_linux
def test_google_auth_finds_no_machine_in_a_task(emulator: Emulator, jobs: BatchJobs) -> None:
    """Its default credentials fail as they do without a metadata server, not with the first request."""
    code = "import google.auth as a\ntry: a.default()\nexcept a.exceptions.DefaultCredentialsError: print('none')"
    job = jobs.wait(made(jobs, f'GCE_METADATA_TIMEOUT=1 GCE_METADATA_DETECT_RETRIES=1 exec python3 -c "{code}"'))
    assert output(emulator, job)[-1] == "none"


@on_linux
def test_a_job_that_sets_the_variable_itself_has_its_own(emulator: Emulator, jobs: BatchJobs) -> None:
    spec = {"environment": {"variables": {"GCE_METADATA_HOST": "elsewhere"}}}
    job = jobs.wait(jobs.create_from_json(script("echo $GCE_METADATA_HOST"), spec=spec))
    assert output(emulator, job) == ["elsewhere"]


def asked(address: str, path: str = "/computeMetadata/v1/instance/name", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@on_linux
def test_who_may_not_ask_is_refused(emulator: Emulator, jobs: BatchJobs) -> None:
    job = made(jobs, "echo $GCE_METADATA_HOST; sleep 600")
    wait_until(lambda: bool(output(emulator, job)))
    (address,) = output(emulator, job)
    port = address.rpartition(":")[2]
    assert asked(address, Metadata_Flavor="Google")[0] == 200
    assert asked(address)[0] == 403
    assert asked(address, Metadata_Flavor="Google", Host="evil.example")[0] == 403
    assert asked(address, Metadata_Flavor="Google", Origin="https://evil.example")[0] == 403
    assert asked(f"127.0.0.1:{port}", Metadata_Flavor="Google")[0] == 404
    jobs.client.delete_job(name=job.name)
    wait_until(lambda: asked(address, Metadata_Flavor="Google")[0] == 404)


def facts_of(plan: TaskPlan, instance: str) -> Mapping[str, Any]:
    addresses = MachineAddresses()
    addresses.port = 1
    address = addresses.variables(plan, instance)["GCE_METADATA_HOST"].removesuffix(":1")
    facts = addresses.facts(address)
    assert facts is not None
    return facts


FACTS = facts_of(TaskPlan("lab", "j", "u", "us-east1-b", 1, (), machine_type="e2-standard-2"), "zones/z/instances/i")
GOOGLES = {"metadata-flavor": "Google"}


@pytest.mark.parametrize(
    ("target", "status", "text"),
    [
        ("/", 200, "computeMetadata/\n"),
        ("/computeMetadata/v1/", 200, "instance/\nproject/\n"),
        ("/computeMetadata/v1/instance", 301, ""),
        ("/computeMetadata/v1/instance/scheduling/", 200, "preemptible\nprovisioning-model\n"),
        ("/computeMetadata/v1/project/project-id", 200, "lab"),
        ("/computeMetadata/v1/project/project-id/", 200, "lab"),
        ("/computeMetadata/v1/instance/name?alt=json", 200, '"i"'),
        ("/computeMetadata/v1/instance/name/more", 404, None),
        ("/computeMetadata/v1/instance/disks/", 404, None),
        ("/computeMetadata/v1/instance/name?wait_for_change=true", 400, None),
        ("/latest/meta-data/", 404, None),
    ],
)
def test_what_is_asked_for_by_a_path(target: str, status: int, text: str | None) -> None:
    found = answer(FACTS, "GET", target, GOOGLES)
    assert found.status == status
    assert text is None or found.text == text


def test_all_at_once_is_json_with_the_names_that_json_has() -> None:
    found = json.loads(answer(FACTS, "GET", "/computeMetadata/v1/instance/?recursive=true", GOOGLES).text)
    assert found["scheduling"] == {"preemptible": "FALSE", "provisioningModel": "STANDARD"}
    assert found["machineType"].endswith("/machineTypes/e2-standard-2")


def test_a_request_by_way_of_a_proxy_and_one_that_writes_are_refused() -> None:
    path = "/computeMetadata/v1/instance/name"
    assert answer({}, "GET", path, {**GOOGLES, "x-forwarded-for": "10.0.0.1"}).status == 403
    assert answer({}, "PUT", path, GOOGLES).status == 405


def test_addresses_are_all_different_and_are_forgotten_with_their_job() -> None:
    addresses = MachineAddresses()
    plan = TaskPlan("lab", "j", "u", "us-east1-b", 1, ())
    assert addresses.variables(plan, "zones/z/instances/0") == {}
    addresses.port = 80
    given = [addresses.variables(plan, f"zones/z/instances/{number}")["GCE_METADATA_HOST"] for number in range(70_000)]
    assert len(set(given)) == 70_000
    assert all(re.fullmatch(r"127\.[1-9]\d*\.[1-9]\d*\.[1-9]\d*:80", address) for address in given)
    assert addresses.variables(plan, "zones/z/instances/7")["GCE_METADATA_HOST"] == given[7]
    addresses.forget("u")
    assert addresses.facts(given[7].partition(":")[0]) is None
