"""Whatever is asked for: settings are refused, or their Job is one that Batch's documentation allows.

The rules that are checked here are written down from the field descriptions in google.cloud.batch_v1.types and from
Batch's documentation, a second time and in another way than in the code that makes the Jobs.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml
from google.cloud import batch_v1
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from covalent_parallel_plugin.cli.option_assignments import OptionAssignments
from covalent_parallel_plugin.cli.plan import document
from covalent_parallel_plugin.cli.plan.planned_jobs import PlannedJob, plan_nodes, standalone_electron
from covalent_parallel_plugin.errors import SettingsError
from covalent_parallel_plugin.settings import OPTIONS

NEEDED = {"project_id": "my-project", "bucket_name": "some-bucket"}
MODEL = batch_v1.AllocationPolicy.ProvisioningModel
# https://cloud.google.com/compute/docs/gpus: machine series that come with their GPUs
WITH_GPUS = ("a2-", "a3-", "a4-", "a4x-", "g2-", "g4-")
DAYS_14 = 14 * 24 * 3600


def planned(values: dict[str, Any], tasks: int = 1) -> PlannedJob:
    (made,) = plan_nodes([standalone_electron()], NEEDED, OptionAssignments(values), tasks)
    return made


def names(prefix: str = "") -> st.SearchStrategy[str]:
    return st.from_regex(rf"{prefix}[a-z]([a-z0-9-]{{0,20}}[a-z0-9])?", fullmatch=True)


sane_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
secret_names = st.from_regex(
    r"[A-Za-z0-9_-]{1,30}(:[0-9]{1,3})?|projects/p-1/secrets/[A-Za-z0-9_-]{1,30}/versions/(latest|[0-9]{1,3})",
    fullmatch=True,
)
sources = st.from_regex(
    r"gs://[a-z][a-z0-9]{2,20}(/[a-z0-9/]{0,20})?(:rw|:ro)?|nfs://(10\.0\.0\.[1-9]|server)/[a-z0-9/]{0,20}(:rw|:ro)?",
    fullmatch=True,
)
ALWAYS: dict[str, st.SearchStrategy[Any]] = {
    "vcpus": st.floats(0.001, 1000) | st.integers(1, 1000),
    "memory": st.integers(1, 20_000_000),
    "time_limit": st.integers(1, DAYS_14 - 60) | st.floats(0.001, 3600).map(lambda seconds: round(seconds, 6)),
    "retries": st.integers(0, 10),
    "retry_exceptions": st.booleans(),
    "keep_objects": st.booleans(),
    "live_output": st.booleans(),
    "own_modules": st.booleans(),
    "trace": st.booleans(),
    "trace_days": st.integers(1, 36500),
    "checkpoint": st.booleans(),
    "max_machine_hours": st.integers(1, 10**6) | st.floats(0.001, 1e6),
    "cache": st.booleans() | st.integers(1, 10**6),
    "cache_version": st.text(max_size=20),
    "boot_disk_gb": st.integers(10, 65536),
    "boot_disk_type": st.sampled_from(["pd-balanced", "pd-ssd", "hyperdisk-balanced"]),
    "container_image_uri": st.sampled_from(["python:3.12", "us-docker.pkg.dev/p/r/i@sha256:" + "a" * 64]),
    "service_account_email": st.just("robot@my-project.iam.gserviceaccount.com"),
    "labels": st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_-]{0,62}", fullmatch=True).filter(lambda key: not key.startswith(("goog", "cov"))),
        st.from_regex(r"[a-z0-9_-]{0,63}", fullmatch=True),
        max_size=8,
    ),
    "environment": st.dictionaries(st.from_regex(r"E_[A-Za-z0-9_]{0,20}", fullmatch=True), sane_text, max_size=5),
    "secrets": st.dictionaries(st.from_regex(r"S_[A-Za-z0-9_]{0,20}", fullmatch=True), secret_names, max_size=4),
    "volumes": st.dictionaries(st.from_regex(r"v[A-Za-z0-9_-]{0,20}", fullmatch=True), sources, max_size=5),
    "container_options": st.sampled_from(["", "--shm-size=1g", "--network host --env 'A=b c'", "--ipc=host -u 1000"]),
    "requirements": st.lists(st.sampled_from(["numpy", "scipy>=1,<2", "covalent[quantum]==0.240.0"]), max_size=3),
    "priority": st.integers(0, 99),
    "max_parallel": st.integers(1, 5000),
}
MACHINES = st.sampled_from(
    [
        {},
        {"machine_type": "n2-standard-96"},
        {"machine_type": "n2-standard-4", "local_ssd_gb": 750},
        {"machine_type": "e2-standard-2"},
        {"machine_type": "custom-4-8192"},
        {"machine_type": "c3-standard-8-lssd", "local_ssd_gb": 750},
        {"gpu_type": "nvidia-tesla-t4"},
        {"machine_type": "n1-standard-8", "gpu_type": "nvidia-tesla-v100", "gpu_count": 8},
        {"machine_type": "a2-highgpu-8g"},
        {"machine_type": "a2-highgpu-1g", "gpu_count": 1},
        {"machine_type": "a3-highgpu-8g"},
        {"machine_type": "g2-standard-4", "local_ssd_gb": 375},
    ]
)
# vCPUs and MiB of memory: no task is larger than its machine, nor than one that takes such a GPU
SIZES = {
    "n2-standard-96": (96, 393216),
    "n2-standard-4": (4, 16384),
    "e2-standard-2": (2, 8192),
    "custom-4-8192": (4, 8192),
    "c3-standard-8-lssd": (8, 32768),
    "n1-standard-8": (8, 30720),
    "a2-highgpu-8g": (96, 696320),
    "a2-highgpu-1g": (12, 87040),
    "a3-highgpu-8g": (208, 1916928),
    "g2-standard-4": (4, 16384),
}
WAYS = st.sampled_from(
    [
        {},
        {"spot": True},
        {"spot": True, "spot_fallback": True},
        {"provisioning": "FLEX_START"},
        {"provisioning": "NO_RESERVATION"},
        {"provisioning": "NO_RESERVATION", "spot": True},
        {"provisioning": "RESERVATION:mine"},
        {"provisioning": "RESERVATION_BOUND:projects/p-1/zones/us-east1-b/reservations/mine"},
    ]
)
PLACES = st.sampled_from(
    [
        {},
        {"region": "europe-west4"},
        {"region": "europe-west4", "zones": ["europe-west4-a", "europe-west4-b"]},
        {"zones": ["us-east1-b"]},
        {"network": "net"},
        {"network": "net", "subnetwork": "sub", "external_ip": False},
        {"region": "asia-east1", "network": "projects/h/global/networks/n", "subnetwork": "sub", "external_ip": True},
        {"network": "n", "subnetwork": "projects/h/regions/us-east1/subnetworks/sub", "external_ip": False},
    ]
)
REGISTRIES = st.sampled_from([{}, {"registry_username": "me", "registry_password": "my-token"}])


@st.composite
def wishes(draw: st.DrawFn) -> dict[str, Any]:
    values: dict[str, Any] = draw(st.fixed_dictionaries({}, optional=ALWAYS))
    for part in (MACHINES, WAYS, PLACES, REGISTRIES):
        values |= draw(part)
    if "machine_type" in values or "gpu_type" in values:
        vcpus, memory = SIZES.get(values.get("machine_type", ""), (48, 312 * 1024))
        for name, most in (("vcpus", vcpus), ("memory", memory)):
            if name in values:
                values[name] = min(values[name], most)
    return values


def allowed(job: batch_v1.Job, values: dict[str, Any], tasks: int) -> None:
    """Assert everything that the documentation asks of a Job."""
    (group,) = job.task_groups
    (instance,) = job.allocation_policy.instances
    (runnable,) = group.task_spec.runnables
    assert 0 <= job.priority <= 99
    assert group.task_count == tasks
    assert group.parallelism == min(tasks, int(values.get("max_parallel") or 16))
    assert len(batch_v1.Job.to_json(job, indent=None)) <= 1_000_000
    assert job.logs_policy.destination == batch_v1.LogsPolicy.Destination.CLOUD_LOGGING
    labels_are_legal(job, values)
    times_and_retries_are_legal(group.task_spec, values)
    machines_are_legal(job, instance, values)
    environment_is_consistent(group.task_spec.environment, values)
    volumes_are_consistent(group.task_spec, instance.policy, runnable.container, values)
    container_is_whole(runnable.container, values)


def labels_are_legal(job: batch_v1.Job, values: dict[str, Any]) -> None:
    assert dict(job.labels) == dict(job.allocation_policy.labels)
    assert len(job.labels) <= 64
    for key, value in job.labels.items():
        assert re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key)
        assert re.fullmatch(r"[a-z0-9_-]{0,63}", value)
        assert not key.startswith(("goog-", "google-"))
    assert (values.get("labels") or {}).items() <= dict(job.labels).items()
    own = {"dispatch", "node", "lattice", "version", "plugin", "call", "server"}
    assert {key for key in job.labels if key.startswith("covalent-")} == {f"covalent-{name}" for name in own}


def times_and_retries_are_legal(task: Any, values: dict[str, Any]) -> None:
    seconds = task.max_run_duration.total_seconds()
    assert 60 <= seconds <= DAYS_14
    expected = float(values.get("time_limit") or 300) + (300 if values.get("checkpoint") else 60)
    assert seconds == pytest.approx(min(expected, DAYS_14), abs=1e-3)
    assert 0 <= task.max_retry_count <= 10
    # without a policy every exit status is retried, the user's own bugs included
    assert len(task.lifecycle_policies) == (task.max_retry_count > 0)
    for policy in task.lifecycle_policies:
        assert policy.action == batch_v1.LifecyclePolicy.Action.RETRY_TASK
        assert {50001, 50002} <= set(policy.action_condition.exit_codes)
        assert not {0, 1, 50005} & set(policy.action_condition.exit_codes)
    assert task.compute_resource.cpu_milli >= 1
    assert task.compute_resource.memory_mib >= 1
    # the boot disk's size_gb wins over it
    assert task.compute_resource.boot_disk_mib == 0


def machines_are_legal(job: batch_v1.Job, instance: Any, values: dict[str, Any]) -> None:
    policy, region = instance.policy, values.get("region") or "us-east1"
    built_in = policy.machine_type.startswith(WITH_GPUS)
    if built_in:
        assert not policy.accelerators
    for accelerator in policy.accelerators:
        assert accelerator.type_
        assert accelerator.count >= 1
        assert not policy.machine_type or policy.machine_type.startswith(("n1-", "custom-"))
    assert instance.install_gpu_drivers == (built_in or bool(policy.accelerators))
    assert policy.boot_disk.size_gb >= 10
    assert policy.provisioning_model != MODEL.PROVISIONING_MODEL_UNSPECIFIED
    assert (policy.provisioning_model == MODEL.SPOT) == (values.get("spot") is True or values.get("spot") == "true")
    if policy.provisioning_model == MODEL.RESERVATION_BOUND:
        assert policy.reservation not in ("", "NO_RESERVATION")
    if policy.provisioning_model in (MODEL.SPOT, MODEL.FLEX_START):
        assert policy.reservation in ("", "NO_RESERVATION")
    places = list(job.allocation_policy.location.allowed_locations)
    assert places == [f"zones/{zone}" for zone in values.get("zones") or ()] or places == [f"regions/{region}"]
    assert not values.get("zones") or all(re.fullmatch(rf"zones/{region}-[a-z]", place) for place in places)
    assert len(set(places)) == len(places)
    for interface in job.allocation_policy.network.network_interfaces:
        assert not interface.network or re.search(r"(^|/)global/networks/[a-z][a-z0-9-]*$", interface.network)
        assert not interface.subnetwork or re.search(
            rf"(^|/)regions/{region}/subnetworks/[a-z][a-z0-9-]*$", interface.subnetwork
        )
        if interface.no_external_ip_address:
            assert interface.network
            assert interface.subnetwork
    if values.get("external_ip") in (False, "false"):
        assert job.allocation_policy.network.network_interfaces[0].no_external_ip_address


def environment_is_consistent(environment: Any, values: dict[str, Any]) -> None:
    variables, secrets = dict(environment.variables), dict(environment.secret_variables)
    assert not set(variables) & set(secrets)
    assert (values.get("environment") or {}).items() <= variables.items()
    assert set(secrets) == set(values.get("secrets") or {})
    for name in (*variables, *secrets):
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    for reference in secrets.values():
        assert re.fullmatch(r"projects/[^/]+/secrets/[A-Za-z0-9_-]+/versions/(latest|\w[\w-]*)", reference)
    assert variables["COVALENT_PARALLEL_KEY"] == "made-at-dispatch"


def volumes_are_consistent(task: Any, policy: Any, container: Any, values: dict[str, Any]) -> None:
    paths = [volume.mount_path for volume in task.volumes]
    assert len(set(paths)) == len(paths)
    assert all(re.fullmatch(r"/mnt/disks/[A-Za-z0-9][A-Za-z0-9_-]*", path) for path in paths)
    bound = {}
    for text in container.volumes:
        source, target, *modes = text.split(":")
        assert target not in bound, "two volumes at one place of the container"
        bound[target] = modes
        if source in paths:
            assert target == source
            assert modes in (["ro"], ["rw"])
        else:
            assert source == "covalent-parallel-packages"
    assert set(paths) <= set(bound)
    for volume in task.volumes:
        read_only = bound[volume.mount_path] == ["ro"]
        options = " ".join(volume.mount_options).split()
        if volume.device_name:
            continue
        asked = [
            source
            for name, source in (values.get("volumes") or {}).items()
            if volume.mount_path.endswith(f"/{name.removeprefix('/mnt/disks/')}")
        ]
        assert read_only == (not asked[0].endswith(":rw"))
        assert ("ro" in options) == read_only
        if volume.gcs.remote_path:
            assert not volume.gcs.remote_path.startswith(("/", "gs:"))
            assert asked[0].startswith("gs://" + volume.gcs.remote_path.split("/")[0])
        else:
            assert volume.nfs.server
            assert volume.nfs.remote_path.startswith("/")
    devices = {volume.device_name for volume in task.volumes if volume.device_name}
    assert devices == {disk.device_name for disk in policy.disks}
    for disk in policy.disks:
        assert disk.new_disk.type_ == "local-ssd"
        assert disk.new_disk.size_gb % 375 == 0
        assert disk.new_disk.size_gb > 0


def container_is_whole(container: Any, values: dict[str, Any]) -> None:
    assert container.entrypoint == "python3"
    assert re.fullmatch(r"[a-zA-Z0-9][\w./:@-]*", container.image_uri)
    assert bool(container.username) == bool(container.password)
    if container.password:
        # in plain text everybody who may view the job could read it
        assert re.fullmatch(r"projects/[^/]+/secrets/[^/]+/versions/[^/]+", container.password)
    words = shlex.split(container.options)
    assert not [word for word in words if re.match(r"(-v|--volume|--mount)(=|$)", word)]
    assert container.options == f"--stop-timeout=30 {values.get('container_options') or ''}".strip()


@settings(deadline=None, max_examples=150)
@given(wishes(), st.integers(1, 100_000))
def test_whatever_combination_is_taken_makes_a_job_that_is_allowed(values: dict[str, Any], tasks: int) -> None:
    try:
        made = planned(values, tasks)
    except SettingsError as error:
        # These combinations contradict each other, and are refused for that alone.
        assert all(
            re.search(r"contradicts|too long|is not for|needs machine_type|no local|is in zone", m)
            for m in error.mistakes
        )
        assume(False)
    allowed(made.job, values, tasks)


@settings(deadline=None, max_examples=60)
@given(wishes())
def test_json_and_yaml_are_the_job(values: dict[str, Any]) -> None:
    try:
        made = planned(values)
    except SettingsError:
        assume(False)
    fields = document.job_fields(made)
    assert yaml.safe_load(document.single_job(made, "yaml", False)) == fields
    text = document.single_job(made, "json", False)
    assert batch_v1.Job.from_json(text, ignore_unknown_fields=False) == made.job


hostile_text = st.text(max_size=80) | st.sampled_from(
    [
        "-1",
        "0",
        "nan",
        "1e400",
        "True",
        "None",
        "[]",
        "{}",
        "../..",
        "a\nb",
        "a b",
        " ",
        "ä",
        "\0",
        "\ud800",
        ":",
        "::rw",
    ]
)
hostile = (
    hostile_text
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.lists(hostile_text, max_size=3)
    | st.dictionaries(hostile_text, hostile_text, max_size=3)
    | st.dictionaries(hostile_text, secret_names | sources, max_size=3)
    | st.lists(st.lists(st.integers()), max_size=2)
)


@pytest.mark.parametrize("name", OPTIONS)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_whatever_one_option_is_given_is_refused_or_makes_a_job_that_is_allowed(name: str, data: st.DataObject) -> None:
    value = data.draw(hostile)
    try:
        made = planned({name: value})
    except SettingsError as error:
        assert all("\n" not in mistake for mistake in error.mistakes), "a mistake is one line"
        return
    asked = {name: getattr(made.settings, name)}
    allowed(made.job, {**asked, "spot": made.settings.spot}, 1)


@pytest.mark.parametrize(
    "seconds",
    [
        0.5,
        1e-9,
        299.5,
        0.9999999999,
        299.9999999999,
    ],
)
def test_any_fraction_of_a_second_makes_a_duration(seconds: float) -> None:
    made = planned({"time_limit": seconds})
    times_and_retries_are_legal(made.job.task_groups[0].task_spec, {"time_limit": seconds})


@pytest.mark.parametrize(
    "values",
    [
        {"machine_type": "n2-standard-4", "gpu_type": "nvidia-tesla-t4"},
        {"machine_type": "a2-highgpu-8g", "gpu_type": "nvidia-tesla-a100", "gpu_count": 8},
        {"zones": ["us-west1-b"]},
        {"external_ip": False},
        {"external_ip": False, "network": "n"},
        {"subnetwork": "regions/us-west1/subnetworks/s", "network": "n"},
        {"environment": {"A": "1"}, "secrets": {"A": "s"}},
        {"labels": {"goog-x": "1"}},
        {"labels": {"covalent-call": "1"}},
        {"registry_username": "me"},
        {"volumes": {"a": "s3://bucket"}},
        {"container_options": "-v /:/host"},
        {"container_options": "--detach"},
        {"provisioning": "RESERVATION:mine"},
        {"environment": {"A": "x" * 1_000_000}},
        # a region has a number: https://cloud.google.com/compute/docs/regions-zones
        {"region": "mars"},
        {"region": "us-east"},
        # https://cloud.google.com/storage/docs/buckets#naming
        {"volumes": {"a": "gs://NO_bucket!/x"}},
        {"volumes": {"a": "gs://some-bucket/../x"}},
        # short flags of `docker run` can be joined: -itd holds -d
        {"container_options": "-itd"},
        {"container_options": "--shm-size=1g\n--x"},
        # a word that is not an option would be taken for the image
        {"container_options": "--shm-size=1g ubuntu"},
        # the reservation's zone is where the machines are to be
        {"machine_type": "n2-standard-4", "provisioning": "RESERVATION:projects/p/zones/us-west1-b/reservations/r"},
        {"container_image_uri": "python:"},
        {"container_image_uri": "Python"},
        # in JSON each of these characters has six
        {"environment": {"A": "\x01" * 240_000}},
    ],
    ids=lambda values: str(values)[:60].replace("\\", ""),
)
def test_what_batch_would_refuse_is_refused_at_once(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        planned(values)
