"""The three services as one thing to start and stop."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from pathlib import Path

import grpc
import pytest
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport
from process_table import living_members

from covalent_parallel_plugin.emulator import Emulator
from covalent_parallel_plugin.emulator.emulator import PortTaken


def create(emulator: Emulator, text: str) -> batch_v1.Job:
    runnable = batch_v1.Runnable(script=batch_v1.Runnable.Script(text=text))
    job = batch_v1.Job(
        task_groups=[batch_v1.TaskGroup(task_spec=batch_v1.TaskSpec(runnables=[runnable]))],
        logs_policy=batch_v1.LogsPolicy(destination="CLOUD_LOGGING"),
    )
    with grpc.insecure_channel(emulator.environment["BATCH_EMULATOR_HOST"]) as channel:
        client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
        return client.create_job(parent="projects/p/locations/us-east1", job=job)


def output(emulator: Emulator, lines: int) -> list[str]:
    deadline = time.monotonic() + 60
    while len(found := [record.text for record in emulator.logs.records()]) < lines:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def test_a_task_finds_the_three_services() -> None:
    with Emulator() as emulator:
        create(emulator, "echo $STORAGE_EMULATOR_HOST; echo $BATCH_EMULATOR_HOST; echo $LOGGING_EMULATOR_HOST")
        names = ("STORAGE_EMULATOR_HOST", "BATCH_EMULATOR_HOST", "LOGGING_EMULATOR_HOST")
        assert output(emulator, 3) == [emulator.environment[name] for name in names]


def test_a_task_finds_the_outer_service_where_the_stand_in_runs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    with Emulator(storage_port=None) as emulator:
        create(emulator, "echo $STORAGE_EMULATOR_HOST")
        assert output(emulator, 1) == ["http://127.0.0.1:9"]


def test_after_the_stop_no_process_thread_or_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    threads = set(threading.enumerate())
    with Emulator() as emulator:
        create(emulator, "echo $$; touch file; sleep 600")
        (group,) = output(emulator, 1)
    assert living_members(int(group)) == []
    assert list(tmp_path.iterdir()) == []
    # gRPC's own threads end a moment after its server has stopped
    deadline = time.monotonic() + 60
    while left := set(threading.enumerate()) - threads:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


@pytest.mark.parametrize("service", ["storage", "batch", "logging"])
def test_a_taken_port_is_refused_by_the_services_name(service: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        emulator = Emulator(**{f"{service}_port": taken.getsockname()[1]})
        with pytest.raises(PortTaken) as caught:
            emulator.start()
    assert caught.value.service == service


def test_a_bucket_of_an_illegal_name_is_refused() -> None:
    with pytest.raises(ValueError, match="No Bucket"):
        Emulator(buckets=["No Bucket"]).start()
