"""`covalent-parallel logs` of electrons that run: each line once, through their end and the next attempt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest
from command_process import CommandProcess, Ended

from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
from covalent_parallel_plugin.emulator import Emulator, Fault, Faults
from covalent_parallel_plugin.emulator.model.runtime_interface import (
    BARE_VM,
    Command,
    LogFolder,
    Process,
    ResourceLimits,
    VmSpec,
    Workspace,
)
from covalent_parallel_plugin.emulator.runtimes.process import ProcessRuntime
from covalent_parallel_plugin.protocol.environment import ENV_LIVE

LOGS = (sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "logs")
SECONDS = 300.0
EXECUTOR_SECTION: dict[str, str | int | float | bool] = {
    "project_id": "local",
    "region": "us-east1",
    "bucket_name": "covalent",
    "container_image_uri": "python:3.11-slim",
    "poll_freq": 0.5,
}

# What electrons wait for are files: a test says when they go on.
SOURCE = r"""
import json, sys
import covalent as ct
from covalent_parallel_plugin import GCPBatchExecutor, pmap

FOLDER = {folder!r}
live = GCPBatchExecutor(retries=1, max_parallel=2)
preempted = GCPBatchExecutor(retries=1, spot=True)
silent = GCPBatchExecutor(live_output=False)

def wait_for(name):
    import os, time
    open(f"{{FOLDER}}/{{name}}.waits", "w").close()
    until = time.monotonic() + 900
    while not os.path.exists(f"{{FOLDER}}/{{name}}"):
        if time.monotonic() > until:
            raise TimeoutError(name)
        time.sleep(0.05)

@ct.electron(executor=live)
def talks(name):
    import sys
    for number in range(3):
        print(name, "line", number, flush=True)
    print("\x1b[2Jcareful", file=sys.stderr, flush=True)
    wait_for(f"{{name}}-first")
    print(name, "goes on", flush=True)
    wait_for(f"{{name}}-last")
    print(name, "ends", flush=True)
    return name

@ct.electron(executor=preempted)
def preempts(name):
    import os, pathlib
    again = pathlib.Path(FOLDER, f"{{name}}-again")
    if not again.exists():
        again.touch()
        print("first attempt\nhalf a line", end="", flush=True)
        wait_for(f"{{name}}-first")
        print(flush=True)
        wait_for("never")
    print("second attempt", flush=True)
    wait_for(f"{{name}}-last")
    return name

@ct.electron(executor=silent)
def keeps(name):
    print("to the log", flush=True)
    wait_for(f"{{name}}-last")

@ct.electron(executor=live)
def after(value):
    print("after", value)

@ct.electron
@ct.lattice
def nest(name):
    return talks(name)

@pmap(executor=live)
def dock(index):
    print("item", index, flush=True)
    print("--- item 0 ---", flush=True)
    if index == 3:
        wait_for("map-last")
        print("ends", index, flush=True)
    return index

lattices = {{
    "followed": lambda: after(talks("followed")),
    "interrupted": lambda: talks("interrupted"),
    "cancelled": lambda: talks("cancelled"),
    "preempted": lambda: preempts("preempted"),
    "kept": lambda: keeps("kept"),
    "nested": lambda: nest("nested"),
    "mapped": lambda: dock(range(4)),
}}
with open(sys.argv[1], "w") as file:
    json.dump({{name: ct.dispatch(ct.lattice(lattice))() for name, lattice in lattices.items()}}, file)
