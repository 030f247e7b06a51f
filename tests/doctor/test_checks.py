"""Judgements of facts that the emulator does not have, or has in one form only: pure."""

from __future__ import annotations

from typing import Any

import pytest

from covalent_parallel_plugin.cli.doctor.checks import bucket, credentials, machines, network, project, server
from covalent_parallel_plugin.cli.doctor.checks.google_apis import api_denied
from covalent_parallel_plugin.cli.doctor.phases import phases, read_timestamps
from covalent_parallel_plugin.cli.doctor.results import CheckResult
from covalent_parallel_plugin.cli.doctor.setup import Setup, read_setup
from covalent_parallel_plugin.cli.image.versions import Versions
from covalent_parallel_plugin.cloud.batch import Event, JobStatus
from covalent_parallel_plugin.cloud.rest_client import Principal, RestResponse
from covalent_parallel_plugin.cloud.storage import StoredObject
from covalent_parallel_plugin.errors import PermissionDeniedError
from covalent_parallel_plugin.settings import Settings


def setup_of(**options: object) -> Setup:
    """A set-up with these options and an empty configuration."""
    return read_setup({"COVALENT_CONFIG_DIR": "/nowhere"}, options)


@pytest.mark.parametrize(
    ("metadata", "region", "status"),
    [
        ({"location": "US-EAST1"}, "us-east1", "ok"),
        ({"location": "US"}, "us-east1", "ok"),
        ({"location": "US"}, "europe-west4", "warning"),
        ({"location": "EU"}, "europe-west4", "ok"),
        ({"location": "NAM4"}, "us-central1", "ok"),
        ({"location": "NAM4"}, "us-west1", "warning"),
        (
            {"location": "US", "customPlacementConfig": {"dataLocations": ["US-EAST1", "US-WEST1"]}},
            "us-west1",
            "ok",
        ),
        ({"location": "US-EAST4"}, "us-east1", "warning"),
    ],
)
def test_a_bucket_is_near_the_jobs_in_the_same_region_or_in_a_wider_one(
    metadata: dict[str, Any], region: str, status: str
) -> None:
    setup = setup_of(bucket_name="b", region=region)
    assert bucket.location(setup, {"bucket.exists": metadata}).status == status


def lifecycle(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"lifecycle": {"rule": list(rules)}}


def delete(**condition: Any) -> dict[str, Any]:
    return {"action": {"type": "Delete"}, "condition": condition}


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        (lifecycle(delete(age=7, matchesPrefix=["covalent-parallel/"])), "ok"),
        (lifecycle(delete(age=7)), "ok"),
        (lifecycle(delete(age=7, matchesPrefix=["other/"])), "warning"),
        (lifecycle(delete(age=7, numNewerVersions=2)), "warning"),
        (lifecycle({"action": {"type": "SetStorageClass"}, "condition": {"age": 7}}), "warning"),
        ({}, "warning"),
    ],
)
def test_only_a_rule_that_deletes_the_plugins_objects_by_age_counts(metadata: dict[str, Any], status: str) -> None:
    assert bucket.lifecycle(setup_of(bucket_name="b"), {"bucket.exists": metadata}).status == status


def test_the_command_for_a_lifecycle_rule_keeps_the_rules_that_are_there() -> None:
    metadata = lifecycle(delete(age=1, matchesPrefix=["tmp/"]))
    judged = bucket.lifecycle(setup_of(bucket_name="b"), {"bucket.exists": metadata})
    assert '"matchesPrefix": ["tmp/"]' in judged.remedy
    assert '"matchesPrefix": ["covalent-parallel/"]' in judged.remedy


def region(**quotas: tuple[float, float]) -> dict[str, Any]:
    listed = [{"metric": metric, "limit": limit, "usage": usage} for metric, (limit, usage) in quotas.items()]
    return {"name": "us-east1", "quotas": listed}


@pytest.mark.parametrize(
    ("settings", "metric"),
    [
        (Settings(), "CPUS"),
        (Settings(machine_type="e2-standard-4"), "CPUS"),
        (Settings(machine_type="n2-standard-4"), "N2_CPUS"),
        (Settings(machine_type="c2d-standard-4"), "C2D_CPUS"),
        (Settings(machine_type="n2-standard-4", spot=True), "PREEMPTIBLE_CPUS"),
    ],
)
def test_vcpus_count_against_their_familys_quota(settings: Settings, metric: str) -> None:
    assert machines.cpu_metric(settings, region(PREEMPTIBLE_CPUS=(8, 0))) == metric


def test_spot_machines_without_a_quota_of_their_own_share_the_others() -> None:
    assert machines.cpu_metric(Settings(spot=True), region(PREEMPTIBLE_CPUS=(0, 0))) == "CPUS"


