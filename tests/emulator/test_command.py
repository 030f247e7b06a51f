"""The command `covalent-parallel emulator`, run as its users run it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
import warm_python
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport
from process_table import living_members

COMMAND = [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()"]
SECONDS = 60
FREE_PORTS = ("--storage-port=0", "--batch-port=0", "--logging-port=0")


class Foreground:
    """The command, running; `lines` is what it printed up to "ready"."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "emulator", *FREE_PORTS, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        while not self.lines or self.lines[-1] != "ready":
            line = self.process.stdout.readline()
            assert line, self.process.communicate(timeout=SECONDS)[1]
            self.lines.append(line.rstrip("\n"))

    def variables(self) -> dict[str, str]:
        exported = (line.removeprefix("export ") for line in self.lines if line.startswith("export "))
        return dict(line.split("=", 1) for line in exported)

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, output, errors


Start = Callable[..., Foreground]


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Start:
    def begin(*options: str) -> Foreground:
        running = Foreground(*options)

        def stop() -> None:
            if running.process.poll() is None:
                running.end(signal.SIGTERM)

        request.addfinalizer(stop)
        return running

    return begin


def test_it_prints_the_variables_and_a_section_and_then_ready(start: Start) -> None:
    running = start("--bucket", "results")
    assert set(running.variables()) == {"STORAGE_EMULATOR_HOST", "BATCH_EMULATOR_HOST", "LOGGING_EMULATOR_HOST"}
    assert running.variables()["STORAGE_EMULATOR_HOST"].startswith("http://127.0.0.1:")
    section = running.lines[running.lines.index("[executors.gcpbatch]") : -1]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert 'bucket_name = "results"' in section
    assert f'container_image_uri = "mirror.gcr.io/library/python:{version}-slim"' in section
    assert "poll_freq = 1" in section


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_its_tasks_and_the_counts_are_printed(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    running = start()
    pid_file = tmp_path / "pid"
    runnable = batch_v1.Runnable(script=batch_v1.Runnable.Script(text=f"echo $$ > {pid_file}; sleep 600"))
    group = batch_v1.TaskGroup(task_spec=batch_v1.TaskSpec(runnables=[runnable]))
    with grpc.insecure_channel(running.variables()["BATCH_EMULATOR_HOST"]) as channel:
        client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
        client.create_job(parent="projects/p/locations/us-east1", job=batch_v1.Job(task_groups=[group]))
        deadline = time.monotonic() + SECONDS
        while not pid_file.exists() or not pid_file.read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    status, output, errors = running.end(number)
    assert (status, errors) == (0, "")
    assert "SUCCEEDED" not in output and "FAILED" not in output, "a job that ends with the emulator is not told"
    assert "tasks: attempts 1" in output and "Batch calls: CreateJob 1" in output
    assert living_members(int(pid_file.read_text())) == []


def run_jobs(running: Foreground, count: int, text: str = "exit 0") -> None:
    """Have jobs of this script run, one task each, to their ends."""
    runnable = batch_v1.Runnable(script=batch_v1.Runnable.Script(text=text))
    group = batch_v1.TaskGroup(task_spec=batch_v1.TaskSpec(runnables=[runnable]))
    with grpc.insecure_channel(running.variables()["BATCH_EMULATOR_HOST"]) as channel:
        client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
        parent = "projects/p/locations/us-east1"
        for number in range(count):
            client.create_job(parent=parent, job=batch_v1.Job(task_groups=[group]), job_id=f"job-{number}")
        deadline = time.monotonic() + SECONDS
        while list(client.list_jobs(request={"parent": parent, "filter": 'status.state!="SUCCEEDED"'})):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_each_job_that_ends_is_a_line_while_it_runs(start: Start) -> None:
    running = start("--runtime", "process")
    run_jobs(running, 1)
    assert running.process.stdout is not None
    line = running.process.stdout.readline()
    assert re.fullmatch(r"\d\d:\d\d:\d\d SUCCEEDED job-0  [\d.]+ s, 1 task, 1 attempt\n", line)


def test_quiet_leaves_these_lines_out(start: Start) -> None:
    running = start("--runtime", "process", "--quiet")
    run_jobs(running, 1)
    assert "job-0" not in running.end(signal.SIGTERM)[1]


def test_the_counters_can_be_read_while_it_runs_at_the_address_it_prints(start: Start) -> None:
    running = start("--runtime", "process", "--quiet")
    run_jobs(running, 1)
    (told,) = (line for line in running.lines if "/_emulator/counts" in line)
    with urllib.request.urlopen(told.split()[-1], timeout=SECONDS) as answer:
        counts = json.load(answer)
    assert counts["tasks"] == counts["attempts"] == counts["batch_calls"]["CreateJob"] == 1


def test_the_variables_are_written_to_a_file_on_request(start: Start, tmp_path: Path) -> None:
    running = start("--env-file", str(tmp_path / "emulator.env"))
    written = dict(line.split("=", 1) for line in (tmp_path / "emulator.env").read_text().splitlines())
    assert written == running.variables()


@pytest.mark.parametrize("option", ["--storage-port", "--batch-port", "--logging-port"])
def test_a_taken_port_is_one_error_that_names_the_option(option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = warm_python.run(*COMMAND[2:], "emulator", *FREE_PORTS, option, port)
    assert ended.returncode == 1
    service = option.strip("-").partition("-")[0]
    assert ended.stderr == (
        f"Error: port {port} of the {service} service is taken by another program: end that one, or give {option} 0,"
        " which takes a free port\n"
    )


def test_a_port_that_another_emulator_has_names_its_process_and_the_remedies(start: Start) -> None:
    other = start("--runtime", "process", "--quiet")
    port = other.variables()["STORAGE_EMULATOR_HOST"].rpartition(":")[2]
    ended = warm_python.run(*COMMAND[2:], "emulator", "--runtime", "process", "--storage-port", port)
    number = other.process.pid
    assert (ended.returncode, ended.stderr) == (
        1,
        f"Error: port {port} of the storage service is taken by another emulator of this package (process {number}):"
        f" use that one, end it (kill {number}), or start this one beside it: --storage-port 0 --batch-port 0"
        " --logging-port 0\n",
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--image", "no-command"], "must be URI=COMMAND"),
        (["--runtime", "fork"], "'fork' is not one of 'auto', 'podman', 'docker', 'process'"),
        (["--python", "/no/such/python"], "there is no such program"),
        (["--runtime", "podman", "--python", sys.executable], "--python, --image and --site-packages"),
        (["--runtime", "podman", "--site-packages"], "--site-packages"),
        (["--python", sys.executable, "--site-packages"], "give one of them"),
        (["--runtime", "process", "--nfs", "server:/data=/"], "--nfs is for containers"),
        (["--nfs", "server=/"], "must be SERVER:/PATH=FOLDER"),
        (["--nfs", "server:/data=/no/such/folder"], "is not a folder"),
        (["--secret", "token=abc", "--runtime", "process"], "projects/PROJECT/secrets/SECRET/versions/VERSION"),
        (["--secret", "abc"], "it has no ="),
        (["--tasks", "0"], "--tasks"),
        (
            ["--known", "/no/such/file"],
            "--known /no/such/file: No such file or directory: give the path of a TOML file",
        ),
        (["--known", "/"], "--known /: Is a directory: give the path of a TOML file"),
        (["--secrets-file", "/no/such/file"], "--secrets-file /no/such/file: No such file or directory: give the path"),
        (["--env-file", "/no/such/file"], "--env-file /no/such/file: No such file or directory: give a path in a"),
        (["--bucket", "No Bucket"], "No Bucket"),
    ],
)
def test_a_wrong_option_is_refused_with_its_reason(options: list[str], reason: str) -> None:
    ended = warm_python.run(*COMMAND[2:], "emulator", *FREE_PORTS, *options)
    assert ended.returncode != 0
    assert reason in ended.stderr and "Traceback" not in ended.stderr


def test_a_missing_package_is_named_with_the_way_to_install_it() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None; from covalent_parallel_plugin.cli import main; main(['emulator'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 1
    assert "pip install 'covalent-parallel-plugin[local]'" in ended.stderr and "uvicorn" in ended.stderr


def test_help_lists_the_subcommands_without_loading_them() -> None:
    code = (
        "import sys; from covalent_parallel_plugin.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print(sorted({'grpc', 'google.cloud', 'covalent', 'uvicorn'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert "emulator" in ended.stdout and "demo" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "[]"
