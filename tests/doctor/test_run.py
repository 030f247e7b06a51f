"""`doctor --run`: one electron is sent, its phases are told, and nothing of it is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from doctor_command import COMMAND, quiet_environment, section_text
from google.auth.credentials import AnonymousCredentials
from google.cloud import batch_v1, storage
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport

from covalent_parallel_plugin.emulator import Emulator, Fault, Faults, Timing
from covalent_parallel_plugin.emulator.project.resources import Machine, ProjectResources

Diagnose = Callable[..., Any]
PHASES = [
    "staged", "submitted", "queued", "scheduled", "started", "ran", "delivered", "collected", "cleaned"
]  # fmt: skip
SECONDS = 120


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(timing=Timing(queue_seconds=0.3)) as running:
        yield running


def objects(emulator: Emulator) -> list[str]:
    """The names of the objects in the bucket, but for the runner's archive, which stays."""
    address = {"api_endpoint": emulator.environment["STORAGE_EMULATOR_HOST"]}
    client = storage.Client(project="local", credentials=AnonymousCredentials(), client_options=address)
    return [blob.name for blob in client.list_blobs("covalent") if "covalent-parallel-runner/" not in blob.name]


def jobs(emulator: Emulator) -> list[str]:
    """The states of all jobs."""
    with grpc.insecure_channel(emulator.environment["BATCH_EMULATOR_HOST"]) as channel:
        client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
        return [job.status.state.name for job in client.list_jobs(parent="projects/local/locations/us-east1")]


def test_the_time_of_each_phase_is_told(diagnose: Diagnose, emulator: Emulator) -> None:
    found = diagnose("--run", environment=emulator.environment)
    assert found["run.electron"]["status"] == "ok", found["run.electron"]
    phases = {phase["name"]: phase["seconds"] for phase in found.content["phases"]}
    assert list(phases) == PHASES
    assert all(seconds is not None for seconds in phases.values())
    assert phases["queued"] >= 0.25


def test_nothing_of_it_is_left_in_the_bucket(diagnose: Diagnose, emulator: Emulator) -> None:
    diagnose("--run", environment=emulator.environment)
    assert jobs(emulator) == ["SUCCEEDED"]
    assert objects(emulator) == []


def test_other_options_are_tried_with_set(diagnose: Diagnose, emulator: Emulator) -> None:
    found = diagnose("--run", "--set", "region=europe-west4", environment=emulator.environment)
    assert found["run.electron"]["status"] == "ok"
    assert jobs(emulator) == []


def test_an_electron_that_fails_says_why_and_leaves_nothing(diagnose: Diagnose) -> None:
    fault = Fault("attempt.no_image")
    with Emulator(faults=Faults((fault,))) as emulator:
        found = diagnose("--run", "--set", "retries=0", environment=emulator.environment)
        assert found["run.electron"]["status"] == "error"
        assert "container" in found["run.electron"]["found"]
        assert objects(emulator) == []
    assert found.status == 1


def test_a_machine_that_compute_engine_does_not_have_ends_it(diagnose: Diagnose) -> None:
    known = ProjectResources(machine_types={"n2-standard-4": Machine(4, 16384)})
    with Emulator(known=known) as emulator:
        found = diagnose("--run", "--set", "machine_type=n5-standard-4", environment=emulator.environment)
    assert found["machine.known"]["status"] == "error"
    assert "CODE_MACHINE_TYPE_NOT_FOUND" in found["run.electron"]["found"]


def test_nothing_is_sent_where_it_could_not_succeed(diagnose: Diagnose, emulator: Emulator) -> None:
    found = diagnose("--run", options={"bucket_name": "nowhere"}, environment=emulator.environment)
    assert found["run.electron"]["status"] == "skipped"
    assert found["run.electron"]["found"] == "see bucket.exists, bucket.writable"
    assert jobs(emulator) == []


def test_ctrl_c_cancels_the_job_and_removes_its_objects(tmp_path: Path) -> None:
    options = {"project_id": "local", "bucket_name": "covalent", "cache_dir": str(tmp_path / "cache")}
    (tmp_path / "covalent.conf").write_text(section_text(options))
    with Emulator(faults=Faults((Fault("attempt.stuck"),))) as emulator:
        environment = quiet_environment(tmp_path, **emulator.environment)
        process = subprocess.Popen(
            [*COMMAND, "--run"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + SECONDS
        while jobs(emulator) != ["RUNNING"]:
            assert time.monotonic() < deadline, process.poll()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 130, errors
        assert "nothing is left running" in errors
        assert jobs(emulator) == ["CANCELLED"]
        assert objects(emulator) == []


def test_the_electron_needs_nothing_of_this_package_in_its_container() -> None:
    code = """
import cloudpickle, sys
from covalent_parallel_plugin.cli.doctor import trial_run
cloudpickle.register_pickle_by_value(trial_run)
sys.stdout.buffer.write(cloudpickle.dumps(trial_run.report_environment))
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=SECONDS)
    assert b"covalent_parallel_plugin.electron" not in made.stdout
    load = """
import pickle, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("covalent"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
print(pickle.loads(sys.stdin.buffer.read())())
"""
    ran = subprocess.run([sys.executable, "-c", load], input=made.stdout, capture_output=True, timeout=SECONDS)
    assert b'"python"' in ran.stdout, ran.stderr.decode()
