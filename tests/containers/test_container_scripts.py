"""Scripts where tasks are containers: they see their volumes, and the folders that their task's containers have."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import NFS_EXPORT
from container_jobs import ContainerJobs, bucket_of, container_jobs

from covalent_parallel_plugin.emulator import Emulator
from covalent_parallel_plugin.emulator.runtimes import vm_folders

pytestmark = pytest.mark.containers

BUCKET = {"gcs": {"remotePath": "data/scripts"}, "mountPath": "/mnt/disks/data"}
LOCAL_DISK = {"deviceName": "local-ssd-0", "mountPath": "/mnt/disks/scratch"}


@pytest.fixture
def jobs(emulator: Emulator, image: str, engine: str) -> Iterator[ContainerJobs]:
    with container_jobs(emulator, image) as made:
        made.engine = engine
        yield made


def script(text: str, **fields: Any) -> dict[str, Any]:
    return {"script": {"text": text}, **fields}


def container(jobs: ContainerJobs, text: str, *volumes: str, **fields: Any) -> dict[str, Any]:
    made = {"imageUri": jobs.image, "entrypoint": "sh", "commands": ["-c", text], "volumes": list(volumes)}
    return {"container": made, **fields}


def test_a_script_reads_and_writes_a_bucket_at_its_path(jobs: ContainerJobs, emulator: Emulator) -> None:
    bucket = bucket_of(emulator, "data")
    bucket.blob("scripts/in/x").upload_from_string("from the bucket\n")
    shell = "cd /mnt/disks/data; cat in/x; echo new > in/y; rm in/x; test -d /mnt/disks/data/in && echo seen"
    state, lines = jobs.run_json(script(shell), spec={"volumes": [BUCKET]})
    found = {blob.name: blob.download_as_text() for blob in bucket.client.list_blobs(bucket, prefix="scripts/")}
    assert (state, lines, found) == ("SUCCEEDED", ["from the bucket", "seen"], {"scripts/in/y": "new\n"})
    assert not Path("/mnt/disks/data").exists(), "this machine's own folders stay as they are"


def test_a_bucket_that_is_mounted_read_only_is_so_for_a_script(jobs: ContainerJobs) -> None:
    volume = {**BUCKET, "mountOptions": ["-o ro"]}
    state, lines = jobs.run_json(script("touch /mnt/disks/data/x || echo refused"), spec={"volumes": [volume]})
    assert state == "SUCCEEDED" and "refused" in lines


def test_a_script_and_a_container_share_a_disk(jobs: ContainerJobs) -> None:
    disk = "/mnt/disks/scratch"
    steps = [
        script(f"echo script > {disk}/a"),
        container(jobs, f"cat {disk}/a; echo container > {disk}/b", f"{disk}:{disk}:rw"),
        script(f"cat {disk}/b"),
    ]
    assert jobs.run_json(*steps, spec={"volumes": [LOCAL_DISK]}) == ("SUCCEEDED", ["script", "container"])


def test_an_export_is_its_folder_for_a_script(jobs: ContainerJobs, nfs_folder: Path) -> None:
    server, _, path = NFS_EXPORT.partition(":")
    volume = {"nfs": {"server": server, "remotePath": path}, "mountPath": "/mnt/disks/share"}
    state, lines = jobs.run_json(script("echo back > /mnt/disks/share/script"), spec={"volumes": [volume]})
    assert (state, lines, (nfs_folder / "script").read_text()) == ("SUCCEEDED", [], "back\n")


@pytest.mark.parametrize("folder", ["/tmp/workdir-of-a-test", "/workdir-of-a-test", "/var/lib/of-a-test/deep", "/tmp"])
def test_what_a_script_leaves_on_its_vm_is_there_for_a_container(jobs: ContainerJobs, folder: str) -> None:
    steps = [
        script(f"mkdir -p {folder}; printf '#!/bin/sh\\necho run' > {folder}/run; chmod +x {folder}/run"),
        script(f"test -x {folder}/run && echo still; python3 -c 'print(1)'; test -d /proc/self && test -e /dev/null"),
        container(jobs, f"{folder}/run; id -u > {folder}/out", f"{folder}:{folder}"),
        script(f"cat {folder}/out"),
    ]
    assert jobs.run_json(*steps) == ("SUCCEEDED", ["still", "1", "run", "0"])
    assert folder == "/tmp" or not Path(folder).exists()


def test_a_file_that_a_script_makes_is_a_volume_of_its_own(jobs: ContainerJobs) -> None:
    file = "/tmp/workdir-of-a-test/deep/settings"
    steps = [
        script(f"mkdir -p {Path(file).parent}; echo settings > {file}"),
        container(jobs, "cat /etc/settings; echo changed > /etc/settings", f"{file}:/etc/settings:rw"),
        script(f"cat {file}"),
    ]
    assert jobs.run_json(*steps) == ("SUCCEEDED", ["settings", "changed"])


def test_a_file_of_the_system_is_this_machines_and_read_only(jobs: ContainerJobs) -> None:
    text = "cmp /x /etc/passwd || wc -l < /x; echo >> /x || echo refused"
    state, lines = jobs.run_json(container(jobs, text, "/etc/passwd:/x"))
    assert state == "SUCCEEDED" and str(len(Path("/etc/passwd").read_text().splitlines())) in lines
    assert "refused" in lines


def test_a_service_of_the_vm_is_refused_in_words(jobs: ContainerJobs) -> None:
    state, lines = jobs.run_json(container(jobs, "true", "/dev/null:/x"))
    assert (state, lines) == ("FAILED", ["/dev/null cannot be mounted: the VMs of this emulator have no services"])


def test_the_next_job_finds_nothing_of_it(jobs: ContainerJobs) -> None:
    look = container(jobs, "ls /tmp/workdir-of-a-test | wc -l", "/tmp/workdir-of-a-test:/tmp/workdir-of-a-test")
    for _ in range(2):
        assert jobs.run_json(look, script("touch /tmp/workdir-of-a-test/x")) == ("SUCCEEDED", ["0"])


def test_other_files_of_this_machine_are_there_as_ever(jobs: ContainerJobs, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("here\n")
    shell = f"cat {tmp_path}/here; echo there > {tmp_path}/there; pwd | wc -l; ls -d /usr/bin /etc/passwd"
    state, lines = jobs.run_json(script(shell), spec={"volumes": [LOCAL_DISK]})
    assert (state, lines) == ("SUCCEEDED", ["here", "1", "/etc/passwd", "/usr/bin"])
    assert (tmp_path / "there").read_text() == "there\n"


def test_folders_of_the_system_stay_this_machines(jobs: ContainerJobs) -> None:
    steps = [
        script("test -s /etc/passwd && echo yes"),
        container(jobs, "true", "/etc:/host-etc:ro", "/usr:/host-usr:ro"),
    ]
    assert jobs.run_json(*steps) == ("SUCCEEDED", ["yes"])


def test_a_script_of_the_bucket_is_run_from_its_path(jobs: ContainerJobs, emulator: Emulator) -> None:
    bucket_of(emulator, "data").blob("scripts/run.sh").upload_from_string("#!/bin/sh\necho $GREETING\n")
    volume = {**BUCKET, "mountOptions": ["--file-mode=755"]}
    step = {
        "script": {"path": "/mnt/disks/data/run.sh"},
        "environment": {"variables": {"GREETING": "hello"}},
    }
    assert jobs.run_json(step, spec={"volumes": [volume]}) == ("SUCCEEDED", ["hello"])


def test_a_bucket_that_is_not_there_fails_the_script_and_says_so(jobs: ContainerJobs) -> None:
    volume = {"gcs": {"remotePath": "no-such-bucket"}, "mountPath": "/mnt/disks/data"}
    state, lines = jobs.run_json(script("echo ran"), spec={"volumes": [volume]})
    assert state == "FAILED" and "gs://no-such-bucket/" in lines[0] and "ran" not in lines


def test_a_script_with_volumes_ends_as_others_do(jobs: ContainerJobs) -> None:
    spec = {"volumes": [LOCAL_DISK]}
    failed = jobs.wait(jobs.create_json(script("exit 7"), spec=spec))
    assert jobs.exit_codes(failed) == [7]
    killed = jobs.wait(jobs.create_json(script("kill -9 $$"), spec=spec))
    assert jobs.exit_codes(killed) == [137]
    late = jobs.wait(jobs.create_json(script("sleep 600", timeout="1s"), spec=spec))
    assert jobs.exit_codes(late) == [50005]


def test_a_cancelled_script_with_volumes_is_told_and_what_it_wrote_is_in_the_bucket(
    jobs: ContainerJobs, emulator: Emulator
) -> None:
    shell = "trap 'echo told > /mnt/disks/data/told; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    job = jobs.create_json(script(shell), spec={"volumes": [BUCKET]})
    jobs.wait_for_line(job, "up")
    jobs.client.cancel_job(name=job.name)
    assert jobs.wait(job).status.state.name == "CANCELLED"
    assert bucket_of(emulator, "data").blob("scripts/told").download_as_text() == "told\n"


def test_a_container_in_the_background_and_a_script_work_in_one_bucket(jobs: ContainerJobs, emulator: Emulator) -> None:
    data = "/mnt/disks/data"
    server = container(
        jobs, f"until [ -e {data}/asked ]; do sleep 0.1; done; echo yes > {data}/answer; sleep 600", background=True
    )
    client = script(f"touch {data}/asked; until [ -s {data}/answer ]; do sleep 0.1; done; cat {data}/answer")
    assert jobs.run_json(server, client, spec={"volumes": [BUCKET]}) == ("SUCCEEDED", ["yes"])
    bucket = bucket_of(emulator, "data")
    assert {"scripts/asked", "scripts/answer"} <= {blob.name for blob in bucket.client.list_blobs(bucket)}


def test_a_setup_script_a_barrier_and_a_container(jobs: ContainerJobs) -> None:
    work = "/tmp/workdir-of-a-test"
    steps = [
        script(f"mkdir -p {work}; echo 'echo task $BATCH_TASK_INDEX' > {work}/entrypoint-$BATCH_TASK_INDEX.sh"),
        {"barrier": {"name": "wait-for-setup"}},
        container(jobs, f". {work}/entrypoint-$((1 - BATCH_TASK_INDEX)).sh", f"{work}:{work}"),
    ]
    state, lines = jobs.run_json(*steps, taskCount=2)
    assert (state, sorted(lines)) == ("SUCCEEDED", ["task 0", "task 1"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_whoever_is_not_root_sees_folders_too_where_there_are_user_namespaces() -> None:
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*as_nobody, "unshare", "--user", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no user namespaces")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        Path(folder, "x").write_text("read\n")
        asked = {"disk": f"{folder}/disk", "folders": [[folder, "/mnt/disks/of-a-test", True]]}
        asked |= {"paths": [], "own": []}
        shell = "cat /mnt/disks/of-a-test/x; touch /mnt/disks/of-a-test/y || echo refused"
        program = [shutil.which("python3", path=os.defpath), "-I", "-S", vm_folders.__file__, json.dumps(asked)]
        ended = subprocess.run([*as_nobody, *program, "/bin/sh", "-c", shell], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "read\nrefused\n"), ended.stderr


def test_who_may_not_mount_is_told_so(tmp_path: Path) -> None:
    # a path above which a file is cannot be there for anybody
    (tmp_path / "file").touch()
    asked = {"disk": f"{tmp_path}/disk", "folders": [[str(tmp_path), f"{tmp_path}/file/below", False]]}
    asked |= {"paths": [], "own": []}
    words = [sys.executable, "-I", "-S", vm_folders.__file__, json.dumps(asked), "/bin/true"]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ended.returncode == 125
    assert "cannot be mounted for this script" in ended.stderr and "container image" in ended.stderr