def test_a_quota_that_is_used_up_is_a_warning() -> None:
    setup = setup_of(project_id="p", vcpus=2)
    for usage, status in ((23, "warning"), (22, "ok")):
        facts = {"zones.known": region(CPUS=(24, usage)), "machine.known": {}}
        assert machines.cpu_quota(setup, facts).status == status


def judge_server(**versions: str | None) -> CheckResult:
    installed = {"covalent": "0.240.0", "covalent-parallel-plugin": "0.1.0", "cloudpickle": "3.1.3", **versions}
    here = Versions("3.11", "0.240.0", "3.1.3", "0.1.0")
    return server.evaluate_process(server.ServerProcess("/usr/bin/python3", {}, installed), {}, here)


@pytest.mark.parametrize("version", ["3.1.3", "3.0.0", None])
def test_a_server_whose_cloudpickle_loads_this_environments_pickles_is_well(version: str | None) -> None:
    assert judge_server(cloudpickle=version).status == "ok"


def test_a_server_whose_cloudpickle_does_not_is_an_error_with_the_command() -> None:
    judged = judge_server(cloudpickle="2.2.1")
    assert judged.status == "error"
    assert "cloudpickle 2.2.1 cannot load what 3.1.3 pickles" in judged.found
    assert judged.remedy == "/usr/bin/python3 -m pip install cloudpickle==3.1.3: covalent restart"


def test_gpus_that_are_built_in_count_too() -> None:
    settings = Settings(machine_type="a2-highgpu-4g")
    assert machines.gpus_needed(settings) == 4
    assert machines.gpu_metric(settings, region()) == "NVIDIA_A100_GPUS"


def test_a_project_that_is_being_deleted_is_an_error() -> None:
    answer = RestResponse(200, {"name": "projects/1", "state": "DELETE_REQUESTED"})
    assert project.evaluate_project(answer, "lab", None).status == "error"


def test_a_refusal_for_a_disabled_api_names_the_command() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}
    answer = RestResponse(403, {"error": {"message": "no", "status": "PERMISSION_DENIED", "details": [info]}})
    judged = api_denied(answer, "it", "x.get", "iam.googleapis.com", "lab")
    assert judged.status == "warning"
    assert judged.remedy == "gcloud services enable iam.googleapis.com --project=lab"


def test_the_account_stands_in_the_command_that_grants_a_role() -> None:
    member = Principal("service account", "ci@lab.iam.gserviceaccount.com").member
    judged = project.evaluate_batch(PermissionDeniedError("no"), Settings(project_id="lab", region="us-east1"), member)
    assert "--member=serviceAccount:ci@lab.iam.gserviceaccount.com" in judged.remedy


def test_a_users_credentials_without_a_quota_project_are_a_warning() -> None:
    def status(identity: Principal) -> str:
        return credentials.quota_project(setup_of(project_id="lab"), {"credentials.found": (None, identity)}).status

    assert status(Principal("user")) == "warning"
    assert status(Principal("user", quota_project="lab")) == "ok"
    assert status(Principal("service account", "a@b")) == "ok"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("lab", "projects/p/global/networks/lab"),
        ("global/networks/lab", "projects/p/global/networks/lab"),
        ("projects/host/global/networks/lab", "projects/host/global/networks/lab"),
        (
            "https://www.googleapis.com/compute/v1/projects/host/global/networks/lab",
            "projects/host/global/networks/lab",
        ),
    ],
)
def test_a_network_is_found_by_its_name_or_its_address(value: str, path: str) -> None:
    assert network.address_of(value, "p", "global/networks") == (path, "lab")


def test_phases_are_told_as_far_as_they_were_seen() -> None:
    events = [Event("Job state is set from QUEUED to SCHEDULED for job j.", 14.0)]
    job = JobStatus("j", "u", "QUEUED", events=events, created_seconds=12.0)
    objects = [StoredObject("covalent-parallel/d/0/0123456789abcdef/call", 1, 11.0)]
    told = {phase.name: phase.seconds for phase in phases(read_timestamps(10.0, job, objects, {}, None, None))}
    assert told["staged"] == 1.0
    assert told["submitted"] == 1.0
    assert told["queued"] == 2.0
    assert told["scheduled"] is None
    assert told["cleaned"] is None


def test_a_clock_that_lags_makes_no_phase_negative() -> None:
    objects = [StoredObject("covalent-parallel/d/0/0123456789abcdef/call", 1, 9.0)]
    told = {phase.name: phase.seconds for phase in phases(read_timestamps(10.0, None, objects, {}, None, None))}
    assert told["staged"] == 0.0


def test_an_option_that_is_nested_too_deeply_is_unusable() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    setup = setup_of(zones=deep)
    assert "zones" in setup.unusable
    assert any(mistake.startswith("zones ") for mistake in setup.mistakes)
