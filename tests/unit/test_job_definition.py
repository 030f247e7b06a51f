"""Settings as Batch jobs: golden files for whole jobs, properties for the id.

UPDATE_GOLDEN=1 writes the golden files anew; look at what changed before you commit it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from golden_jobs import compare_with_golden, readable
from google.cloud import batch_v1
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin import settings
from covalent_parallel_plugin.batch import job_definition
from covalent_parallel_plugin.batch.job_names import job_id_for, label_value
from covalent_parallel_plugin.electron.call import Call
from covalent_parallel_plugin.electron.electron_job import electron_job
from covalent_parallel_plugin.errors import SettingsError
from covalent_parallel_plugin.protocol.environment import ENV_KEY, ENV_LAST_ATTEMPT, PACKAGES_FOLDER
from covalent_parallel_plugin.protocol.identity import CallIdentity

GOLDEN = Path(__file__).parent / "golden"
CALL = Call("0aa52a41-98b6-4f9c-a3b4-d1f5e1e1d9a3", 7, "train", "3.11.7", "0.240.0")
IDENTITY = CallIdentity("0123456789abcdef", bytes(range(32)), CALL.folder("0123456789abcdef"))
NEEDED = {"bucket_name": "some-bucket", "project_id": "my-project"}

SHAPES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "one_vcpu": {"vcpus": 1, "memory": 1024},
    "half_a_vcpu": {"vcpus": 0.5, "memory": 256, "time_limit": 0.5},
    "t4": {"machine_type": "n1-standard-4", "gpu_type": "nvidia-tesla-t4", "gpu_count": 2},
    "built_in_gpus": {"machine_type": "a2-highgpu-1g", "boot_disk_gb": 100},
    "spot": {"spot": True, "region": "europe-west4"},
    "spot_with_fallback": {"spot": True, "spot_fallback": True, "retries": 2},
    "retry_exceptions": {"retry_exceptions": True, "retries": 2},
    "no_retries": {"retries": 0},
    "labels_and_environment": {"labels": {"team": "blue"}, "environment": {"COLOUR": "red"}},
    "service_account": {"service_account_email": "robot@my-project.iam.gserviceaccount.com"},
    "n2_with_96_vcpus": {"machine_type": "n2-standard-96", "vcpus": 96, "memory": 360000, "boot_disk_type": "pd-ssd"},
    "eight_a100": {"machine_type": "a2-highgpu-8g", "vcpus": 96, "memory": 600000, "gpu_count": 8},
    "flex_start": {"machine_type": "g2-standard-4", "provisioning": "FLEX_START"},
    "reservation": {"machine_type": "n2-standard-4", "provisioning": "RESERVATION:mine", "zones": ["us-east1-b"]},
    "reservation_bound": {"machine_type": "a3-megagpu-8g", "provisioning": "RESERVATION_BOUND:mine"},
    "no_reservation": {"provisioning": "NO_RESERVATION", "priority": 99},
    "zones": {"zones": "us-east1-b, us-east1-c"},
    "no_external_address": {"network": "inner", "subnetwork": "inner-east", "external_ip": False},
    "shared_network": {
        "network": "projects/host/global/networks/shared",
        "subnetwork": "projects/host/regions/us-east1/subnetworks/shared",
    },
    "local_ssd": {"machine_type": "n2-standard-8", "local_ssd_gb": 750},
    "volumes": {
        "volumes": {
            "data": "gs://some-data/images/",
            "out": "gs://some-results:rw",
            "/mnt/disks/home": "nfs://10.0.0.2/export/home:rw",
            "scratch": "nfs://10.0.0.2/scratch",
        }
    },
    "secrets": {"secrets": {"TOKEN": "token", "KEY": "key:3", "OTHER": "projects/other/secrets/s/versions/1"}},
    "private_registry": {
        "container_image_uri": "docker.io/us/private:1",
        "registry_username": "us",
        "registry_password": "hub",
    },
    "container_options": {"container_options": "--shm-size=2g --ulimit nofile=4096"},
    "own_image": {"container_image_uri": "us-east1-docker.pkg.dev/p/r/i:1", "keep_objects": True},
    "no_live_output": {"live_output": False},
    "checkpoint": {"checkpoint": True, "spot": True},
}


def job(**options: Any) -> batch_v1.Job:
    return electron_job(settings.check(settings.resolve(NEEDED | options, {})), CALL, IDENTITY)


def test_an_array_has_its_tasks_and_shares_what_requirements_installed() -> None:
    asked = settings.check(settings.resolve(NEEDED | {"max_parallel": 5000, "requirements": ["six"]}, {}))
    group = electron_job(asked, CALL, IDENTITY, tasks=20_000).task_groups[0]
    assert (group.task_count, group.parallelism) == (20_000, 5000)
    container = group.task_spec.runnables[0].container
    assert list(container.volumes) == [f"{job_definition.PACKAGES_VOLUME}:{PACKAGES_FOLDER}"]


def test_no_more_tasks_run_at_a_time_than_there_are() -> None:
    asked = settings.check(settings.resolve(NEEDED, {}))
    assert electron_job(asked, CALL, IDENTITY, tasks=3).task_groups[0].parallelism == 3


def test_a_lone_task_shares_no_packages() -> None:
    assert not job(requirements=["six"]).task_groups[0].task_spec.runnables[0].container.volumes


def test_the_lattice_is_labelled_where_it_is_known() -> None:
    asked = settings.check(settings.resolve(NEEDED, {}))
    made = electron_job(asked, replace(CALL, lattice="My Search!"), IDENTITY)
    assert made.labels["covalent-lattice"] == made.allocation_policy.labels["covalent-lattice"] == "my-search-"
    assert "covalent-lattice" not in electron_job(asked, CALL, IDENTITY).labels


def test_a_job_that_is_too_large_is_refused_with_the_option_that_made_it_so() -> None:
    with pytest.raises(SettingsError, match=r"1,000,000; environment alone has 1,0\d\d,\d\d\d: .*arguments"):
        job(environment={f"V{index}": "x" * 10_000 for index in range(100)})


def test_what_is_smaller_in_binary_than_in_json_is_measured_in_json() -> None:
    with pytest.raises(SettingsError, match="the job's definition would have"):
        job(environment={"V": "\x01" * 300_000})


def test_a_job_that_is_just_small_enough_is_taken() -> None:
    assert job(environment={"V": "x" * 900_000})


@pytest.mark.parametrize("shape", SHAPES)
def test_the_job_is_the_one_of_the_golden_file(shape: str) -> None:
    compare_with_golden(GOLDEN / f"{shape}.json", readable(job(**SHAPES[shape])))


def test_every_golden_file_has_its_shape() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(SHAPES)


def test_the_key_is_in_one_environment_variable_and_nowhere_else() -> None:
    made = job(labels={"team": "blue"}, environment={"COLOUR": "red"})
    variables = made.task_groups[0].task_spec.environment.variables
    assert variables[ENV_KEY] == IDENTITY.key.hex()
    assert batch_v1.Job.to_json(made).count(IDENTITY.key.hex()) == 1


def test_the_key_is_in_no_repr_of_what_a_call_is_made_of() -> None:
    shown = repr((IDENTITY, CALL, settings.Settings(**NEEDED), CALL.header("c"))) + str(IDENTITY) + f"{IDENTITY}"
    for form in (IDENTITY.key.hex(), repr(IDENTITY.key), repr(IDENTITY.key)[2:-1], str(list(IDENTITY.key))[1:-1]):
        assert form not in shown


def retried(**options: Any) -> list[int] | None:
    """The exit codes that the job's policy retries, None without a policy."""
    policies = job(**options).task_groups[0].task_spec.lifecycle_policies
    if not policies:
        return None
    (policy,) = policies
    assert policy.action == batch_v1.LifecyclePolicy.Action.RETRY_TASK
    return list(policy.action_condition.exit_codes)


