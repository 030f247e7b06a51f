"""What other machines say or do not say: registries, the Covalent server, emulators of other makes, silence."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from doctor_command import COMMAND

from covalent_parallel_plugin import __version__
from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
from covalent_parallel_plugin.emulator import Emulator

Diagnose = Callable[..., Any]
HERE = ".".join(map(str, sys.version_info[:2]))
SECONDS = 120


def described(python: str, architecture: str = "amd64", **labels: str) -> dict[str, Any]:
    """An image's configuration, as a registry has it."""
    inner = {"Env": [f"PYTHON_VERSION={python}"], "Labels": labels}
    return {"os": "linux", "architecture": architecture, "config": inner}


@pytest.fixture
def registry() -> Iterator[Any]:
    from registry_server import running_registry

    with running_registry() as running:
        yield running


def test_an_image_that_fits(diagnose: Diagnose, registry: Any) -> None:
    registry.put("lab/runner", "1", described(f"{HERE}.1"))
    found = diagnose(options={"container_image_uri": f"{registry.host}/lab/runner:1"})
    assert found["image.reachable"]["status"] == "ok"
    assert found["image.versions"]["status"] == "ok"
    assert f"python {HERE}.1" in found["image.versions"]["found"]


def test_an_image_that_is_not_there(diagnose: Diagnose, registry: Any) -> None:
    found = diagnose(options={"container_image_uri": f"{registry.host}/lab/runner:2"})
    assert found["image.reachable"]["status"] == "error"
    assert "covalent-parallel image build" in found["image.reachable"]["remedy"]
    assert found["image.versions"]["status"] == "skipped"


def test_an_image_with_another_python(diagnose: Diagnose, registry: Any) -> None:
    registry.put("lab/runner", "1", described("3.9.2"))
    found = diagnose(options={"container_image_uri": f"{registry.host}/lab/runner:1"})
    assert found["image.versions"]["status"] == "error"
    assert "python: 3.9.2" in found["image.versions"]["found"]


def test_an_image_for_other_machines(diagnose: Diagnose, registry: Any) -> None:
    registry.put("lab/runner", "1", described(f"{HERE}.1", architecture="arm64"))
    found = diagnose(options={"container_image_uri": f"{registry.host}/lab/runner:1"})
    assert found["image.versions"]["status"] == "error"
    assert "linux/amd64" in found["image.versions"]["found"]


def test_an_image_with_another_version_of_this_package_is_a_warning(diagnose: Diagnose, registry: Any) -> None:
    registry.put("lab/runner", "1", described(f"{HERE}.1", **{"covalent-parallel.plugin": "0.0.1"}))
    found = diagnose(options={"container_image_uri": f"{registry.host}/lab/runner:1"})
    assert found["image.versions"]["status"] == "warning"
    assert "0.0.1" in found["image.versions"]["found"]


def test_an_image_whose_cloudpickle_cannot_load_this_environments_pickles_is_an_error(
    diagnose: Diagnose, registry: Any
) -> None:
    labels = {"covalent-parallel.plugin": __version__, "covalent-parallel.cloudpickle": "2.2.1"}
    registry.put("lab/runner", "1", described(f"{HERE}.1", **labels))
    found = diagnose(options={"container_image_uri": f"{registry.host}/lab/runner:1"})
    assert found["image.versions"]["status"] == "error"
    assert "cloudpickle 2.2.1 cannot load what 3." in found["image.versions"]["found"]
    assert "pip install cloudpickle==3." in found["image.versions"]["remedy"]


