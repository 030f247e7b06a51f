"""The Covalent server ends while jobs run: stopped, it cancels them; killed, `covalent-parallel clean` finds them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import cloudpickle
import pytest

from covalent_parallel_plugin.batch.trace import read_trace
from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
from covalent_parallel_plugin.emulator import Emulator, ProcessRuntime

PARENT = "projects/local/locations/us-east1"
ELECTRONS = 12
WAIT_SECONDS = 180.0
COMMAND = (sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()")

CLIENT = f"""
import covalent as ct

@ct.electron(executor="gcpbatch")
def sleeps():
    import time
    time.sleep(300)

print(ct.dispatch(ct.lattice(lambda: [sleeps() for _ in range({ELECTRONS})]))())
"""


SAVES = f"""
import covalent as ct

@ct.electron(executor="gcpbatch")
def saves(index, path):
    import os, signal, sys, time
    from pathlib import Path
    def save(number, frame):
        time.sleep(3)
        Path(path, str(index)).write_text("step 7")
        os.write(1, b"saved\\n")
        sys.exit(3)
    signal.signal(signal.SIGTERM, save)
    Path(path, str(index)).touch()
    print("begun", flush=True)
    time.sleep(300)

@ct.electron
@ct.lattice
def inner(path):
    return saves({ELECTRONS - 1}, path)

def flow(path):
    return [inner(path), *[saves(index, path) for index in range({ELECTRONS - 1})]]

print(ct.dispatch(ct.lattice(flow))(%r))
"""


@pytest.fixture
def own_emulator() -> Iterator[Emulator]:
    with Emulator(runtime=ProcessRuntime(site_packages=True), tasks_at_once=ELECTRONS) as running:
        yield running


@pytest.fixture
def own_server(own_emulator: Emulator, tmp_path: Path) -> Iterator[PrivateCovalentServer]:
    section = {"project_id": "local", "bucket_name": "covalent", "poll_freq": 0.5, "cache_dir": str(tmp_path / "cache")}
    with PrivateCovalentServer(
        tmp_path, own_emulator.environment, configuration={"executors.gcpbatch": section}
    ) as server:
        yield server


def dispatched(server: PrivateCovalentServer, emulator: Emulator, source: str = CLIENT) -> str:
    """Dispatch the electrons; returns the dispatch's id once all of them run."""
    last_line = client_output(server, source)
    until(lambda: list(states(emulator).values()) == ["RUNNING"] * ELECTRONS)
    return last_line.split()[-1]


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to this"
        time.sleep(0.2)


def states(emulator: Emulator) -> Mapping[str, str]:
    """All jobs by name."""

    async def listed() -> dict[str, str]:
        batch = BatchApi(connect(emulator.environment["BATCH_EMULATOR_HOST"]))
        try:
            return {job.name: job.state for job in await batch.list(PARENT)}
        finally:
            await batch.close()

    return asyncio.run(listed())


def objects(emulator: Emulator) -> list[str]:
    address = f"{emulator.environment['STORAGE_EMULATOR_HOST']}/storage/v1/b/covalent/o"
    with build_opener(ProxyHandler({})).open(address, timeout=60) as answer:
        return [item["name"] for item in json.load(answer).get("items", [])]


def put(emulator: Emulator, name: str) -> None:
    host = emulator.environment["STORAGE_EMULATOR_HOST"]
    address = f"{host}/upload/storage/v1/b/covalent/o?uploadType=media&name={name}"
    build_opener(ProxyHandler({})).open(Request(address, b"mine", method="POST"), timeout=60).close()


SHOW = """
import json
import covalent as ct

result = ct.get_result(%r)
nodes = [node for node in result.get_all_node_results() if node["node_name"] == "saves"]
print(json.dumps([str(result.status), [[str(node["status"]), node["stdout"], node["stderr"]] for node in nodes]]))
"""


