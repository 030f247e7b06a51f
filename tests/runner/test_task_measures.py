"""What a sweep's machine measures: which machine it is, without waiting for an answer, and when an attempt began."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from covalent_parallel_plugin.protocol.sweep_identity import SweepIdentity
from covalent_parallel_plugin.runner.sweep.machine import JobEnvironment, MachinePaths
from covalent_parallel_plugin.runner.sweep.task_measures import (
    MachineQuestion,
    TaskMeasures,
    known_machine,
    note_begun,
    take_begun,
)

ANSWERS = {"machine-type": "projects/1/machineTypes/e2-small", "zone": "projects/1/zones/us-east1-b", "id": "17"}


class Metadata(BaseHTTPRequestHandler):
    """A metadata server."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert self.headers["Metadata-Flavor"] == "Google"
        text = ANSWERS.get(self.path.rpartition("/")[2], "").encode()
        self.send_response(200 if text else 404)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    made = HTTPServer(("127.0.0.1", 0), Metadata)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def paths(tmp_path: Path) -> MachinePaths:
    return MachinePaths(str(tmp_path), str(tmp_path))


def test_the_machine_is_known_to_its_tasks(server: str, paths: MachinePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", server)
    question = MachineQuestion(paths)
    question.begin()
    question.join(60)
    question.keep()
    assert known_machine(paths) == {"type": "e2-small", "zone": "us-east1-b", "instance": "17"}


def test_of_machines_that_share_what_is_prepared_each_is_known_by_its_own_server(
    server: str, paths: MachinePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    (Path(paths.shared) / "machine-127.0.0.9:1.json").write_text('{"instance": "16"}')
    monkeypatch.setenv("GCE_METADATA_HOST", server)
    MachineQuestion(paths).ask_again()
    assert known_machine(paths)["instance"] == "17"
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.9:1")
    MachineQuestion(paths).ask_again()
    assert known_machine(paths) == {"instance": "16"}


def test_google_is_not_asked_again(paths: MachinePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GCE_METADATA_HOST", raising=False)
    question = MachineQuestion(paths)
    question.ask_again()
    assert not question.is_alive() and question.ident is None


def test_where_nobody_answers_nothing_is_waited_for(paths: MachinePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.delenv("GCE_METADATA_HOST", raising=False)
    silent = MachineQuestion(paths)
    silent.begin()
    assert not silent.is_alive()
    silent.keep()
    assert known_machine(paths) == {}


def test_when_an_attempt_began_is_kept_for_its_task(paths: MachinePaths) -> None:
    job = JobEnvironment("b", SweepIdentity("id", b"k", "f"), 0, 3, 1)
    note_begun(paths, job, 100.5)
    assert take_begun(paths, job) == {"began": 100.5}
    assert take_begun(paths, job) == {}


def test_a_measure_that_is_not_known_is_left_out() -> None:
    measures = TaskMeasures()
    measures.note_program(None, None)
    assert set(measures.fields()) == {"times", "machine"}
    measures.note_program(1.5, 2.0)
    assert (measures.fields()["cpu_seconds"], measures.fields()["peak_memory_bytes"]) == (1.5, 2 * 2**20)
