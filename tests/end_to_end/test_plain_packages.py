"""What electrons find where tasks are processes: what the stock image has, and their requirements, installed once."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import own_covalent
import pytest

from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
from covalent_parallel_plugin.emulator import Emulator, ProcessRuntime
from covalent_parallel_plugin.emulator.model.user_cache import UserCache

own_covalent.load()

SECONDS = 300
WORKFLOW = """
import json
import sys
import covalent as ct
from covalent_parallel_plugin import GCPBatchExecutor

requirement = GCPBatchExecutor(requirements=["newcomers-package"])

@ct.electron(executor="gcpbatch")
def without():
    import grpc
    return "imported"

@ct.electron(executor="gcpbatch")
def standard_library():
    import json, sqlite3, os
    return sorted(name for name in os.environ if name.startswith("COVALENT_PARALLEL"))

@ct.electron(executor=requirement)
def first():
    import newcomers_package
    return newcomers_package.__file__

@ct.electron(executor=requirement)
def second(path):
    import newcomers_package
    return [path, newcomers_package.__file__]

ids = {}
for name, function in {
    "without": lambda: without(),
    "standard_library": lambda: standard_library(),
    "requirements": lambda: second(first()),
}.items():
    ids[name] = ct.dispatch(ct.lattice(function))()
found = {}
for name, dispatch_id in ids.items():
    result = ct.get_result(dispatch_id, wait=True)
    node = result.get_node_result(0)
    found[name] = [str(result.status), result.result, (node["error"] or "") + (node["stderr"] or "")]
print(json.dumps(found))
"""


def wheel(folder: Path) -> None:
    """Write a package that no index has."""
    folder.mkdir()
    about = "newcomers_package-1.0.dist-info"
    with zipfile.ZipFile(folder / "newcomers_package-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("newcomers_package/__init__.py", "")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: newcomers-package\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    home = tmp_path_factory.mktemp("plain")
    wheel(home / "wheels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(home / "wheels"))
        runtime = ProcessRuntime(cache=UserCache({"XDG_CACHE_HOME": str(home / "cache")}))
        section = {
            "project_id": "local",
            "bucket_name": "covalent",
            "poll_freq": 0.5,
            "cache_dir": str(home / "values"),
        }
        with (
            Emulator(runtime=runtime) as emulator,
            PrivateCovalentServer(
                home / "covalent", emulator.environment, configuration={"executors.gcpbatch": section}
            ) as server,
        ):
            client = subprocess.run(
                [sys.executable, "-c", WORKFLOW],
                env=server.environment,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            assert client.returncode == 0, client.stderr
            yield {**json.loads(client.stdout.splitlines()[-1]), "cache": home / "cache" / "covalent-parallel"}


def test_a_package_of_the_emulators_own_environment_is_missing_as_on_google_with_the_remedy(
    found: dict[str, Any],
) -> None:
    status, _, text = found["without"]
    assert status == "FAILED"
    for words in ("No module named 'grpc'", "requirements"):
        assert words in text


def test_the_standard_library_is_there_and_nothing_of_the_runners_own_in_the_environment(
    found: dict[str, Any],
) -> None:
    assert found["standard_library"][:2] == ["COMPLETED", []]


def test_requirements_are_installed_once_for_electrons_that_have_the_same(found: dict[str, Any]) -> None:
    status, (one, other), _ = found["requirements"]
    assert status == "COMPLETED" and one == other
    assert Path(one).is_relative_to(found["cache"] / "packages")
