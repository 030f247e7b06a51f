"""An emulator that ends and starts again at the same ports, under a Covalent server that runs on."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import own_covalent
import pytest

from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer

own_covalent.load()

COMMAND = [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "emulator"]
SECONDS = 120
SECTION = {"project_id": "local", "bucket_name": "covalent", "poll_freq": 0.5}
WORKFLOW = """
import contextlib, json, sys
import covalent as ct
from covalent_parallel_plugin import wait

@ct.electron(executor="gcpbatch")
def add(a, b, started):
    import pathlib, time
    if started:
        pathlib.Path(started).write_text("")
        time.sleep(600)
    return a + b

@ct.lattice
def workflow(a, b, started):
    return add(a, b, started)

dispatch_id = ct.dispatch(workflow)(1, 2, sys.argv[1])
# Covalent's own way of waiting ends where one of its requests fails
with contextlib.suppress(Exception):
    wait(dispatch_id)
result = ct.get_result(dispatch_id)
node = result.get_node_result(0)
print(json.dumps([str(result.status), result.result, node["error"] or node["stderr"]]))
"""


class Restarted:
    """The command at ports of its own; each start is another process."""

    def __init__(self) -> None:
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            sockets = (one, two, three)
            for taken in sockets:
                taken.bind(("127.0.0.1", 0))
            self.ports = [taken.getsockname()[1] for taken in sockets]
        self.environment: dict[str, str] = {}

    def start(self) -> None:
        named = zip(("storage", "batch", "logging"), self.ports, strict=True)
        options = [f"--{service}-port={port}" for service, port in named]
        self.process = subprocess.Popen(
            [*COMMAND, "--runtime=process", "--quiet", *options], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        lines = list(iter(lambda: self.process.stdout.readline().rstrip("\n"), "ready"))  # type: ignore[union-attr]
        self.environment = dict(
            line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export ")
        )

    def looks(self) -> int:
        """Count the requests for a job so far."""
        address = f"{self.environment['STORAGE_EMULATOR_HOST']}/_emulator/counts"
        with build_opener(ProxyHandler({})).open(address, timeout=SECONDS) as answer:
            return int(json.load(answer)["batch_calls"].get("GetJob", 0))

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=SECONDS)


@pytest.fixture
def emulator() -> Iterator[Restarted]:
    made = Restarted()
    made.start()
    yield made
    made.end()


@pytest.fixture
def server(emulator: Restarted, tmp_path: Path) -> Iterator[PrivateCovalentServer]:
    home = tmp_path / "covalent"
    section = {**SECTION, "cache_dir": str(home / "cache")}
    with PrivateCovalentServer(home, emulator.environment, configuration={"executors.gcpbatch": section}) as running:
        yield running


def dispatch(server: PrivateCovalentServer, started: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKFLOW, started], env=server.environment, stdout=subprocess.PIPE, text=True
    )


def result(client: subprocess.Popen[str]) -> list[object]:
    output, _ = client.communicate(timeout=SECONDS)
    found = json.loads(output.splitlines()[-1])
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_next_dispatch_completes_and_an_electron_that_ran_fails_with_what_happened(
    emulator: Restarted, server: PrivateCovalentServer, tmp_path: Path, number: signal.Signals
) -> None:
    assert result(dispatch(server))[:2] == ["COMPLETED", 3]
    started = tmp_path / "started"
    running = dispatch(server, str(started))
    deadline = time.monotonic() + SECONDS
    while not started.exists():
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.1)
    # A job that the server has not seen yet may appear late on Google, so it is looked for much longer
    looked = emulator.looks()
    while emulator.looks() < looked + 2:
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.1)
    emulator.end(number)
    emulator.start()
    assert result(dispatch(server))[:2] == ["COMPLETED", 3]
    status, value, text = result(running)
    assert (status, value) == ("FAILED", None)
    assert "electron 'add'" in str(text) and "with an emulator that is started anew all vanish" in str(text)
    assert result(dispatch(server))[:2] == ["COMPLETED", 3]
