"""The option `cache` under Covalent's server: a script that is started anew, after the server was killed too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from covalent_parallel_plugin.covalent_api.private_configuration import Value
from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
from covalent_parallel_plugin.emulator import Emulator, ProcessRuntime

WAIT_SECONDS = 300.0

SCRIPT = """
import json, sys, time, uuid
from pathlib import Path
import covalent as ct
from covalent_parallel_plugin import pmap

MARKS = sys.argv[1]

def mark(name):
    Path(MARKS, f"{name}.{uuid.uuid4().hex}").touch()

@ct.electron(executor="gcpbatch")
def slow(number):
    mark(f"slow-{number}")
    until = time.monotonic() + 400
    while not Path(MARKS, "go").exists() and time.monotonic() < until:
        time.sleep(0.02)
    print(f"slow {number}")
    return number * 10

@ct.electron(executor="gcpbatch")
def after(value):
    mark(f"after-{value}")
    return value + 1

@pmap(executor="gcpbatch")
def half(number):
    mark(f"half-{number}")
    return number / 2

@pmap(executor="gcpbatch", return_exceptions=True)
def inverse(number):
    mark(f"inverse-{number}")
    return 1 / number

@ct.electron
@ct.lattice
def inner(value):
    return after(value)

@ct.electron(executor="gcpbatch")
def total(values, halves, inverses, nested):
    mark("total")
    return sum(values) + sum(halves) + sum(value for value in inverses if isinstance(value, float)) + nested

@ct.lattice
def flow():
    values = [after(slow(number)) for number in range(3)]
    return total(values, half([1, 2, 3]), inverse([0, 1]), inner(7))

dispatch_id = ct.dispatch(flow)()
print(dispatch_id, flush=True)
result = ct.get_result(dispatch_id, wait=True)
nodes = {node["node_name"]: node["stderr"] or "" for node in result.get_all_node_results()}
print(json.dumps([str(result.status), result.result, nodes]))
"""
# 1 + 11 + 21, 0.5 + 1 + 1.5, 1, 8
TOTAL = 33 + 3 + 1 + 8
ONCE = [
    *(f"slow-{number}" for number in range(3)),
    *(f"after-{number}" for number in (0, 7, 10, 20)),
    *(f"half-{number}" for number in (1, 2, 3)),
    "total",
]


@pytest.fixture
def own_emulator() -> Iterator[Emulator]:
    with Emulator(runtime=ProcessRuntime(site_packages=True), tasks_at_once=8) as running:
        yield running


@pytest.fixture
def servers(own_emulator: Emulator, tmp_path: Path) -> Iterator[Callable[[], PrivateCovalentServer]]:
    """Start a server on the files of the one before, which is killed."""
    options: dict[str, Value] = {
        "project_id": "local",
        "bucket_name": "covalent",
        "poll_freq": 0.5,
        "cache": True,
        "cache_dir": str(tmp_path / "cache"),
    }
    configuration = {"executors.gcpbatch": options}
    begun: list[PrivateCovalentServer] = []

    def kill() -> None:
        if begun:
            os.kill(begun[-1].process_id, signal.SIGKILL)
            begun.pop().stop()

    def start() -> PrivateCovalentServer:
        kill()
        begun.append(PrivateCovalentServer(tmp_path, own_emulator.environment, configuration=configuration).start())
        return begun[-1]

    yield start
    kill()


def started(server: PrivateCovalentServer, script: Path, marks: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(script), str(marks)],
        env=server.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(client: subprocess.Popen[str]) -> list[object]:
    output, _ = client.communicate(timeout=WAIT_SECONDS)
    answer: list[object] = json.loads(output.splitlines()[-1])
    return answer


def counts(marks: Path) -> dict[str, int]:
    names = [path.name.partition(".")[0] for path in marks.iterdir() if path.name != "go"]
    return {name: names.count(name) for name in names}


def test_a_script_that_is_started_anew_after_a_kill_pays_for_nothing_twice(
    servers: Callable[[], PrivateCovalentServer], own_emulator: Emulator, tmp_path: Path
) -> None:
    marks, script = tmp_path / "marks", tmp_path / "script.py"
    marks.mkdir()
    script.write_text(SCRIPT)
    server = servers()
    client = started(server, script, marks)
    until = time.monotonic() + WAIT_SECONDS
    while not {"slow-0", "slow-1", "slow-2"} <= set(counts(marks)):
        assert time.monotonic() < until, server.log_tail()
        time.sleep(0.1)
    client.kill()
    client.communicate()
    server, asked = servers(), own_emulator.rpc_counts["CreateJob"]

    # Lines above it, as in a script that was edited: the electrons are the same.
    script.write_text("# A comment\n\n\n" + SCRIPT)
    client = started(server, script, marks)
    until = time.monotonic() + WAIT_SECONDS
    # The three that run are asked for again, and so is the map that is not kept.
    while own_emulator.rpc_counts["CreateJob"] < asked + 4 and time.monotonic() < until:
        time.sleep(0.1)
    (marks / "go").touch()
    status, value, _ = ended(client)
    assert (status, value) == ("COMPLETED", TOTAL), server.log_tail()
    ran = counts(marks)
    assert {name: ran.get(name) for name in ONCE if not name.startswith("half")} == dict.fromkeys(
        (name for name in ONCE if not name.startswith("half")), 1
    )

    calls = own_emulator.rpc_counts.get("CreateJob", 0)
    status, value, nodes = ended(started(server, script, marks))
    assert (status, value) == ("COMPLETED", TOTAL), server.log_tail()
    again = {name: count for name, count in counts(marks).items() if count != ran.get(name)}
    # A map with an item that raised is not kept.
    assert set(again) == {"inverse-0", "inverse-1"}
    assert own_emulator.rpc_counts.get("CreateJob", 0) == calls + 1
    assert isinstance(nodes, dict)
    assert nodes["slow"].startswith("from the cache: made at ")
    assert nodes["half"].startswith("from the cache: made at ")
