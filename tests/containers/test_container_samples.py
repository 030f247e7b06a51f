"""Samples of Batch's documentation whose jobs need containers: volumes of all kinds, GPUs, logs to a path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import NFS_EXPORT
from container_jobs import ContainerJobs, bucket_of, container_jobs
from google.cloud import batch_v1

from covalent_parallel_plugin.emulator import Emulator

pytestmark = pytest.mark.containers

SHARE = "/mnt/disks/share"
WRITE = f"echo Hello world from task ${{BATCH_TASK_INDEX}}. >> {SHARE}/output_task_${{BATCH_TASK_INDEX}}.txt"


@pytest.fixture
def jobs(emulator: Emulator, image: str) -> Iterator[ContainerJobs]:
    with container_jobs(emulator, image) as made:
        yield made


def script(text: str, **fields: Any) -> dict[str, Any]:
    return {"script": {"text": text}, **fields}


def container(jobs: ContainerJobs, text: str, *volumes: str, **fields: Any) -> dict[str, Any]:
    made = {"imageUri": jobs.image, "entrypoint": "/bin/sh", "commands": ["-c", text], "volumes": list(volumes)}
    return {"container": {**made, **fields}}


def bucket(path: str, mount_path: str = SHARE, *options: str) -> dict[str, Any]:
    return {"gcs": {"remotePath": path}, "mountPath": mount_path, "mountOptions": list(options)}


def texts(emulator: Emulator, prefix: str) -> dict[str, str]:
    """The objects below a prefix by what is left of their names, with their texts."""
    data = bucket_of(emulator, "data")
    blobs = data.client.list_blobs(data, prefix=prefix)
    return {blob.name.removeprefix(prefix): blob.download_as_text() for blob in blobs}


def test_a_script_job_writes_to_a_bucket(jobs: ContainerJobs, emulator: Emulator) -> None:
    spec = {"volumes": [bucket("data/sample-script")]}
    assert jobs.run_json(script(WRITE), spec=spec, taskCount="2")[0] == "SUCCEEDED"
    assert texts(emulator, "sample-script/") == {
        f"output_task_{index}.txt": f"Hello world from task {index}.\n" for index in range(2)
    }


@pytest.mark.parametrize("volumes", [(), (f"{SHARE}:{SHARE}",), (f"{SHARE}:{SHARE}:rw",)])
def test_a_container_job_writes_to_a_bucket(jobs: ContainerJobs, emulator: Emulator, volumes: tuple[str, ...]) -> None:
    prefix = f"sample-container-{len(''.join(volumes))}/"
    spec = {"volumes": [bucket(f"data/{prefix}")]}
    assert jobs.run_json(container(jobs, WRITE, *volumes), spec=spec, taskCount="2")[0] == "SUCCEEDED"
    assert sorted(texts(emulator, prefix)) == ["output_task_0.txt", "output_task_1.txt"]


def test_container_and_script_write_to_an_nfs_share(jobs: ContainerJobs, nfs_folder: Path) -> None:
    server, _, path = NFS_EXPORT.partition(":")
    spec = {"volumes": [{"nfs": {"server": server, "remotePath": path}, "mountPath": SHARE}]}
    steps = [script(WRITE), container(jobs, WRITE)]
    assert jobs.run_json(*steps, spec=spec)[0] == "SUCCEEDED"
    assert (nfs_folder / "output_task_0.txt").read_text() == "Hello world from task 0.\n" * 2


def test_new_existing_and_local_disks_are_mounted(jobs: ContainerJobs) -> None:
    disks = [
        {"newDisk": {"sizeGb": 50, "type": "pd-balanced"}, "deviceName": "new-pd"},
        {"deviceName": "local-ssd-name", "newDisk": {"sizeGb": 375, "type": "local-ssd"}},
        {"existingDisk": "projects/science/zones/us-east1-b/disks/old-pd", "deviceName": "old-pd"},
    ]
    policy = {"instances": [{"policy": {"machineType": "n1-standard-4", "disks": disks}}]}
    names = {"new-pd": ["rw", "async"], "local-ssd-name": ["rw", "async"], "old-pd": ["rw"]}
    volumes = [
        {"deviceName": name, "mountPath": f"/mnt/disks/{name}", "mountOptions": options}
        for name, options in names.items()
    ]
    text = "for disk in new-pd local-ssd-name; do echo $BATCH_TASK_INDEX >> /mnt/disks/$disk/x; done; ls /mnt/disks"
    job = {"allocationPolicy": policy}
    old = "/mnt/disks/old-pd"
    steps = [
        script(f"{text}; touch {old}/script"),
        container(jobs, f"ls {old}; touch {old}/container || cat /mnt/disks/new-pd/x"),
        container(jobs, f"touch {old}/container && echo written", f"{old}:{old}:rw"),
    ]
    state, lines = jobs.run_json(*steps, job=job, spec={"volumes": volumes})
    assert state == "SUCCEEDED"
    assert set(names) <= set(lines) and [line for line in lines if "old-pd" not in line][-3:] == [
        "script",
        "0",
        "written",
    ]


def test_a_container_of_a_gpu_job_has_the_drivers_folders(jobs: ContainerJobs) -> None:
    accelerators = [{"type": "nvidia-tesla-t4", "count": "1"}]
    policy = {"instances": [{"installGpuDrivers": True, "policy": {"accelerators": accelerators}}]}
    volumes = ["/var/lib/nvidia/lib64:/usr/local/nvidia/lib64", "/var/lib/nvidia/bin:/usr/local/nvidia/bin"]
    step = container(jobs, "ls -d /usr/local/nvidia/*", *volumes, options="--privileged")
    folders = ["/usr/local/nvidia/bin", "/usr/local/nvidia/lib64"]
    assert jobs.run_json(step, job={"allocationPolicy": policy}) == ("SUCCEEDED", folders)


def test_a_container_with_options_and_variables_of_the_vm(jobs: ContainerJobs) -> None:
    step = container(jobs, "echo $GREETING $(pwd) $(id -u)", options="--workdir /tmp --user 1000 --env GREETING=hello")
    assert jobs.run_json(step) == ("SUCCEEDED", ["hello /tmp 1000"])


def events(jobs: ContainerJobs, job: batch_v1.Job) -> list[str]:
    """The history of a job's first task."""
    task = jobs.client.get_task(name=f"{job.name}/taskGroups/group0/tasks/0")
    return [event.description for event in task.status.status_events]


