"""Many workflows at once on the private Covalent server, and a look at what they left in the bucket."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, build_opener

import own_covalent
import pytest

if TYPE_CHECKING:
    from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
    from covalent_parallel_plugin.emulator import Emulator

own_covalent.load()

CLIENT_SECONDS = 600
DELETED_SECONDS = 120.0

PRELUDE = '''\
import sys
import covalent as ct

workflows = {}

def workflow(check=lambda value: value, arguments=()):
    """Make a function a lattice and add it; `check` makes JSON of its value."""
    def add(function):
        workflows[function.__name__] = (ct.lattice(function), arguments, check)
        return function
    return add

def alone(check=lambda value: value, **options):
    """Add a lattice of this one function, whose electron runs on the executor by its name."""
    def add(function):
        electron = ct.electron(function, **{"executor": "gcpbatch", **options})
        workflows[function.__name__] = (ct.lattice(lambda: electron()), (), check)
        return function
    return add
'''

CONCLUSION = """
if __name__ == "__main__":
    import json as _json
    _ids = {name: ct.dispatch(lattice)(*arguments) for name, (lattice, arguments, _) in workflows.items()}
    _reports = {}
    for _name, _id in _ids.items():
        _result = ct.get_result(_id, wait=True)
        _status = str(_result.status)
        _reports[_name] = {
            "dispatch_id": _id,
            "status": _status,
            "value": workflows[_name][2](_result.result) if _status == "COMPLETED" else None,
            "electrons": {
                node["node_name"]: {
                    "status": str(node["status"]),
                    "stdout": node["stdout"],
                    "stderr": node["stderr"],
                    "error": node["error"],
                }
                for node in _result.get_all_node_results()
            },
        }
    with open(sys.argv[1], "w") as _file:
        _json.dump(_reports, _file)
"""


@dataclass(frozen=True)
class Electron:
    """One node of a finished dispatch."""

    status: str
    stdout: str
    stderr: str
    error: str | None


@dataclass(frozen=True)
class Report:
    """A finished dispatch; `value` is what the workflow's `check` made of its value."""

    dispatch_id: str
    status: str
    value: Any
    electrons: Mapping[str, Electron]


@pytest.fixture(scope="session")
def run_client(
    covalent_server: PrivateCovalentServer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Any]:
    """Run source as a client of the private server; it leaves JSON in the file that its first argument names."""

    def run(source: str) -> Any:
        folder = tmp_path_factory.mktemp("client")
        script, answer = folder / "client.py", folder / "answer.json"
        script.write_text(source)
        client = subprocess.run(
            [sys.executable, str(script), str(answer)],
            env=covalent_server.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
            check=False,
        )
        if not answer.exists():
            pytest.fail(
                f"the client ended with status {client.returncode}\n{client.stdout}\n{client.stderr}\n"
                f"--- server\n{covalent_server.log_tail()}"
            )
        return json.loads(answer.read_text())

    return run


@pytest.fixture(scope="session")
def run_workflows(run_client: Callable[[str], Any]) -> Callable[[str], Mapping[str, Report]]:
    """Dispatch all that the source adds with `workflow` and `alone`, together, and wait for their ends."""

    def run(source: str) -> Mapping[str, Report]:
        return {
            name: Report(
                **{**report, "electrons": {key: Electron(**node) for key, node in report["electrons"].items()}}
            )
            for name, report in run_client(f"{PRELUDE}\n{source}\n{CONCLUSION}").items()
        }

    return run


@pytest.fixture
def services(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The emulator, with this process's environment pointing at it."""
    for name, address in emulator.environment.items():
        monkeypatch.setenv(name, address)
    return emulator


@pytest.fixture
def object_names(emulator: Emulator) -> Callable[[], list[str]]:
    """The names of all objects in the bucket."""

    def names() -> list[str]:
        address = f"{emulator.environment['STORAGE_EMULATOR_HOST']}/storage/v1/b/covalent/o"
        with build_opener(ProxyHandler({})).open(address, timeout=60) as answer:
            return [item["name"] for item in json.load(answer).get("items", [])]

    return names


@pytest.fixture
def left_of(object_names: Callable[[], list[str]]) -> Callable[..., list[str]]:
    """The names of the objects that stay of dispatches; what is to be deleted in a while is waited for."""

    def left(*dispatch_ids: str) -> list[str]:
        deadline = time.monotonic() + DELETED_SECONDS
        while True:
            names = [name for name in object_names() if not set(dispatch_ids).isdisjoint(name.split("/"))]
            if not names or time.monotonic() > deadline:
                return names
            time.sleep(0.2)

    return left


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"
