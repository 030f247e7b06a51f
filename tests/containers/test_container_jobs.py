"""What jobs get where tasks are containers: limits, volumes, secrets, and nothing left when they end."""

from __future__ import annotations

import base64
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from conftest import NFS_EXPORT, SECRET
from container_jobs import ContainerJobs, bucket_of, container_jobs, containers_of, volumes_of, waited
from google.cloud import batch_v1

from covalent_parallel_plugin.containers.cleanup import FOLDER_PREFIX
from covalent_parallel_plugin.containers.engine import ContainerEngine
from covalent_parallel_plugin.emulator import ContainerRuntime, Emulator
from covalent_parallel_plugin.emulator.runtimes.vm_share import VmShare

pytestmark = pytest.mark.containers


@pytest.fixture
def jobs(emulator: Emulator, image: str, engine: str) -> Iterator[ContainerJobs]:
    with container_jobs(emulator, image) as made:
        made.engine = engine
        yield made


def gcs(remote_path: str, *options: str) -> batch_v1.Volume:
    return batch_v1.Volume(gcs={"remote_path": remote_path}, mount_path="/mnt/disks/data", mount_options=options)


def test_memory_past_the_limit_ends_the_container_with_137(jobs: ContainerJobs) -> None:
    code = "x = bytearray(300 << 20); x[::4096] = b'x' * len(x[::4096])"
    spec = {"compute_resource": {"memory_mib": 100}}
    job = jobs.wait(jobs.create(entrypoint="python3", commands=["-c", code], spec=spec))
    assert (job.status.state.name, jobs.exit_codes(job)) == ("FAILED", [137])
    assert not Path("oom").exists()


def test_the_cpu_limit_is_in_the_containers_cgroup(jobs: ContainerJobs) -> None:
    shell = (
        "cat /sys/fs/cgroup/cpu.max 2>/dev/null || echo $(cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us) "
        "$(cat /sys/fs/cgroup/cpu/cpu.cfs_period_us)"
    )
    state, lines = jobs.run(shell, spec={"compute_resource": {"cpu_milli": 250}})
    quota, period = map(int, lines[-1].split())
    assert (state, quota / period) == ("SUCCEEDED", 0.25)


def test_an_image_that_is_not_there_is_exit_code_125_and_the_cause_is_in_the_log(jobs: ContainerJobs) -> None:
    job = jobs.wait(jobs.create(image_uri="localhost:9/no/such:image"))
    assert (job.status.state.name, jobs.exit_codes(job)) == ("FAILED", [125])
    assert "localhost:9/no/such:image" in "\n".join(jobs.output(job))


def test_a_bucket_is_read_only_in_a_container_that_mounts_it_so(jobs: ContainerJobs, emulator: Emulator) -> None:
    bucket_of(emulator, "data").blob("read/deep/x.txt").upload_from_string("from the bucket\n")
    state, lines = jobs.run(
        "cat /mnt/disks/data/deep/x.txt; touch /mnt/disks/data/new || echo refused",
        volumes=["/mnt/disks/data:/mnt/disks/data:ro"],
        spec={"volumes": [gcs("data/read", "--implicit-dirs", "-o ro")]},
    )
    assert state == "SUCCEEDED" and {"from the bucket", "refused"} <= set(lines)


def test_what_a_container_writes_changes_and_deletes_is_so_in_the_bucket(
    jobs: ContainerJobs, emulator: Emulator
) -> None:
    bucket = bucket_of(emulator, "data")
    for name in ("changed", "deleted", "kept"):
        bucket.blob(f"write/{name}").upload_from_string("before")
    kept = bucket.get_blob("write/kept").generation
    shell = (
        "cd /mnt/disks/data; mkdir -p a/b; printf new > a/b/new; printf after > changed; rm deleted; ln -s /etc link"
    )
    state, lines = jobs.run(
        shell,
        options="--user 1000:1000",
        volumes=["/mnt/disks/data:/mnt/disks/data:rw"],
        spec={"volumes": [gcs("data/write", "--file-mode=666 --dir-mode=777")]},
    )
    found = {blob.name: blob.download_as_text() for blob in bucket.client.list_blobs(bucket, prefix="write/")}
    assert (state, lines) == ("SUCCEEDED", [])
    assert found == {"write/a/b/new": "new", "write/changed": "after", "write/kept": "before"}
    assert bucket.get_blob("write/kept").generation == kept


def test_a_job_without_container_volumes_gets_all_that_is_mounted(jobs: ContainerJobs, emulator: Emulator) -> None:
    bucket_of(emulator, "data").blob("all/x").upload_from_string("x")
    assert jobs.run("ls /mnt/disks/data", spec={"volumes": [gcs("data/all")]}) == ("SUCCEEDED", ["x"])


def test_an_export_is_the_folder_that_stands_for_it(jobs: ContainerJobs, nfs_folder: Path) -> None:
    (nfs_folder / "in").write_text("shared\n")
    server, _, path = NFS_EXPORT.partition(":")
    volume = batch_v1.Volume(nfs={"server": server, "remote_path": path}, mount_path="/mnt/disks/share")
    state, lines = jobs.run("cat /mnt/disks/share/in; echo back > /mnt/disks/share/out", spec={"volumes": [volume]})
    assert (state, lines, (nfs_folder / "out").read_text()) == ("SUCCEEDED", ["shared"], "back\n")