@pytest.mark.parametrize("spot", [True, False])
def test_batch_retries_lost_machines_and_nothing_else(spot: bool) -> None:
    assert retried(spot=spot) == [50001, 50002, 50003, 50006]


def test_batch_retries_the_electrons_failures_only_if_asked() -> None:
    assert retried(retry_exceptions=True) == [50001, 50002, 50003, 50006, 75]


@pytest.mark.parametrize("exceptions", [True, False])
def test_without_retries_there_is_no_policy_and_no_second_attempt(exceptions: bool) -> None:
    assert retried(retries=0, retry_exceptions=exceptions) is None
    assert job(retries=0, retry_exceptions=exceptions).task_groups[0].task_spec.max_retry_count == 0


@pytest.mark.parametrize("retries", [0, 3, 10])
def test_the_runner_knows_its_last_attempt_only_where_exceptions_are_retried(retries: int) -> None:
    def variables(**options: Any) -> Any:
        return job(retries=retries, **options).task_groups[0].task_spec.environment.variables

    assert variables(retry_exceptions=True)[ENV_LAST_ATTEMPT] == str(retries)
    assert ENV_LAST_ATTEMPT not in variables()


def test_the_image_follows_the_clients_python() -> None:
    container = job().task_groups[0].task_spec.runnables[0].container
    assert (container.image_uri, container.entrypoint) == ("mirror.gcr.io/library/python:3.11-slim", "python3")