def client_output(server: PrivateCovalentServer, source: str) -> str:
    """The last line that a client of the server prints."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source],
        env=server.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=True,
    )
    return ended.stdout.splitlines()[-1]


def clean(server: PrivateCovalentServer, *options: str) -> str:
    return command(server, "clean", *options)


def command(server: PrivateCovalentServer, *arguments: str) -> str:
    ended = subprocess.run(
        [*COMMAND, *arguments],
        env=server.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_stopped_cancels_all_its_jobs_and_deletes_their_objects(
    own_server: PrivateCovalentServer, own_emulator: Emulator, number: signal.Signals
) -> None:
    dispatched(own_server, own_emulator)
    os.kill(own_server.process_id, number)
    until(lambda: not own_server.is_running)
    assert list(states(own_emulator).values()) == ["CANCELLED"] * ELECTRONS
    assert [name for name in objects(own_emulator) if "covalent-parallel-runner/" not in name] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_electrons_of_a_server_that_is_stopped_save_what_they_have_and_covalent_notes_how_they_ended(
    own_server: PrivateCovalentServer, own_emulator: Emulator, tmp_path: Path, number: signal.Signals
) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    dispatch_id = dispatched(own_server, own_emulator, SAVES % str(saved))
    until(lambda: len(list(saved.iterdir())) == ELECTRONS)
    os.kill(own_server.process_id, number)
    until(lambda: not own_server.is_running)
    assert list(states(own_emulator).values()) == ["CANCELLED"] * ELECTRONS
    assert [path.read_text() for path in saved.iterdir()] == ["step 7"] * ELECTRONS
    records = [record for path in own_server.home.rglob("traces/*.jsonl") for record in read_trace(path).records]
    assert [each["verdict"] for each in records if each["kind"] == "ended"] == ["stopped"] * ELECTRONS
    assert [name for name in objects(own_emulator) if "covalent-parallel-runner/" not in name] == []
    own_server.stop()
    own_server.start()
    status, electrons = json.loads(client_output(own_server, SHOW % dispatch_id))
    assert (status, len(electrons)) == ("CANCELLED", ELECTRONS - 1)
    for status, stdout, stderr in electrons:
        assert (status, stdout) == ("CANCELLED", "begun\nsaved\n")
        assert "it answered SIGTERM with exit status 3" in stderr and "was cancelled" in stderr


def test_a_server_that_is_stopped_after_its_electrons_returned_leaves_nothing(
    own_server: PrivateCovalentServer, own_emulator: Emulator
) -> None:
    returns = CLIENT.replace("    import time\n    time.sleep(300)\n", "    return 7\n").replace("print(", "d = (")
    assert client_output(own_server, f"{returns}\nprint(ct.get_result(d, wait=True).result)") == str([7] * ELECTRONS)
    own_server.stop()
    assert list(states(own_emulator).values()) == ["SUCCEEDED"] * ELECTRONS
    assert [name for name in objects(own_emulator) if "covalent-parallel-runner/" not in name] == []


def test_a_server_that_is_started_again_cancels_the_jobs_of_the_one_that_was_killed(
    own_server: PrivateCovalentServer, own_emulator: Emulator
) -> None:
    dispatch_id = dispatched(own_server, own_emulator)
    os.kill(own_server.process_id, signal.SIGKILL)
    until(lambda: not own_server.is_running)
    own_server.stop()
    own_server.start()
    lists = own_emulator.rpc_counts.get("ListJobs", 0)
    subprocess.run(
        [sys.executable, "-c", f"import covalent as ct; ct.cancel({dispatch_id!r})"],
        env=own_server.environment,
        stdin=subprocess.DEVNULL,
        timeout=WAIT_SECONDS,
        check=True,
    )
    until(lambda: own_emulator.rpc_counts.get("CancelJob", 0) == ELECTRONS)
    assert own_emulator.rpc_counts["ListJobs"] == lists + 1
    until(lambda: list(states(own_emulator).values()) == ["CANCELLED"] * ELECTRONS)


def test_what_electrons_return_after_the_server_was_killed_is_fetched(
    own_server: PrivateCovalentServer, own_emulator: Emulator, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    waits = f"""
import pathlib, time
while not pathlib.Path({str(go)!r}).exists():
    time.sleep(0.1)
return sum(range(10))
"""
    client = CLIENT.replace("    import time\n    time.sleep(300)\n", textwrap.indent(waits, "    "))
    dispatch_id = dispatched(own_server, own_emulator, client)
    os.kill(own_server.process_id, signal.SIGKILL)
    until(lambda: not own_server.is_running)
    go.touch()
    until(lambda: list(states(own_emulator).values()) == ["SUCCEEDED"] * ELECTRONS)
    out = tmp_path / "fetched"
    told = command(own_server, "fetch", dispatch_id, "--out", str(out))
    assert f"{ELECTRONS} files written" in told
    assert [cloudpickle.loads(path.read_bytes()) for path in out.iterdir()] == [45] * ELECTRONS
    clean(own_server, "--dispatch", dispatch_id, "--yes")
    assert [name for name in objects(own_emulator) if "covalent-parallel-runner/" not in name] == []


def test_what_a_killed_server_left_is_shown_and_then_removed_and_nothing_else(
    own_server: PrivateCovalentServer, own_emulator: Emulator
) -> None:
    dispatch_id = dispatched(own_server, own_emulator)
    os.kill(own_server.process_id, signal.SIGKILL)
    until(lambda: not own_server.is_running)
    put(own_emulator, "somebody/else/s/own/object")
    before = objects(own_emulator)

    assert "0 unfinished jobs, 0 objects" in clean(own_server, "--older-than", "24h")
    shown = clean(own_server)
    assert f"{ELECTRONS} unfinished jobs, {ELECTRONS} objects" in shown
    assert shown.count(f"jobs/covalent-{dispatch_id}-") == ELECTRONS
    assert (list(states(own_emulator).values()), objects(own_emulator)) == (["RUNNING"] * ELECTRONS, before)

    clean(own_server, "--older-than", "0s", "--yes")
    until(lambda: list(states(own_emulator).values()) == ["CANCELLED"] * ELECTRONS)
    left = [name for name in objects(own_emulator) if "covalent-parallel-runner/" not in name]
    assert left == ["somebody/else/s/own/object"]
    assert "0 unfinished jobs, 0 objects" in clean(own_server, "--older-than", "0s")
