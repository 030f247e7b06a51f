"""The variables' rules: what the command accepts and refuses, and that Terraform's validations do the same."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from covalent_parallel_plugin.cli.deploy.deployment_folder import INFRA
from covalent_parallel_plugin.errors import DeployError
from covalent_parallel_plugin.settings.infrastructure_variables import (
    VARIABLES,
    checked,
    contradictions,
    read_assignments,
)

GOOD: dict[str, list[object]] = {
    "project_id": ["my-project-123", "example.com:my-project", "123456789012"],
    "region": ["us-east1", "europe-west4", "northamerica-northeast1"],
    "name": ["covalent", "c", "a-team-2", "a" * 20],
    "bucket_name": ["my-bucket", "abc", "my.bucket.example.org", "a" * 63],
    "object_days": [1, 7, 3650],
    "cache_days": [1, 90, 3650],
    "soft_delete_days": [0, 7, 90],
    "dispatcher_members": [[], ["user:ada@example.org", "group:g@example.org", "serviceAccount:a@b.iam.example.org"]],
    "image_publishers": [["principalSet://iam.example.org/projects/1/x"]],
    "secrets": [["token"], ["projects/my-project/secrets/my_token"]],
    "subnetwork_range": ["10.10.0.0/20", "192.168.0.0/29", "10.0.0.0/8"],
    "image": ["covalent-parallel", "covalent-parallel:1.0_x", "team/image:latest"],
}
BAD: dict[str, list[object]] = {
    "project_id": ["My Project", "my_project", "-project"],
    "region": ["us-east1-b", "US", "us east1"],
    "name": ["Covalent", "1st", "a-", "a" * 21, "a b"],
    "bucket_name": ["ab", "My-Bucket", "gs://bucket", "a" * 64, "10.0.0.1", "a..b", "my-google-bucket", "goog-1"],
    "object_days": [0, 1.5, 3651, -1],
    "cache_days": [0, 1.5, 3651, -1],
    "soft_delete_days": [1, 6, 91, 7.5],
    "dispatcher_members": [["ada@example.org"], ["allUsers"], ["user:ada"], ["user:ada@example.org", "nobody"]],
    "image_publishers": [["allAuthenticatedUsers"], ["user:a b@example.org"]],
    "secrets": [["projects/p/secrets/s/versions/1"], ["a:latest"], ["a b"]],
    "subnetwork_range": ["10.10.0.0", "10.10.0.0/30", "10.10.0.0/7", "fd00::/20", "ten"],
    "image": ["us-docker.pkg.dev/p/r/i:t:u", "Image", "image:", "image@sha256:abc"],
}
CASES = [
    pytest.param(name, value, is_good, id=f"{name}-{index}-{'good' if is_good else 'bad'}")
    for table, is_good in ((GOOD, True), (BAD, False))
    for name, values in table.items()
    for index, value in enumerate(values)
]
PROGRAM = shutil.which("terraform") or shutil.which("tofu")


def is_accepted(name: str, value: object) -> bool:
    try:
        checked(name, value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("name", "value", "is_good"), CASES)
def test_the_command_accepts_what_is_good_and_nothing_else(name: str, value: object, is_good: bool) -> None:
    assert is_accepted(name, value) is is_good


@pytest.mark.skipif(PROGRAM is None, reason="neither terraform nor tofu is installed")
def test_terraform_accepts_the_same(tmp_path: Path) -> None:
    """One round for each column of the two tables: a bad value of each variable at once."""
    shutil.copy(INFRA / "variables.tf", tmp_path)
    columns = max(len(values) for table in (GOOD, BAD) for values in table.values())
    for index in range(columns):
        good = {name: values[index % len(values)] for name, values in GOOD.items()}
        assert refused(tmp_path, good) == set()
        bad = {name: values[index % len(values)] for name, values in BAD.items()}
        assert refused(tmp_path, bad) == set(BAD)


def refused(folder: Path, values: dict[str, object]) -> set[str]:
    """The variables that Terraform's validations refuse."""
    (folder / "terraform.tfvars.json").write_text(json.dumps(values))
    command = [str(PROGRAM), "plan", "-input=false", "-no-color"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return set(re.findall(r"var\.(\w+) is ", ended.stderr))


def test_values_are_read_by_the_variables_types() -> None:
    texts = ["object_days=30", "nat=true", "create_network=True", "secrets=a,b", 'dispatcher_members=["user:a@b.org"]']
    assert read_assignments(texts) == {
        "object_days": 30,
        "nat": True,
        "create_network": True,
        "secrets": ["a", "b"],
        "dispatcher_members": ["user:a@b.org"],
    }


def test_an_empty_value_is_the_defaults() -> None:
    assert read_assignments(["object_days=", "secrets=", "bucket_name="]) == {
        "object_days": 7,
        "secrets": [],
        "bucket_name": "",
    }


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(DeployError) as caught:
        read_assignments(["object_days=soon", "buckets=a", "nat", "secrets=[a", "name=x"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert "object_days = 'soon' is not a number" in lines[1]
    assert "there is no variable 'buckets'" in lines[2]
    assert "'nat' is not of the form NAME=VALUE" in lines[3]
    assert "is not a list in JSON" in lines[4]
    assert "write --name x" in lines[5]


def test_a_mistyped_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(DeployError, match="did you mean 'bucket_name'"):
        read_assignments(["bucketname=a"])


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({}, 0),
        ({"nat": True}, 1),
        ({"nat": True, "create_network": True}, 0),
        ({"create_bucket": False}, 1),
        ({"create_bucket": False, "bucket_name": "mine"}, 0),
    ],
)
def test_values_that_contradict_each_other_are_found(values: dict[str, object], count: int) -> None:
    assert len(contradictions(values)) == count


def test_every_default_but_the_projects_is_accepted() -> None:
    accepted = {name for name, variable in VARIABLES.items() if is_accepted(name, variable.default)}
    assert accepted == set(VARIABLES)
