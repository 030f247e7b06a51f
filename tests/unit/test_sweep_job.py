"""The job of a sweep's round: golden files for whole jobs, and what its id and its machines follow.

UPDATE_GOLDEN=1 writes the golden files anew; look at what changed before you commit it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from golden_jobs import compare_with_golden, readable
from google.cloud import batch_v1
from hypothesis import given
from hypothesis import strategies as st
from local_runs import sweep_file

from covalent_parallel_plugin import settings
from covalent_parallel_plugin.errors import SettingsError
from covalent_parallel_plugin.protocol.environment import ENV_LIVE
from covalent_parallel_plugin.protocol.sweep_identity import SweepIdentity
from covalent_parallel_plugin.protocol.sweep_objects import sweep_folder
from covalent_parallel_plugin.sweep.batch.sweep_job import helper_image, job_id, sweep_job
from covalent_parallel_plugin.sweep.reading.sweep_schema import NAME_LENGTH

GOLDEN = Path(__file__).parent / "golden_sweeps"
SWEEP_ID = "0123456789ab"
IDENTITY = SweepIdentity(SWEEP_ID, bytes(range(32)), sweep_folder("faces", SWEEP_ID))
IMAGE = "us-east1-docker.pkg.dev/p/r/i@sha256:" + "0" * 64
NEEDED = {"bucket_name": "some-bucket", "project_id": "my-project"}
# google.cloud.batch_v1.CreateJobRequest.job_id
JOB_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")

# Options, fields of the sweep's file, and of the round
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, int]]] = {
    "defaults": ({}, {}, {}),
    "shared_machines": ({"machine_type": "n2-standard-8", "vcpus": 1, "memory": 2048, "max_parallel": 64}, {}, {}),
    "three_to_a_machine": ({"machine_type": "n2-standard-8"}, {"tasks_per_machine": 3}, {}),
    "bundles_in_a_later_round": ({"time_limit": 600}, {}, {"round": 3, "tasks": 1001, "bundle": 10}),
    "fixed_outputs": (
        {"container_options": "--shm-size=2g"},
        {"outputs": "/mnt/data", "workdir": "/srv/my app"},
        {},
    ),
    "retry_on": ({"retries": 2}, {"retry_on": frozenset({3, 75})}, {}),
    "no_retries": ({"retries": 0}, {"retry_on": frozenset({3})}, {}),
    "secrets_and_labels": (
        {"labels": {"team": "blue"}},
        {"secrets": {"TOKEN": "token", "OTHER": "projects/other/secrets/s/versions/1"}},
        {},
    ),
    "volumes_and_registry": (
        {
            "volumes": {"data": "gs://some-data/images/"},
            "local_ssd_gb": 375,
            "machine_type": "n2-standard-4",
            "registry_username": "us",
            "registry_password": "hub",
        },
        {},
        {},
    ),
    "gpus_on_spot": (
        {"machine_type": "n1-standard-8", "gpu_type": "nvidia-tesla-t4", "spot": True, "vcpus": 1},
        {},
        {},
    ),
}


def job(options: dict[str, Any], fields: dict[str, Any], round: dict[str, int]) -> batch_v1.Job:
    asked = settings.check(settings.resolve(NEEDED | options, {}))
    file = sweep_file(name="faces", image="i", **fields)
    return sweep_job(file, asked, IMAGE, IDENTITY, **{"round": 0, "tasks": 100, "bundle": 1, **round})


@pytest.mark.parametrize("shape", SHAPES)
def test_the_job_is_the_one_of_the_golden_file(shape: str) -> None:
    compare_with_golden(
        GOLDEN / f"{shape}.json", readable(job(*SHAPES[shape]), for_sweeps=True).replace(helper_image(), "HELPER")
    )


def test_every_golden_file_has_its_shape() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(SHAPES)


@given(
    name=st.from_regex(rf"[a-z0-9][a-z0-9-]{{0,{NAME_LENGTH - 1}}}", fullmatch=True),
    sweep_id=st.from_regex(r"[0-9a-f]{12}", fullmatch=True),
    round=st.integers(0, 99_999),
)
def test_a_jobs_id_is_legal_and_that_of_one_sweep_and_round(name: str, sweep_id: str, round: int) -> None:
    made = job_id(name, sweep_id, round)
    assert JOB_ID.fullmatch(made)
    assert made.endswith(f"-{sweep_id}-{round}") and made == job_id(name, sweep_id, round)


@pytest.mark.parametrize(
    ("options", "fields", "expected"),
    [
        ({}, {}, 1),
        ({"machine_type": "n2-standard-8", "vcpus": 2, "memory": 1024}, {}, 4),
        ({"machine_type": "n2-standard-8", "vcpus": 1, "memory": 16384}, {}, 2),
        ({"machine_type": "n2-standard-64", "vcpus": 1, "memory": 512}, {}, 20),
        ({"machine_type": "a2-highgpu-1g", "vcpus": 1, "memory": 512, "boot_disk_gb": 100}, {}, 1),
        ({"machine_type": "n2-standard-8", "vcpus": 2}, {"tasks_per_machine": 7}, 7),
        ({}, {"tasks_per_machine": 7}, 7),
    ],
)
def test_how_many_tasks_share_a_machine_is_always_said(
    options: dict[str, Any], fields: dict[str, Any], expected: int
) -> None:
    assert job(options, fields, {}).task_groups[0].task_count_per_node == expected


@pytest.mark.parametrize(
    ("tasks", "bundle", "count", "seconds"),
    [
        (1, 1, 1, 960),
        (100, 1, 100, 960),
        (101, 100, 2, 30_660),
        (1_000_000, 10, 100_000, 3660),
        (9, 99_999, 1, 1_209_600),
    ],
)
def test_tasks_of_a_bundle_are_one_of_batchs(tasks: int, bundle: int, count: int, seconds: int) -> None:
    group = job({}, {}, {"tasks": tasks, "bundle": bundle}).task_groups[0]
    assert (group.task_count, group.parallelism) == (count, min(count, 16))
    assert group.task_spec.max_run_duration.total_seconds() == seconds


def test_output_is_delivered_while_tasks_run_unless_that_is_not_wanted() -> None:
    for options, expected in (({}, None), ({"live_output": True}, None), ({"live_output": False}, "0")):
        variables = job(options, {}, {}).task_groups[0].task_spec.environment.variables
        assert dict(variables).get(ENV_LIVE) == expected


def test_a_job_that_is_too_large_is_refused_with_the_way_for_large_values() -> None:
    with pytest.raises(SettingsError, match=r"1,000,000; .*: pass large values in files or inputs"):
        job({"container_options": " ".join(f"--label=l{n}=" + "x" * 10_000 for n in range(100))}, {}, {})
