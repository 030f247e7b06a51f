"""The Jobs of machines that people ask for, against what the documentation of Batch says they must hold.

What is asserted comes from the field descriptions in google.cloud.batch_v1.types and from Batch's documentation, not
from the code that makes the Jobs.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from google.cloud import batch_v1
from planner import Forking, Planner

POLICY = batch_v1.AllocationPolicy
MODEL = POLICY.ProvisioningModel
SHAPES: dict[str, list[str]] = {
    "one vcpu": ["--set", "vcpus=1", "--set", "memory=2048"],
    "96 vcpus": ["--set", "machine_type=n2-standard-96", "--set", "vcpus=96", "--set", "memory=393216"],
    "t4": ["--set", "machine_type=n1-standard-4", "--set", "gpu_type=nvidia-tesla-t4", "--set", "gpu_count=1"],
    "8 a100": ["--set", "machine_type=a2-highgpu-8g", "--set", "vcpus=96", "--set", "memory=696320"],
    "spot with fallback": ["--set", "spot=true", "--set", "spot_fallback=true", "--set", "retries=2"],
    "no external address": ["--set", "network=private", "--set", "subnetwork=machines", "--set", "external_ip=false"],
    "three volumes": [
        "--set",
        "volumes=data=gs://inputs/some/prefix,results=gs://outputs:rw",
        "--set",
        "volumes=share=nfs://10.0.0.2/export",
    ],
    "a secret": ["--set", "secrets=TOKEN=api-token,PINNED=projects/other/secrets/pin/versions/7"],
    "5000 tasks": ["--tasks", "5000", "--set", "max_parallel=5000"],
}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory, forking: Forking) -> dict[str, str]:
    """The JSON document of each shape."""
    plan = Planner(tmp_path_factory.mktemp("shapes"), forking)
    made = {}
    for name, arguments in SHAPES.items():
        ended = plan("--format", "json", *arguments)
        assert ended.status == 0, ended.stderr
        made[name] = ended.stdout
    return made


def strict(text: str) -> batch_v1.Job:
    return batch_v1.Job.from_json(text, ignore_unknown_fields=False)


def task(job: batch_v1.Job) -> Any:
    return job.task_groups[0].task_spec


def container(job: batch_v1.Job) -> Any:
    (runnable,) = task(job).runnables
    return runnable.container


def instance(job: batch_v1.Job) -> Any:
    (found,) = job.allocation_policy.instances
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_a_strict_reader_takes_the_job_and_writes_it_again_as_it_was(shape: str, texts: dict[str, str]) -> None:
    written = batch_v1.Job.to_json(
        strict(texts[shape]), use_integers_for_enums=False, always_print_fields_with_no_presence=False
    )
    assert json.loads(written) == json.loads(texts[shape])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_json_is_protobufs_mapping(shape: str, texts: dict[str, str]) -> None:
    made = json.loads(texts[shape])
    spec = made["taskGroups"][0]["taskSpec"]
    assert re.fullmatch(r"\d+(\.\d+)?s", spec["maxRunDuration"])
    # int64 is text, int32 a number, an enum its name
    assert isinstance(spec["computeResource"]["cpuMilli"], str)
    assert isinstance(made["taskGroups"][0]["taskCount"], str)
    assert isinstance(spec["maxRetryCount"], int)
    assert made["allocationPolicy"]["instances"][0]["policy"]["provisioningModel"] in MODEL.__members__
    assert made["logsPolicy"] == {"destination": "CLOUD_LOGGING"}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_job_has_one_group_one_container_and_an_entrypoint(shape: str, texts: dict[str, str]) -> None:
    job = strict(texts[shape])
    assert len(job.task_groups) == 1
    assert container(job).entrypoint == "python3"
    assert container(job).commands[0] == "-c"
    compile(container(job).commands[1], "bootstrap", "exec")
    assert task(job).max_run_duration.total_seconds() == 360
    assert list(job.allocation_policy.location.allowed_locations) == ["regions/us-east1"]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_job_has_legal_labels_and_the_machines_have_the_same(shape: str, texts: dict[str, str]) -> None:
    job = strict(texts[shape])
    assert {
        "covalent-dispatch",
        "covalent-node",
        "covalent-lattice",
        "covalent-version",
        "covalent-plugin",
        "covalent-call",
    } <= set(job.labels)
    for key, value in job.labels.items():
        assert re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key)
        assert re.fullmatch(r"[a-z0-9_-]{0,63}", value)
    assert dict(job.labels) == dict(job.allocation_policy.labels)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_key_is_shown(shape: str, texts: dict[str, str]) -> None:
    variables = task(strict(texts[shape])).environment.variables
    assert variables["COVALENT_PARALLEL_KEY"] == "made-at-dispatch"
    assert not any(re.fullmatch(r"[0-9a-f]{32,}", value) for value in variables.values())


@pytest.mark.parametrize("shape", sorted(set(SHAPES) - {"t4", "8 a100"}))
def test_no_driver_is_installed_where_there_is_no_gpu(shape: str, texts: dict[str, str]) -> None:
    found = instance(strict(texts[shape]))
    assert not found.install_gpu_drivers
    assert not found.policy.accelerators


@pytest.mark.parametrize("shape", sorted(set(SHAPES) - {"spot with fallback"}))
def test_machines_are_standard_ones_where_nothing_else_is_asked_for(shape: str, texts: dict[str, str]) -> None:
    policy = instance(strict(texts[shape])).policy
    assert (policy.provisioning_model, policy.reservation) == (MODEL.STANDARD, "")


def test_one_vcpu(texts: dict[str, str]) -> None:
    job = strict(texts["one vcpu"])
    assert (task(job).compute_resource.cpu_milli, task(job).compute_resource.memory_mib) == (1000, 2048)
    assert instance(job).policy.machine_type == ""
    assert instance(job).policy.boot_disk.size_gb >= 30


def test_96_vcpus(texts: dict[str, str]) -> None:
    job = strict(texts["96 vcpus"])
    assert instance(job).policy.machine_type == "n2-standard-96"
    assert (task(job).compute_resource.cpu_milli, task(job).compute_resource.memory_mib) == (96000, 393216)


def test_a_t4_is_attached_and_its_driver_installed(texts: dict[str, str]) -> None:
    found = instance(strict(texts["t4"]))
    assert found.install_gpu_drivers
    assert found.policy.machine_type == "n1-standard-4"
    (accelerator,) = found.policy.accelerators
    assert (accelerator.type_, accelerator.count) == ("nvidia-tesla-t4", 1)
    # deprecated: instances[0].install_gpu_drivers is the one to use
    assert not accelerator.install_gpu_drivers


def test_built_in_gpus_take_no_accelerator_and_their_driver_is_installed(texts: dict[str, str]) -> None:
    found = instance(strict(texts["8 a100"]))
    assert found.policy.machine_type == "a2-highgpu-8g"
    assert not found.policy.accelerators
    assert "accelerators" not in texts["8 a100"]
    assert found.install_gpu_drivers


def test_spot_machines_are_retried_when_they_are_taken_away(texts: dict[str, str]) -> None:
    job = strict(texts["spot with fallback"])
    assert instance(job).policy.provisioning_model == MODEL.SPOT
    assert task(job).max_retry_count == 2
    (policy,) = task(job).lifecycle_policies
    assert policy.action == batch_v1.LifecyclePolicy.Action.RETRY_TASK
    assert 50001 in policy.action_condition.exit_codes


def test_without_an_external_address_network_and_subnetwork_are_named(texts: dict[str, str]) -> None:
    (interface,) = strict(texts["no external address"]).allocation_policy.network.network_interfaces
    assert interface.no_external_ip_address
    assert re.fullmatch(r"(projects/[^/]+/)?global/networks/private", interface.network)
    assert re.fullmatch(r"(projects/[^/]+/)?regions/us-east1/subnetworks/machines", interface.subnetwork)


def test_volumes_are_mounted_on_the_machine_and_in_the_container(texts: dict[str, str]) -> None:
    job = strict(texts["three volumes"])
    volumes = {volume.mount_path: volume for volume in task(job).volumes}
    assert set(volumes) == {"/mnt/disks/data", "/mnt/disks/results", "/mnt/disks/share"}
    assert volumes["/mnt/disks/data"].gcs.remote_path.strip("/") == "inputs/some/prefix"
    assert volumes["/mnt/disks/results"].gcs.remote_path.strip("/") == "outputs"
    assert volumes["/mnt/disks/share"].nfs.server == "10.0.0.2"
    assert volumes["/mnt/disks/share"].nfs.remote_path == "/export"
    assert set(container(job).volumes) == {
        "/mnt/disks/data:/mnt/disks/data:ro",
        "/mnt/disks/results:/mnt/disks/results:rw",
        "/mnt/disks/share:/mnt/disks/share:ro",
    }


def test_a_secret_is_a_reference_and_no_value(texts: dict[str, str]) -> None:
    environment = task(strict(texts["a secret"])).environment
    assert dict(environment.secret_variables) == {
        "TOKEN": "projects/my-project/secrets/api-token/versions/latest",
        "PINNED": "projects/other/secrets/pin/versions/7",
    }
    assert not {"TOKEN", "PINNED"} & set(environment.variables)


def test_5000_tasks_run_at_once_where_so_many_are_allowed(texts: dict[str, str]) -> None:
    (group,) = strict(texts["5000 tasks"]).task_groups
    assert (group.task_count, group.parallelism) == (5000, 5000)
    # google.cloud.batch_v1.TaskGroup.task_environments: 200 at most
    assert len(group.task_environments) <= 200
    assert len(texts["5000 tasks"]) < 1_000_000


@pytest.mark.parametrize(("tasks", "parallel"), [("3", 3), ("16", 16), ("5000", 16)])
def test_no_more_tasks_run_at_once_than_there_are_or_than_are_allowed(plan: Planner, tasks: str, parallel: int) -> None:
    (group,) = plan("--format", "json", "--tasks", tasks).job.task_groups
    assert (group.task_count, group.parallelism) == (int(tasks), parallel)


def test_json_and_yaml_say_the_same(plan: Planner) -> None:
    arguments = ["--set", "environment=NUMBER=7,TRUTH=yes,TEXT=two words", "--set", "labels=team=blue"]
    as_json, as_yaml = (plan("--format", form, *arguments) for form in ("json", "yaml"))
    assert yaml.safe_load(as_yaml.stdout) == json.loads(as_json.stdout)


def test_yaml_has_the_bootstrap_as_a_block_of_lines(plan: Planner) -> None:
    lines = plan().stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.endswith("- |-"))
    assert lines[start + 1].strip().startswith("import ")
    assert [line.strip() for line in lines[start + 1 : start + 40] if line.strip().startswith("def installed(")]


def test_short_leaves_out_the_bootstrap_and_nothing_else(plan: Planner) -> None:
    whole, short = (json.loads(plan("--format", "json", *extra).stdout) for extra in ([], ["--short"]))
    commands = [made["taskGroups"][0]["taskSpec"]["runnables"][0]["container"]["commands"] for made in (whole, short)]
    assert "\n" in commands[0][1]
    assert "\n" not in commands[1][1]
    commands[1][1] = commands[0][1]
    assert whole == short