def test_an_export_that_nobody_named_fails_the_task_and_says_how_to_name_it(jobs: ContainerJobs) -> None:
    volume = batch_v1.Volume(nfs={"server": "other", "remote_path": "/x"}, mount_path="/mnt/disks/share")
    state, lines = jobs.run("true", spec={"volumes": [volume]})
    assert state == "FAILED" and "--nfs other:/x=FOLDER" in lines[0]


def test_a_link_in_a_volume_lets_no_container_have_another_folder_of_this_machine(
    jobs: ContainerJobs, nfs_folder: Path, tmp_path: Path
) -> None:
    link = nfs_folder / "link"
    link.symlink_to(tmp_path)
    server, _, path = NFS_EXPORT.partition(":")
    volume = batch_v1.Volume(nfs={"server": server, "remote_path": path}, mount_path="/mnt/disks/share")
    state, lines = jobs.run("touch /x/touched", volumes=["/mnt/disks/share/link:/x:rw"], spec={"volumes": [volume]})
    link.unlink()
    assert state == "FAILED"
    assert "leads out of the volume" in lines[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_local_disk_is_an_empty_folder_that_the_jobs_tasks_share(jobs: ContainerJobs) -> None:
    volume = batch_v1.Volume(device_name="local-ssd", mount_path="/mnt/disks/local-ssd")
    shell = (
        "cd /mnt/disks/local-ssd; ls | wc -l; touch $BATCH_TASK_INDEX; until [ -e 0 ] && [ -e 1 ]; do sleep 0.1; done"
    )
    volumes = ["/mnt/disks/local-ssd:/mnt/disks/local-ssd:rw"]
    state, lines = jobs.run(shell, tasks=2, volumes=volumes, options="--user 1000", spec={"volumes": [volume]})
    assert state == "SUCCEEDED" and "0" in lines


def test_a_volume_with_a_name_is_shared_by_a_jobs_tasks_and_goes_with_it(
    jobs: ContainerJobs, runtime: ContainerRuntime
) -> None:
    shell = "cd /mnt/packages; touch $BATCH_TASK_INDEX; until [ -e 0 ] && [ -e 1 ]; do sleep 0.1; done"
    assert jobs.run(shell, tasks=2, volumes=["packages:/mnt/packages"])[0] == "SUCCEEDED"
    waited(lambda: volumes_of(runtime), lambda names: not names)
    assert jobs.run("ls /mnt/packages | wc -l", volumes=["packages:/mnt/packages"]) == ("SUCCEEDED", ["0"])


def test_tasks_that_start_at_a_time_share_several_volumes(jobs: ContainerJobs) -> None:
    volumes = [f"{name}:/mnt/{name}" for name in ("one", "two", "three")]
    for _ in range(2):
        # Two podmans that lock the volumes in another order would wait for each other.
        assert jobs.run("touch /mnt/three/x", tasks=6, volumes=volumes)[0] == "SUCCEEDED"


def test_a_secret_is_a_variable_and_no_process_shows_its_value(jobs: ContainerJobs) -> None:
    spec = {"environment": {"secret_variables": {"TOKEN": SECRET}}}
    job = jobs.create("echo $TOKEN; sleep 600", spec=spec)
    jobs.wait_for_line(job, "s3cret #1")
    commands = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    jobs.client.delete_job(name=job.name)
    assert "covalent-parallel-emulator" in commands and "s3cret" not in commands


def test_a_machines_volume_is_there_before_a_container_asks_for_it(engine: str, tmp_path: Path) -> None:
    # else podman refuses those of several containers that did not come first
    own = ContainerEngine(engine)
    share = VmShare(own, tmp_path, f"covalent-parallel-test-{uuid.uuid4().hex[:12]}")
    with ThreadPoolExecutor(4) as threads:
        (name,) = set(threads.map(share.volume, ["shared"] * 4))
    try:
        assert own.call("volume", "inspect", name).returncode == 0
    finally:
        removed = own.call("volume", "rm", name)
    assert removed.returncode == 0, removed.stderr


def test_a_secret_that_is_not_there_fails_the_task_before_it_runs(jobs: ContainerJobs) -> None:
    secret = "projects/local/secrets/other/versions/1"
    state, lines = jobs.run("echo ran", spec={"environment": {"secret_variables": {"TOKEN": secret}}})
    assert state == "FAILED" and len(lines) == 1
    assert f"Permission 'secretmanager.versions.access' denied for resource '{secret}'" in lines[0]


class Registry(BaseHTTPRequestHandler):
    """A registry without images, which wants to know who asks."""

    asked_by: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Refuse a caller without credentials, and have nothing for the others."""
        who = self.headers.get("Authorization", "")
        if who:
            self.asked_by.append(who)
        self.send_response(404 if who else 401)
        self.send_header("WWW-Authenticate", 'Basic realm="private"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_registry_is_asked_with_the_jobs_user_and_a_password_from_a_secret(jobs: ContainerJobs) -> None:
    with HTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        image = f"127.0.0.1:{server.server_port}/private/image:1"
        options = "--tls-verify=false" if jobs.engine == "podman" else ""  # docker takes loopback as it is
        job = jobs.wait(jobs.create(image_uri=image, username="user", password=SECRET, options=options))
        server.shutdown()
    assert jobs.exit_codes(job) == [125]
    assert base64.b64decode(Registry.asked_by[0].removeprefix("Basic ")) == b"user:s3cret #1"


def test_a_variable_keeps_its_value_whatever_is_in_it(jobs: ContainerJobs) -> None:
    values = {"LINES_": "one\ntwo", "QUOTED": " '\"$HOME #", "LONG": "x" * 100_000, "EMPTY": ""}
    code = "import os, json; e = os.environ; print(json.dumps([e['LINES_'], e['QUOTED'], e['EMPTY']]), len(e['LONG']))"
    state, lines = jobs.run(entrypoint="python3", commands=["-c", code], spec={"environment": {"variables": values}})
    assert (state, lines) == ("SUCCEEDED", ['["one\\ntwo", " \'\\"$HOME #", ""] 100000'])


def test_nothing_else_of_the_outer_environment_reaches_a_container(
    jobs: ContainerJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTER_VARIABLE", "1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    _, lines = jobs.run("env")
    names = {line.partition("=")[0] for line in lines}
    assert "OUTER_VARIABLE" not in names and {"HTTPS_PROXY", "NO_PROXY", "STORAGE_EMULATOR_HOST"} <= names


def test_the_hosts_file_is_where_batch_has_it_and_for_every_user(jobs: ContainerJobs) -> None:
    shell = 'echo "$BATCH_HOSTS_FILE"; cat "$BATCH_HOSTS_FILE"'
    told = jobs.run(shell, group={"require_hosts_file": True}, options="--user 4711")
    assert told == ("SUCCEEDED", ["/etc/cloudbatch-taskgroup-hosts", "127.0.0.1"])


def test_pip_finds_its_index_in_a_container(jobs: ContainerJobs) -> None:
    state, lines = jobs.run("python3 -m pip download --no-deps --no-binary=:none: -d /tmp/x six")
    assert (state, any("six" in line for line in lines)) == ("SUCCEEDED", True), lines


def test_a_long_output_arrives_whole(jobs: ContainerJobs) -> None:
    state, lines = jobs.run("seq 100000")
    assert state == "SUCCEEDED" and lines == [str(number) for number in range(1, 100_001)]


def test_a_cancelled_jobs_container_gets_sigterm_and_is_gone(jobs: ContainerJobs, runtime: ContainerRuntime) -> None:
    job = jobs.create("trap 'echo told; exit 3' TERM; echo up; while :; do sleep 0.1; done")
    jobs.wait_for_line(job, "up")
    jobs.client.cancel_job(name=job.name)
    assert jobs.wait(job).status.state.name == "CANCELLED"
    assert jobs.output(job) == ["up", "told"]
    assert containers_of(runtime) == []


def test_a_container_that_ignores_sigterm_is_killed(jobs: ContainerJobs, runtime: ContainerRuntime) -> None:
    job = jobs.create("trap '' TERM; echo up; while :; do sleep 0.1; done")
    jobs.wait_for_line(job, "up")
    jobs.client.cancel_job(name=job.name)
    assert jobs.wait(job).status.state.name == "CANCELLED"
    assert containers_of(runtime) == []


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_a_job_cancelled_while_its_container_is_made_leaves_none(
    jobs: ContainerJobs, runtime: ContainerRuntime, emulator: Emulator, seconds: float
) -> None:
    before = emulator.counts["attempts"]
    job = jobs.create("sleep 600")
    waited(lambda: emulator.counts["attempts"], lambda count: count > before)
    time.sleep(seconds)
    jobs.client.cancel_job(name=job.name)
    assert jobs.wait(job).status.state.name == "CANCELLED"
    assert containers_of(runtime) == []


def test_time_is_up_for_a_container_too(jobs: ContainerJobs) -> None:
    job = jobs.wait(jobs.create("sleep 600", spec={"max_run_duration": "1s"}))
    assert (job.status.state.name, jobs.exit_codes(job)) == ("FAILED", [50005])


def test_a_stopped_emulator_leaves_no_container_volume_or_folder(engine: str, image: str) -> None:
    runtime = ContainerRuntime(engine)
    with Emulator(runtime=runtime) as emulator, container_jobs(emulator, image) as jobs:
        job = jobs.create("trap '' TERM; echo up; sleep 600", volumes=["packages:/mnt/packages"])
        jobs.wait_for_line(job, "up")
        assert all(what_there_is(runtime))
    assert not any(what_there_is(runtime))


def what_there_is(runtime: ContainerRuntime) -> tuple[list[str], list[str], list[Path]]:
    folders = Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}{runtime.owner}*")
    return containers_of(runtime), volumes_of(runtime), list(folders)
