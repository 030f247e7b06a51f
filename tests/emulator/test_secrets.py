"""Secrets of the emulator: which value a name gives, and what a task gets."""

from __future__ import annotations

import pytest
from batch_jobs import BatchJobs, batch_jobs, output
from google.cloud import batch_v1

from covalent_parallel_plugin.emulator import Emulator
from covalent_parallel_plugin.emulator.project.resources import ProjectResources
from covalent_parallel_plugin.emulator.project.secrets import SecretDenied, Secrets, project_number

NAME = "projects/p/secrets/s/versions/"


def test_the_latest_version_is_the_one_with_the_highest_number() -> None:
    secrets = Secrets({f"{NAME}2": "two", f"{NAME}10": "ten", f"{NAME}9": "nine"})
    assert (secrets.value(f"{NAME}latest"), secrets.value(f"{NAME}2")) == ("ten", "two")


def test_a_projects_number_means_the_same_as_its_id() -> None:
    secrets = Secrets({f"{NAME}1": "value"})
    assert secrets.value(f"projects/{project_number('p')}/secrets/s/versions/1") == "value"


@pytest.mark.parametrize(
    "name", [f"{NAME}2", "projects/q/secrets/s/versions/1", "projects/p/secrets/t/versions/latest"]
)
def test_what_is_not_there_is_denied_by_name(name: str) -> None:
    with pytest.raises(SecretDenied, match=rf"denied for resource '{name}'"):
        Secrets({f"{NAME}1": "value"}).value(name)


def test_a_name_of_another_form_is_refused_without_its_value() -> None:
    with pytest.raises(ValueError, match="is not projects/PROJECT") as caught:
        Secrets({"token": "s3cret"})
    assert "s3cret" not in str(caught.value)


def script(text: str, **environment: object) -> batch_v1.Runnable:
    return batch_v1.Runnable(script={"text": text}, environment=environment)


def run(jobs: BatchJobs, runnable: batch_v1.Runnable, **spec: object) -> batch_v1.Job:
    task_spec = batch_v1.TaskSpec(runnables=[runnable], **spec)
    job = batch_v1.Job(
        task_groups=[batch_v1.TaskGroup(task_spec=task_spec)], logs_policy={"destination": "CLOUD_LOGGING"}
    )
    made = jobs.client.create_job(parent="projects/science/locations/us-east1", job=job)
    return jobs.wait(made)


def test_a_runnables_secret_wins_over_its_tasks() -> None:
    secrets = {f"{NAME}1": "one", f"{NAME}2": "two"}
    task = {"secret_variables": {"A": f"{NAME}1", "B": f"{NAME}1"}}
    with Emulator(secrets=secrets) as emulator, batch_jobs(emulator) as jobs:
        job = run(jobs, script("echo $A $B", secret_variables={"B": f"{NAME}latest"}), environment=task)
        assert output(emulator, job) == ["one two"]


def test_a_task_without_its_secret_fails_before_it_runs_and_its_log_says_why() -> None:
    with Emulator() as emulator, batch_jobs(emulator) as jobs:
        job = run(jobs, script("echo ran", secret_variables={"A": f"{NAME}1"}))
        assert jobs.exit_codes(job) == [125]
        (line,) = output(emulator, job)
        assert "secretmanager.versions.access" in line and f"{NAME}1" in line


def test_a_secret_of_which_only_the_name_is_known_has_a_made_up_value_in_a_task() -> None:
    named, given = "projects/science/secrets/named/versions/latest", f"{NAME}1"
    with (
        Emulator(known=ProjectResources(secrets=["named", "s"]), secrets={given: "value"}) as emulator,
        batch_jobs(emulator) as jobs,
    ):
        job = run(jobs, script("echo $A $B", secret_variables={"A": named, "B": given}))
        assert output(emulator, job) == ["stand-in-value-of-named value"]


def test_a_version_that_a_named_secret_does_not_have_is_denied() -> None:
    secrets = Secrets({f"{NAME}3": "three"}, named=["s", "named"])
    assert secrets.value("projects/any/secrets/named/versions/1") == "stand-in-value-of-named"
    for version in ("projects/any/secrets/named/versions/2", f"{NAME}1", "projects/any/secrets/other/versions/1"):
        with pytest.raises(SecretDenied):
            secrets.value(version)


def test_the_versions_that_exist_are_those_that_tasks_can_have() -> None:
    known = ProjectResources(secrets=["named"]).with_secrets([f"{NAME}3", f"{NAME}12"])
    versions = [("s", "latest"), ("s", "3"), ("s", "1"), ("named", "latest"), ("named", "2"), ("other", "1")]
    assert [known.secret_version(*version) for version in versions] == ["12", "3", None, "1", None, None]
    assert ProjectResources().secret_version("any", "7") == "7"


def test_a_task_with_volumes_fails_as_a_process_and_is_told_what_it_needs() -> None:
    volume = batch_v1.Volume(gcs={"remote_path": "covalent"}, mount_path="/mnt/disks/data")
    container = batch_v1.Runnable(container={"image_uri": "python:3-slim", "commands": ["-c", "1"]})
    with Emulator() as emulator, batch_jobs(emulator) as jobs:
        job = run(jobs, container, volumes=[volume])
        assert jobs.exit_codes(job) == [125]
        (line,) = output(emulator, job)
        assert "/mnt/disks/data cannot be mounted" in line and "--runtime podman" in line


def test_a_volume_with_a_name_does_not_keep_a_process_from_running() -> None:
    container = {
        "image_uri": "python:3-slim",
        "entrypoint": "python3",
        "commands": ["-c", "print(1)"],
        "volumes": ["packages:/mnt/packages"],
    }
    with Emulator() as emulator, batch_jobs(emulator) as jobs:
        assert output(emulator, run(jobs, batch_v1.Runnable(container=container))) == ["1"]