"""


class Electrons:
    """Electrons that wait for files, and the dispatches that they are of."""

    def __init__(self, folder: Path, ids: Mapping[str, str]):
        self.folder, self.ids = folder, ids

    def release(self, name: str) -> None:
        """Have them go on that wait for this file."""
        (self.folder / name).touch()

    def await_waiting(self, name: str) -> None:
        """Return once one waits for this file."""
        wait_until(f"nobody waits for {name}", (self.folder / f"{name}.waits").exists)


def wait_until(what: str, is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < until, what
        time.sleep(0.1)


@dataclass
class QuickWorkspace:
    """A workspace whose tasks make all pauses between two deliveries a fiftieth as long."""

    inner: Workspace

    def log_folder(self, path: str, services: Mapping[str, str]) -> LogFolder:
        return self.inner.log_folder(path, services)

    def start(self, command: Command) -> Process:
        return self.inner.start(replace(command, environment={ENV_LIVE: "0.02", **command.environment}))

    def close(self) -> None:
        self.inner.close()


class QuickRuntime(ProcessRuntime):
    """Processes that deliver early and often."""

    def open(self, attempt: str, limits: ResourceLimits, vm: VmSpec = BARE_VM) -> Any:
        return QuickWorkspace(super().open(attempt, limits, vm))


@pytest.fixture(scope="module")
def services() -> Iterator[Emulator]:
    struck = Fault("attempt.preempt", provisioning="SPOT", attempt=0, after_output="half a line", notice_seconds=0)
    runtime, faults = QuickRuntime(site_packages=True), Faults((struck,))
    with Emulator(buckets=("covalent",), runtime=runtime, tasks_at_once=8, faults=faults) as running:
        yield running


@pytest.fixture(scope="module")
def server(services: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateCovalentServer]:
    home = tmp_path_factory.mktemp("covalent")
    section = EXECUTOR_SECTION | {"cache_dir": str(home / "cache")}
    with PrivateCovalentServer(home, services.environment, configuration={"executors.gcpbatch": section}) as running:
        yield running


def run_client(server: PrivateCovalentServer, source: str, folder: Path) -> Any:
    """What a program says in JSON as a client of the server."""
    script, answer = folder / "client.py", folder / "answer.json"
    script.write_text(source)
    command = [sys.executable, str(script), str(answer)]
    subprocess.run(command, env=server.environment, stdin=subprocess.DEVNULL, timeout=300, check=True)
    return json.loads(answer.read_text())


@pytest.fixture(scope="module")
def electrons(server: PrivateCovalentServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Electrons]:
    folder = tmp_path_factory.mktemp("electrons")
    made = Electrons(folder, run_client(server, SOURCE.format(folder=str(folder)), folder))
    yield made
    for each in ("followed", "interrupted", "cancelled", "preempted", "kept", "nested", "map"):
        made.release(f"{each}-first")
        made.release(f"{each}-last")


@pytest.fixture
def object_names(services: Emulator) -> Callable[[], list[str]]:
    """The names of all objects in the bucket."""

    def names() -> list[str]:
        address = f"{services.environment['STORAGE_EMULATOR_HOST']}/storage/v1/b/covalent/o"
        with build_opener(ProxyHandler({})).open(address, timeout=60) as answer:
            return [item["name"] for item in json.load(answer).get("items", [])]

    return names


class Follower:
    """The command, while it runs."""

    def __init__(self, environment: Mapping[str, str], folder: Path, arguments: tuple[str, ...]):
        self._paths = folder / "stdout", folder / "stderr"
        files = [path.open("wb") for path in self._paths]
        self.process = subprocess.Popen(
            [*LOGS, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=files[0], stderr=files[1]
        )
        for file in files:
            file.close()

    @property
    def stdout(self) -> str:
        return self._paths[0].read_bytes().decode()

    @property
    def stderr(self) -> str:
        return self._paths[1].read_bytes().decode()

    def await_line(self, text: str) -> None:
        def is_there() -> bool:
            assert self.process.poll() is None or text in self.stdout, (self.stdout, self.stderr)
            return text in self.stdout

        wait_until(f"{text!r} is not in {self.stdout!r}, {self.stderr!r}", is_there)

    def wait(self) -> int:
        return self.process.wait(SECONDS)


@pytest.fixture
def follow(server: PrivateCovalentServer, tmp_path: Path) -> Iterator[Callable[..., Follower]]:
    made: list[Follower] = []

    def follow(*arguments: str, **variables: str) -> Follower:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Follower(server.environment | variables, folder, arguments))
        return made[-1]

    yield follow
    for follower in made:
        follower.process.kill()
        follower.process.wait()


@pytest.fixture(scope="module")
def shown(server: PrivateCovalentServer) -> Iterator[Callable[..., Ended]]:
    """Run the command to its end."""
    with CommandProcess(server.environment) as process:
        yield lambda *arguments: process.run("logs", *arguments)


def await_shown(shown: Callable[..., Ended], text: str, *arguments: str) -> Ended:
    """The command once it shows this text, run again until it does."""
    until = time.monotonic() + SECONDS
    while text not in (found := shown(*arguments)).stdout:
        assert time.monotonic() < until, (found.stdout, found.stderr)
    return found


def requests_in(names: list[str], dispatch_id: str) -> list[str]:
    return [name for name in names if f"/{dispatch_id}/" in name and name.endswith("/follow")]


def await_request(object_names: Callable[[], list[str]], dispatch_id: str) -> None:
    """Return once a follower has asked for the output: it does so after it has shown what there is."""
    wait_until("there is no request", lambda: requests_in(object_names(), dispatch_id) != [])


def test_what_runs_is_followed_to_its_end_and_each_line_comes_once(
    electrons: Electrons,
    follow: Callable[..., Follower],
    object_names: Callable[[], list[str]],
    left_of: Callable[..., list[str]],
) -> None:
    dispatch_id = electrons.ids["followed"]
    follower = follow(dispatch_id, "-f", "--both", LOGGING_EMULATOR_HOST="127.0.0.1:9")
    follower.await_line("talks[0] | followed line 2\n")
    await_request(object_names, dispatch_id)
    electrons.release("followed-first")
    follower.await_line("talks[0] | followed goes on\n")
    electrons.release("followed-last")
    assert follower.wait() == 0, follower.stderr
    assert follower.stdout == (
        "".join(f"talks[0] | followed {what}\n" for what in ("line 0", "line 1", "line 2", "goes on", "ends"))
        + "after[2] | after followed\n"
    )
    assert follower.stderr.count("talks[0] | careful\n") == 1
    assert "after[2] waits for other electrons" in follower.stderr
    assert "\x1b" not in follower.stderr
    assert left_of(dispatch_id) == []


def test_what_was_printed_is_there_while_it_runs_with_its_times_and_attempt(
    electrons: Electrons, shown: Callable[..., Ended]
) -> None:
    found = await_shown(shown, "line 2", electrons.ids["interrupted"], "--json", "--attempt", "0")
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert [line["line"] for line in lines] == [f"interrupted line {number}" for number in range(3)]
    assert {(line["attempt"], line["stream"], line["time"][-1]) for line in lines} == {(0, "stdout", "Z")}
    assert shown(electrons.ids["interrupted"], "--tail", "1").stdout == "interrupted line 2\n"
    recent = shown(electrons.ids["interrupted"], "--since", "1h", "--timestamps").stdout
    assert [line.split(" ", 1)[1] for line in recent.splitlines()] == [line["line"] for line in lines]
    missing = shown(electrons.ids["interrupted"], "--attempt", "2")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no output of an attempt 2" in missing.stderr
    for more in ((), ("-f",)):
        no_map = shown(electrons.ids["interrupted"], "--item", "1", *more)
        assert no_map.returncode == 1
        assert "no item 1, since it is not a map" in no_map.stderr


def test_a_sublattice_is_waited_for_and_its_dispatch_is_named(
    electrons: Electrons, follow: Callable[..., Follower]
) -> None:
    follower = follow(electrons.ids["nested"], "-f")
    told = "nest[0] is a sublattice: for its electrons run covalent-parallel logs "
    wait_until(f"no dispatch is named: {follower.stderr}", lambda: told in follower.stderr)
    inner = follow(follower.stderr.split(told)[1].split()[0], "-f")
    inner.await_line("nested line 2\n")
    assert follower.process.poll() is None
    electrons.release("nested-first")
    electrons.release("nested-last")
    assert (inner.wait(), follower.wait()) == (0, 0)
    assert inner.stdout.endswith("nested ends\n")


def test_ctrl_c_ends_the_following_alone(
    electrons: Electrons,
    follow: Callable[..., Follower],
    shown: Callable[..., Ended],
    object_names: Callable[[], list[str]],
) -> None:
    dispatch_id = electrons.ids["interrupted"]
    follower = follow(dispatch_id, "-f")
    follower.await_line("line 2\n")
    await_request(object_names, dispatch_id)
    follower.process.send_signal(signal.SIGINT)
    assert follower.wait() == 130
    assert "the dispatch goes on" in follower.stderr
    assert requests_in(object_names(), dispatch_id) == []
    electrons.release("interrupted-first")
    await_shown(shown, "goes on", dispatch_id)


def test_an_attempt_that_is_taken_away_and_the_next_one_are_both_there(
    electrons: Electrons, follow: Callable[..., Follower]
) -> None:
    dispatch_id = electrons.ids["preempted"]
    follower = follow(dispatch_id, "-f")
    follower.await_line("first attempt\n")
    # It ends its line, and is killed for that.
    electrons.release("preempted-first")
    follower.await_line("second attempt\n")
    electrons.release("preempted-last")
    assert follower.wait() == 0, follower.stderr
    assert follower.stdout == "first attempt\nhalf a line\nsecond attempt\n"
    assert "preempts[0]: attempt 1" in follower.stderr


def test_items_of_a_map_that_runs_have_their_own_output(
    electrons: Electrons, follow: Callable[..., Follower], shown: Callable[..., Ended]
) -> None:
    dispatch_id = electrons.ids["mapped"]
    electrons.await_waiting("map-last")
    found = await_shown(shown, "item 3", dispatch_id, "--item", "3")
    assert found.stdout == "item 3\n--- item 0 ---\n"
    # The task of the even ones has ended.
    whole = await_shown(shown, "dock[0] item 2 | item 2\n", dispatch_id).stdout.splitlines()
    assert sorted(whole) == sorted(
        f"dock[0] item {index} | {line}" for index in range(4) for line in (f"item {index}", "--- item 0 ---")
    )
    missing = shown(dispatch_id, "--item", "4")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "dock[0] has no item 4: it has the items 0 to 3" in missing.stderr
    of_one, of_all = follow(dispatch_id, "-f", "--item", "3"), follow(dispatch_id, "-f")
    of_one.await_line("item 3\n")
    of_all.await_line("item 2 |")
    electrons.release("map-last")
    assert (of_one.wait(), of_all.wait()) == (0, 0)
    assert of_one.stdout == "item 3\n--- item 0 ---\nends 3\n"
    totals = "dock[0] | 4 items: 4 returned; 2 tasks"
    assert sorted(of_all.stdout.splitlines()) == sorted([*whole, "dock[0] item 3 | ends 3", totals])
    assert shown(dispatch_id, "--item", "0").stdout == "item 0\n--- item 0 ---\n"


def test_what_delivers_nothing_is_read_from_cloud_logging(electrons: Electrons, shown: Callable[..., Ended]) -> None:
    electrons.await_waiting("kept-last")
    found = await_shown(shown, "to the log\n", electrons.ids["kept"])
    assert "in Cloud Logging" in found.stderr


def test_objects_of_others_are_skipped_with_a_warning(
    electrons: Electrons,
    shown: Callable[..., Ended],
    services: Emulator,
    object_names: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, address in services.environment.items():
        monkeypatch.setenv(name, address)
    dispatch_id = electrons.ids["cancelled"]
    await_shown(shown, "line 2\n", dispatch_id)
    call = next(name for name in object_names() if dispatch_id in name and name.endswith("/call"))
    store = ObjectStore.shared("local", "covalent")
    names = [f"{call.removesuffix('call')}live/0-0-{number}-0" for number in (1000, 1001)]
    for name in names:
        store.put(name, b"\x1b[2J not sealed")
    found = shown(dispatch_id)
    assert found.stdout == "".join(f"cancelled line {number}\n" for number in range(3))
    assert found.stderr.count("is skipped") == 1
    assert names[0] in found.stderr


def test_without_the_secret_it_is_said_what_is_missing(
    electrons: Electrons, shown: Callable[..., Ended], server: PrivateCovalentServer
) -> None:
    path = Path(server.environment["COVALENT_CONFIG_DIR"], "covalent-parallel.key")
    moved = path.rename(path.with_suffix(".moved"))
    try:
        found = shown(electrons.ids["cancelled"])
    finally:
        moved.rename(path)
    assert found.returncode == 0
    assert f"there is no secret of a server at {path}" in found.stderr
    assert "cancelled line 2\n" in found.stdout
    assert "in Cloud Logging" in found.stderr


def test_of_a_cancelled_electron_what_it_printed_is_there(
    electrons: Electrons, shown: Callable[..., Ended], server: PrivateCovalentServer, tmp_path: Path
) -> None:
    dispatch_id = electrons.ids["cancelled"]
    run_client(
        server,
        "import covalent as ct, sys\n"
        f"ct.cancel({dispatch_id!r})\n"
        f"ct.get_result({dispatch_id!r}, wait=True)\n"
        "open(sys.argv[1], 'w').write('null')\n",
        tmp_path,
    )
    found = shown(dispatch_id, "-f")
    assert found.returncode == 0
    assert found.stdout == "".join(f"cancelled line {number}\n" for number in range(3))
    assert "was cancelled" in shown(dispatch_id, "--stderr").stdout


def test_a_server_that_does_not_answer_ends_the_command_soon(
    electrons: Electrons, shown: Callable[..., Ended], server: PrivateCovalentServer
) -> None:
    os.kill(server.process_id, signal.SIGSTOP)
    try:
        found = shown(electrons.ids["kept"])
    finally:
        os.kill(server.process_id, signal.SIGCONT)
    assert found.returncode == 0
    assert f"Covalent's server at {server.address}" in found.stderr