def test_a_users_variable_cannot_replace_one_of_the_jobs_own() -> None:
    options = settings.Settings(**NEEDED, environment={ENV_KEY: "mine"})
    variables = electron_job(options, CALL, IDENTITY).task_groups[0].task_spec.environment.variables
    assert variables[ENV_KEY] == IDENTITY.key.hex()


@given(st.floats(min_value=1e-9, max_value=1000, exclude_min=True), st.floats(min_value=1e-3, max_value=1e6))
def test_no_fraction_makes_an_illegal_job(vcpus: float, time_limit: float) -> None:
    spec = job(vcpus=vcpus, time_limit=time_limit).task_groups[0].task_spec
    assert spec.compute_resource.cpu_milli >= 1
    assert spec.max_run_duration.total_seconds() == pytest.approx(time_limit + job_definition.GRACE_SECONDS, abs=1e-3)


def test_the_definition_is_far_smaller_than_batch_allows() -> None:
    assert len(batch_v1.Job.serialize(job())) < 20_000


# google.cloud.batch_v1.CreateJobRequest.job_id
LEGAL = re.compile(r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")
hostile = st.text(min_size=1) | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", fullmatch=True) | st.uuids().map(str)
nodes = st.integers(0, 10**9)
own_names = st.just("") | st.from_regex(r"[0-9a-f]{8}2?", fullmatch=True)


@given(hostile, nodes, own_names)
def test_a_job_id_is_legal_and_always_the_same(dispatch_id: str, node_id: int, own: str) -> None:
    made = job_id_for(dispatch_id, node_id, own)
    assert LEGAL.fullmatch(made)
    assert made == job_id_for(dispatch_id, node_id, own)


@given(st.tuples(hostile, nodes, own_names), st.tuples(hostile, nodes, own_names))
def test_distinct_nodes_have_distinct_job_ids(one: tuple[str, int, str], other: tuple[str, int, str]) -> None:
    assert (job_id_for(*one) == job_id_for(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", 1, "01234567"), ("a-1", 2, "")),
        (("a", 1, "01234567"), ("a", 1, "012345672")),
        (("a", 12, ""), ("a-1", 2, "")),
        (("A", 1, ""), ("a", 1, "")),
        (("a_b", 1, ""), ("a-b", 1, "")),
        (("x" * 80, 1, ""), ("x" * 81, 1, "")),
        (("x" * 80, 1, "01234567"), ("x" * 80, 12, "")),
        (("x" * 80, 1, "01234567"), ("x" * 80, 1, "")),
    ],
)
def test_ids_that_look_alike_stay_apart(one: tuple[str, int, str], other: tuple[str, int, str]) -> None:
    assert job_id_for(*one) != job_id_for(*other)


def test_the_id_of_an_ordinary_node_can_be_read() -> None:
    assert job_id_for(CALL.dispatch_id, 7) == f"covalent-{CALL.dispatch_id}-7"


@given(st.text())
def test_a_label_is_legal_whatever_the_text(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{0,63}", label_value(text))


@pytest.mark.parametrize("dispatch_id", ["../x", "a/b", "", "a b", "ä", "-a", "a" * 101, "a\n"])
def test_a_dispatch_id_that_could_leave_its_folder_is_refused(dispatch_id: str) -> None:
    with pytest.raises(ValueError, match="dispatch id"):
        Call(dispatch_id, 0, "f", "3.11.7", "0.240.0")
