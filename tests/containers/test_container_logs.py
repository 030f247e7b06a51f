"""Jobs whose logs go to a path: on a disk, in a mounted export or bucket, where containers see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import NFS_EXPORT
from container_jobs import PARENT, ContainerJobs, bucket_of, container_jobs
from google.cloud import batch_v1

from covalent_parallel_plugin.emulator import Emulator

pytestmark = pytest.mark.containers


@pytest.fixture
def jobs(emulator: Emulator, image: str) -> Iterator[ContainerJobs]:
    with container_jobs(emulator, image) as made:
        yield made


def run(jobs: ContainerJobs, image: str, path: str, *shells: str, retries: int = 0, **spec: Any) -> batch_v1.Job:
    """Run a job of these shell commands to its end, with its logs at a path."""
    container = {"image_uri": image, "entrypoint": "sh"}
    runnables = [{"container": {**container, "commands": ["-c", shell]}, "always_run": True} for shell in shells]
    job = batch_v1.Job(
        task_groups=[{"task_spec": {"runnables": runnables, "max_retry_count": retries, **spec}}],
        logs_policy={"destination": "PATH", "logs_path": path},
    )
    return jobs.wait(jobs.client.create_job(parent=PARENT, job=job))


def texts(log: str) -> list[str]:
    """The lines of a log without what stands before each."""
    return [line.partition("] ")[2] for line in log.splitlines()]


def test_a_runnable_reads_what_those_before_it_wrote(jobs: ContainerJobs, image: str) -> None:
    volume = batch_v1.Volume(device_name="scratch", mount_path="/mnt/disks/scratch")
    shells = "echo first", 'sleep 1; grep -q "runnable_index:0] first$" /mnt/disks/scratch/logs/stdout-*.log'
    assert run(jobs, image, "/mnt/disks/scratch/logs/", *shells, volumes=[volume]).status.state.name == "SUCCEEDED"


def test_logs_on_the_vms_own_disk_are_a_folder_of_its_tasks(jobs: ContainerJobs, image: str) -> None:
    container = {"image_uri": image, "volumes": ["/var/own:/seen"]}
    runnable = {"container": {**container, "entrypoint": "sh", "commands": ["-c", "ls /seen/stdout-*-0.log"]}}
    job = batch_v1.Job(
        task_groups=[{"task_spec": {"runnables": [runnable]}}],
        logs_policy={"destination": "PATH", "logs_path": "/var/own"},
    )
    made = jobs.client.create_job(parent=PARENT, job=job)
    assert jobs.wait(made).status.state.name == "SUCCEEDED"


def test_logs_in_an_export_stay_there_with_those_of_all_attempts(
    jobs: ContainerJobs, image: str, nfs_folder: Path
) -> None:
    server, _, path = NFS_EXPORT.partition(":")
    volume = batch_v1.Volume(nfs={"server": server, "remote_path": path}, mount_path="/mnt/disks/share")
    shell = "echo attempt $BATCH_TASK_RETRY_ATTEMPT; echo aside >&2; exit 1"
    job = run(jobs, image, "/mnt/disks/share/logs", shell, retries=1, volumes=[volume])
    assert job.status.state.name == "FAILED"
    read = {name: (nfs_folder / "logs" / f"{name}-{job.uid}-group0-0.log").read_text() for name in ("stdout", "stderr")}
    assert (texts(read["stdout"]), texts(read["stderr"])) == (["attempt 0", "attempt 1"], ["aside", "aside"])


def test_logs_in_a_bucket_are_objects_once_the_job_has_ended(
    jobs: ContainerJobs, image: str, emulator: Emulator
) -> None:
    volume = batch_v1.Volume(gcs={"remote_path": "data/study"}, mount_path="/mnt/disks/bucket")
    bucket = bucket_of(emulator, "data")
    bucket.blob("study/kept").upload_from_string("kept")
    job = run(jobs, image, "/mnt/disks/bucket/logs/", "echo one", "echo two", volumes=[volume])
    assert job.status.state.name == "SUCCEEDED"
    stdout = bucket.blob(f"study/logs/stdout-{job.uid}-group0-0.log").download_as_text()
    assert texts(stdout) == ["one", "two"]
    assert bucket.blob("study/kept").exists()


def test_a_script_has_its_logs_there_too(jobs: ContainerJobs, emulator: Emulator) -> None:
    volume = batch_v1.Volume(gcs={"remote_path": "data/of-scripts"}, mount_path="/mnt/disks/bucket")
    job = batch_v1.Job(
        task_groups=[{"task_spec": {"runnables": [{"script": {"text": "echo one"}}], "volumes": [volume]}}],
        logs_policy={"destination": "PATH", "logs_path": "/mnt/disks/bucket"},
    )
    made = jobs.wait(jobs.client.create_job(parent=PARENT, job=job))
    stdout = bucket_of(emulator, "data").blob(f"of-scripts/stdout-{made.uid}-group0-0.log").download_as_text()
    assert (made.status.state.name, texts(stdout)) == ("SUCCEEDED", ["one"])


def test_a_link_that_leads_out_of_the_volume_fails_the_task(
    jobs: ContainerJobs, image: str, nfs_folder: Path, tmp_path: Path
) -> None:
    link = nfs_folder / "outside"
    link.symlink_to(tmp_path)
    server, _, path = NFS_EXPORT.partition(":")
    volume = batch_v1.Volume(nfs={"server": server, "remote_path": path}, mount_path="/mnt/disks/share")
    job = run(jobs, image, "/mnt/disks/share/outside", "true", volumes=[volume])
    link.unlink()
    assert (job.status.state.name, jobs.exit_codes(job)) == ("FAILED", [125])
    assert list(tmp_path.iterdir()) == []