def run_on(server: PrivateCovalentServer, *arguments: str, **variables: str) -> tuple[int, dict[str, Any]]:
    """The command in the server's own environment."""
    environment = {**server.environment, **variables}
    ended = subprocess.run(
        [*COMMAND, "--json", *arguments], env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def named(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in content["checks"]}


def test_a_healthy_set_up_is_ok_throughout(covalent_server: PrivateCovalentServer) -> None:
    status, content = run_on(covalent_server)
    unwell = {name: check["found"] for name, check in named(content).items() if check["status"] != "ok"}
    # The emulator pulls no image
    assert set(unwell) == {"image.reachable", "image.versions"}
    assert content["status"] == "ok"
    assert status == 0


def test_the_json_has_the_same_form_each_time(covalent_server: PrivateCovalentServer) -> None:
    first, second = (run_on(covalent_server)[1] for _ in range(2))
    assert [check["name"] for check in first["checks"]] == [check["name"] for check in second["checks"]]
    assert set(first) == {"version", "plugin", "status", "counts", "configuration", "checks", "phases"}
    assert {key for check in first["checks"] for key in check} == {
        "name", "status", "found", "remedy", "details", "seconds"
    }  # fmt: skip
    assert first["version"] == 1


def test_every_warning_and_error_has_a_remedy(diagnose: Diagnose) -> None:
    found = diagnose(options={"project_id": "", "momory": 3, "cache_dir": "/dev/null/x"})
    unwell = [check for check in found.content["checks"] if check["status"] in ("warning", "error")]
    assert unwell
    assert all(check["remedy"] for check in unwell)


def test_lines_for_people_tell_the_same(covalent_server: PrivateCovalentServer) -> None:
    shown = {}
    for words in ((), ("--all",)):
        ended = subprocess.run(
            [*COMMAND, "--set", "machine_type=n5-standard-4", *words],
            env=covalent_server.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert ended.returncode == 1
        assert "\x1b" not in ended.stdout
        shown[words] = ended.stdout.splitlines()
    lines = shown[()]
    assert lines[0].startswith("error    machine.known ")
    assert lines[1].startswith("         fix: set machine_type to another one, or change the emulator")
    assert not [line for line in lines if line.startswith(("ok ", "skipped "))]
    counts = r"(\d+) errors?, (?:\d+ warnings?, )?(\d+) ok, (\d+) skipped"
    summary = re.fullmatch(rf"{counts} \(--all shows each check\)", lines[-1])
    assert summary, lines[-1]
    rest = [line for line in shown[("--all",)] if line.startswith(("ok ", "skipped "))]
    assert len(rest) == int(summary[2]) + int(summary[3])
    assert any(line.startswith("ok       bucket.writable ") for line in rest)


def test_a_server_started_with_other_variables(covalent_server: PrivateCovalentServer) -> None:
    with Emulator() as another:
        _, content = run_on(covalent_server, **another.environment)
    check = named(content)["server.process"]
    assert check["status"] == "error"
    assert "STORAGE_EMULATOR_HOST" in check["found"]
    assert "covalent restart" in check["remedy"]


def test_a_server_that_was_sent_its_variables_after_its_start_has_them(tmp_path: Path) -> None:
    server = PrivateCovalentServer(tmp_path)
    with Emulator() as emulator:
        server.start(meanwhile=lambda: emulator.environment)
        try:
            _, content = run_on(server)
        finally:
            server.stop()
    assert named(content)["server.process"]["status"] == "ok", named(content)["server.process"]


def test_a_server_that_reads_another_file(covalent_server: PrivateCovalentServer, tmp_path: Path) -> None:
    port = covalent_server.address.rpartition(":")[2]
    text = f'[dispatcher]\naddress = "127.0.0.1"\nport = {port}\n[executors.gcpbatch]\nproject_id = "other"\n'
    (tmp_path / "covalent.conf").write_text(text)
    _, content = run_on(covalent_server, COVALENT_CONFIG_DIR=str(tmp_path))
    check = named(content)["server.plugin"]
    assert check["status"] == "warning"
    assert str(covalent_server.home) in check["remedy"]


class _OtherStorage(BaseHTTPRequestHandler):
    """A storage emulator of another make: it knows buckets and objects, and nothing else."""

    def do_GET(self) -> None:
        is_bucket = self.path.startswith("/storage/v1/b/covalent?") or self.path == "/storage/v1/b/covalent"
        body = b'{"kind": "storage#bucket", "name": "covalent", "location": "US"}' if is_bucket else b"404 page"
        self.send_response(200 if is_bucket else 404)
        self.send_header("Content-Type", "application/json" if is_bucket else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_what_another_storage_emulator_does_not_know_is_skipped(diagnose: Diagnose) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _OtherStorage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with Emulator(storage_port=None) as emulator:
            storage = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{server.server_address[1]}"}
            found = diagnose(environment={**emulator.environment, **storage})
    finally:
        server.shutdown()
        server.server_close()
    assert found["project.exists"]["status"] == "skipped"
    assert "knows nothing of cloudresourcemanager.googleapis.com" in found["project.exists"]["found"]
    assert found["bucket.exists"]["status"] == "ok"
    assert found["bucket.permissions"]["status"] == "skipped"
    assert found["batch.usable"]["status"] == "ok"


def test_silence_ends_the_checks_that_meet_it_and_no_others(diagnose: Diagnose) -> None:
    with socket.socket() as silent, Emulator(storage_port=None) as emulator:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        storage = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        found = diagnose(environment={**emulator.environment, **storage})
    assert found["bucket.exists"]["status"] == "error"
    assert "did not answer within" in found["bucket.exists"]["found"]
    assert found["config.mistakes"]["status"] == "ok"