def to_path(path: str) -> dict[str, Any]:
    return {"logsPolicy": {"destination": "PATH", "logsPath": path}}


def test_logs_go_to_a_mounted_bucket(jobs: ContainerJobs, emulator: Emulator) -> None:
    spec = {"volumes": [bucket("data/sample-logs", "/mnt/disks/my-bucket", "--implicit-dirs")]}
    steps = [container(jobs, "echo from the container"), script("echo from the script >&2")]
    job = jobs.wait(jobs.create_json(*steps, spec=spec, job=to_path("/mnt/disks/my-bucket/logs/"), taskCount=2))
    assert job.status.state.name == "SUCCEEDED"
    found = texts(emulator, "sample-logs/logs/")
    parts = ("output", "stderr", "stdout")
    assert sorted(found) == [f"{part}-{job.uid}-group0-{index}.log" for part in parts for index in range(2)]
    assert (
        f"[task_id:task/{job.uid}-group0-1/0/0,runnable_index:1] from the script"
        in found[f"stderr-{job.uid}-group0-1.log"]
    )
    assert len(found[f"output-{job.uid}-group0-0.log"].splitlines()) == 2


def test_a_later_runnable_reads_the_logs_of_those_before_on_a_disk(jobs: ContainerJobs, emulator: Emulator) -> None:
    data = "/mnt/disks/data"
    volumes = [{"deviceName": "datadisk", "mountPath": data}, bucket("data/sample-tail", "/mnt/disks/out")]
    steps = [
        container(jobs, "echo first; echo second >&2", f"{data}:/mnt/data"),
        container(
            jobs, "cat /mnt/data/.logging/output-*.log > /mnt/out/log", f"{data}:/mnt/data", "/mnt/disks/out:/mnt/out"
        ),
    ]
    job = jobs.wait(jobs.create_json(*steps, spec={"volumes": volumes}, job=to_path(f"{data}/.logging/")))
    lines = texts(emulator, "sample-tail/")["log"].splitlines()
    assert job.status.state.name == "SUCCEEDED"
    assert sorted(line.split("] ")[-1] for line in lines) == ["first", "second"]


def test_logs_to_what_is_mounted_read_only_fail_the_task(jobs: ContainerJobs) -> None:
    spec = {"volumes": [bucket("data/sample-ro", "/mnt/disks/my-bucket", "-o ro")]}
    job = jobs.wait(jobs.create_json(script("exit 0"), spec=spec, job=to_path("/mnt/disks/my-bucket/")))
    why = "Logs cannot be written to /mnt/disks/my-bucket/: it is mounted read-only"
    assert (jobs.exit_codes(job), why in events(jobs, job)) == ([125], True)


def test_logs_that_no_bucket_takes_fail_the_task_and_its_history_says_so(jobs: ContainerJobs) -> None:
    spec = {"volumes": [bucket("no-such-bucket", "/mnt/disks/my-bucket")]}
    step = container(jobs, "echo ran", "packages:/mnt/packages")
    job = jobs.wait(jobs.create_json(step, spec=spec, job=to_path("/mnt/disks/my-bucket/")))
    assert (job.status.state.name, jobs.exit_codes(job)) == ("FAILED", [1])
    assert any("gcsfuse could not write gs://no-such-bucket/" in event for event in events(jobs, job))
