"""`covalent-parallel fetch` after dispatches on a real server: what is in the bucket comes out as files, and stays."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle
import pytest

if TYPE_CHECKING:
    from conftest import Report

    from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer

FETCH = (sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "fetch")

# Their objects stay in the bucket, as they do where Covalent did not get the outcomes.
WORKFLOWS = """
from covalent_parallel_plugin import GCPBatchExecutor, pmap

kept = GCPBatchExecutor(keep_objects=True, retries=1, max_parallel=3)

def returns(x):
    import sys
    print("out of", x)
    print("err", file=sys.stderr)
    return {"x": x}

def raises():
    print("so far")
    raise LookupError("not here")

def dies():
    import os
    print("last words", flush=True)
    os._exit(3)

@workflow()
def electrons():
    return ct.electron(returns, executor=kept)(7)

@workflow()
def raised():
    return ct.electron(raises, executor=kept)()

@workflow()
def died():
    return ct.electron(dies, executor=kept)()

@pmap(executor=kept)
def item(index):
    import os
    print("item", index, flush=True)
    if index == 5:
        raise ValueError(f"no {index}")
    if index == 7:
        os._exit(4)
    return index * index

@workflow()
def mapped():
    return item(range(20))
"""


@dataclass(frozen=True)
class Fetched:
    """How the command ended, and the files that it wrote, by their names."""

    status: int
    stdout: str
    stderr: str
    files: Mapping[str, bytes]


@pytest.fixture(scope="module")
def reports(run_workflows: Callable[[str], Mapping[str, Report]]) -> Mapping[str, Report]:
    return run_workflows(WORKFLOWS)


@pytest.fixture
def fetch(covalent_server: PrivateCovalentServer, tmp_path: Path) -> Callable[..., Fetched]:
    def fetch(*arguments: str) -> Fetched:
        out = tmp_path / "out"
        ended = subprocess.run(
            [*FETCH, *arguments, "--out", str(out)],
            env=covalent_server.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        found = [path for path in out.rglob("*") if path.is_file()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in found} <= {0o600}
        assert {stat.S_IMODE(path.stat().st_mode) for path in [*tmp_path.glob("out"), *out.rglob("*/")]} <= {0o700}
        files = {str(path.relative_to(out)): path.read_bytes() for path in found}
        return Fetched(ended.returncode, ended.stdout, ended.stderr, files)

    return fetch


def test_a_value_and_what_was_printed(reports: Mapping[str, Report], fetch: Callable[..., Fetched]) -> None:
    dispatch_id = reports["electrons"].dispatch_id
    fetched = fetch(dispatch_id)
    assert fetched.status == 0, fetched.stderr
    assert set(fetched.files) == {"node-0.pickle", "node-0.stdout.txt", "node-0.stderr.txt"}
    assert cloudpickle.loads(fetched.files["node-0.pickle"]) == {"x": 7}
    assert (fetched.files["node-0.stdout.txt"], fetched.files["node-0.stderr.txt"]) == (b"out of 7\n", b"err\n")
    assert f"value of {len(fetched.files['node-0.pickle'])} bytes" in fetched.stdout
    assert f"in Python {sys.version_info[0]}.{sys.version_info[1]} with" in fetched.stdout
    assert f"`covalent-parallel clean --dispatch {dispatch_id} --yes`" in fetched.stdout


def test_nothing_is_deleted_and_nothing_is_overwritten(
    reports: Mapping[str, Report], fetch: Callable[..., Fetched]
) -> None:
    first, again = fetch(reports["electrons"].dispatch_id, "0"), fetch(reports["electrons"].dispatch_id, "0")
    assert (first.status, again.status) == (0, 1)
    assert again.files == first.files
    assert "has node-0.pickle, node-0.stderr.txt, node-0.stdout.txt already" in again.stderr


def test_an_exception_with_its_traceback(reports: Mapping[str, Report], fetch: Callable[..., Fetched]) -> None:
    fetched = fetch(reports["raised"].dispatch_id)
    assert (fetched.status, set(fetched.files)) == (0, {"node-0.error.txt", "node-0.stdout.txt"})
    assert fetched.files["node-0.error.txt"].startswith(b"Traceback (most recent call last):\n")
    assert fetched.files["node-0.error.txt"].endswith(b"LookupError: not here\n")
    assert "raised LookupError" in fetched.stdout


def test_a_process_that_ended_and_its_last_words(reports: Mapping[str, Report], fetch: Callable[..., Fetched]) -> None:
    fetched = fetch(reports["died"].dispatch_id)
    assert fetched.status == 0
    assert fetched.files["node-0.error.txt"] == b"killed its process (exit status 3)\n"
    assert fetched.files["node-0.stdout.txt"] == b"last words\n"


def test_the_items_of_a_map_by_their_index(reports: Mapping[str, Report], fetch: Callable[..., Fetched]) -> None:
    assert reports["mapped"].status == "FAILED"
    fetched = fetch(reports["mapped"].dispatch_id)
    assert fetched.status == 0, fetched.stderr
    values = {name: cloudpickle.loads(data) for name, data in fetched.files.items() if name.endswith(".pickle")}
    assert values == {f"node-0/item-{index:05}.pickle": index * index for index in range(20) if index not in (5, 7)}
    assert b"ValueError: no 5" in fetched.files["node-0/item-00005.error.txt"]
    assert b"killed its process (exit status 4)" in fetched.files["node-0/item-00007.error.txt"]
    assert set(fetched.files) - set(values) == {
        "node-0/item-00005.error.txt", "node-0/item-00007.error.txt", "node-0/stdout.txt"
    }  # fmt: skip
    for index in range(20):
        assert f"--- item {index} ---\nitem {index}\n".encode() in fetched.files["node-0/stdout.txt"]
    assert "18 of 20 values of a map, 2 errors" in fetched.stdout


def test_one_node_of_several_is_fetched_alone(reports: Mapping[str, Report], fetch: Callable[..., Fetched]) -> None:
    fetched = fetch(reports["electrons"].dispatch_id, "3")
    assert (fetched.status, fetched.files) == (1, {})
    assert f"has nothing of node 3 of dispatch {reports['electrons'].dispatch_id}" in fetched.stderr
