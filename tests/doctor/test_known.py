"""What exists in the emulator's project: read from a file, and what Batch makes of requests for anything else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport

from covalent_parallel_plugin.emulator import Emulator
from covalent_parallel_plugin.emulator.project.resources import (
    Accelerator,
    BucketFacts,
    Machine,
    Network,
    ProjectResources,
    ProjectResourcesError,
    ServiceAccount,
    Subnetwork,
)
from covalent_parallel_plugin.emulator.project.toml_file import read_project_file

ROOT = Path(__file__).parent.parent.parent
EMAIL = "runner@lab.iam.gserviceaccount.com"
SECONDS = 60


def create(
    emulator: Emulator, parent: str = "projects/lab/locations/us-east1", machine: str = "", email: str = ""
) -> batch_v1.Job:
    """Submit a job and give it as it is when it has ended."""
    policy = batch_v1.AllocationPolicy(
        instances=[{"policy": {"machine_type": machine}}], service_account={"email": email}
    )
    spec = batch_v1.TaskSpec(runnables=[batch_v1.Runnable(script={"text": "true"})])
    job = batch_v1.Job(task_groups=[batch_v1.TaskGroup(task_spec=spec)], allocation_policy=policy)
    with grpc.insecure_channel(emulator.environment["BATCH_EMULATOR_HOST"]) as channel:
        client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
        made = client.create_job(parent=parent, job=job)
        deadline = time.monotonic() + SECONDS
        while made.status.state.name not in ("SUCCEEDED", "FAILED"):
            assert time.monotonic() < deadline, made
            time.sleep(0.05)
            made = client.get_job(name=made.name)
        return made


def test_a_stand_in_that_was_told_nothing_takes_any_project_region_and_machine() -> None:
    with Emulator() as emulator:
        job = create(emulator, "projects/any/locations/mars-east1", "n9-standard-1", "nobody@nowhere.org")
    assert job.status.state.name == "SUCCEEDED"


def test_a_project_that_is_not_there_is_refused() -> None:
    with Emulator(known=ProjectResources(projects=["lab"])) as emulator:
        create(emulator)
        with pytest.raises(exceptions.PermissionDenied, match="Permission denied on resource project other"):
            create(emulator, "projects/other/locations/us-east1")


def test_a_region_that_is_not_there_is_refused_in_googles_words() -> None:
    with Emulator(known=ProjectResources(regions={"us-east1": ["us-east1-b"]})) as emulator:
        create(emulator)
        with pytest.raises(exceptions.PermissionDenied, match=re.escape("'locations/us-east9' (or it may not exist)")):
            create(emulator, "projects/lab/locations/us-east9")


def test_a_disabled_api_is_refused_with_googles_reason() -> None:
    with (
        Emulator(known=ProjectResources(disabled_apis=["batch.googleapis.com"])) as emulator,
        pytest.raises(exceptions.PermissionDenied, match="Batch API has not been used in project lab") as raised,
    ):
        create(emulator)
    assert raised.value.reason == "SERVICE_DISABLED"


@pytest.mark.parametrize("account", [None, ServiceAccount(disabled=True), ServiceAccount(may_act_as=False)])
def test_a_service_account_that_cannot_be_acted_as_is_refused(account: ServiceAccount | None) -> None:
    with Emulator(known=ProjectResources(service_accounts={} if account is None else {EMAIL: account})) as emulator:
        create(emulator)
        with pytest.raises(exceptions.PermissionDenied, match=f"act as the specified service account: {EMAIL}"):
            create(emulator, email=EMAIL)


def test_a_machine_type_that_is_not_there_fails_the_job_before_a_task_runs() -> None:
    with Emulator(known=ProjectResources(machine_types={"n2-standard-4": Machine(4, 16384)})) as emulator:
        assert create(emulator, machine="n2-standard-4").status.state.name == "SUCCEEDED"
        job = create(emulator, machine="n2-standard-5")
    assert job.status.state.name == "FAILED"
    assert any("CODE_MACHINE_TYPE_NOT_FOUND" in event.description for event in job.status.status_events)


def test_the_file_in_the_documentation_says_what_its_text_says(tmp_path: Path) -> None:
    section = (ROOT / "docs" / "reference" / "emulator.md").read_text().partition("## What exists in its project")[2]
    block = section.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "known.toml").write_text(block)
    assert read_project_file(tmp_path / "known.toml") == ProjectResources(
        projects=("lab",),
        disabled_apis=("secretmanager.googleapis.com",),
        regions={"us-east1": ("us-east1-b", "us-east1-c")},
        machine_types={"n2-standard-4": Machine(4, 16384, ("us-east1-b",))},
        accelerator_types={"nvidia-tesla-t4": Accelerator(4)},
        service_accounts={EMAIL: ServiceAccount()},
        secrets=("hub-token",),
        networks={"lab": Network({"lab-east": Subnetwork("us-east1", True)})},
        quotas={"us-east1": {"CPUS": 24.0}},
        buckets={"covalent": BucketFacts("us-east1", 7, denied=("storage.objects.delete",))},
        denied=("compute.machineTypes.get",),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("project = ['lab']", "project is not a known key: use one of projects, "),
        ("projects = 'lab'", "projects must be a list of texts, not 'lab'"),
        ("[machine_types.n2]\ncpus = 4", "machine_types.n2.memory_mb is missing"),
        ("[machine_types.n2]\ncpus = true\nmemory_mb = 1", "machine_types.n2.cpus must be a whole number, not True"),
        ("[quotas.us-east1]\nCPUS = 'many'", "quotas.us-east1.CPUS must be a number, not 'many'"),
        ("[regions\n", "is not TOML"),
    ],
)
def test_a_wrong_file_is_one_error_that_names_the_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "known.toml").write_text(text)
    with pytest.raises(ProjectResourcesError, match=re.escape(said)):
        read_project_file(tmp_path / "known.toml")


def test_the_command_says_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "known.toml").write_text("project = ['lab']")
    command = [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "emulator"]
    ended = subprocess.run(
        [*command, "--known", str(tmp_path / "known.toml")],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=dict(os.environ),
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"Error: --known {tmp_path / 'known.toml'}: project is not a known key")
