"""`wait` under Covalent's server: the value of a dispatch, or the error that it ended with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer

SECONDS = 300

# Dispatches all at once, and then waits for each of them
SCRIPT = """
import json, sys, time, traceback
import covalent as ct
from covalent_parallel_plugin import pmap, wait

batch = {"executor": "gcpbatch"}

@ct.electron(**batch)
def double(x):
    return {"double": 2 * x}

@ct.electron(**batch)
def read(path):
    return open(path).read()

class Mine(Exception):
    pass

@ct.electron(**batch)
def mine():
    raise Mine("no data")

@ct.electron(**batch)
def leaves():
    import os
    os._exit(3)

@ct.electron(executor="local")
def divides(x):
    return 1 / x

@pmap(executor="gcpbatch")
def root(x):
    return {1: 2}[x]

@ct.electron(**batch)
def slow_to_fail(x):
    import time
    time.sleep(3)
    raise ValueError(x)

@ct.electron(**batch)
def sleeps():
    import time
    time.sleep(600)

@ct.electron(**batch)
def none():
    return None

@ct.electron(**batch)
def raised_value():
    return ValueError("a value, and not raised")

@ct.electron(executor="local")
@ct.lattice
def inner(path):
    return read(path)

@ct.lattice
def both(x):
    # The one that fails first is the first that is raised
    return [slow_to_fail(x), read("/no/such/file")]

lattices = {
    "value": (lambda x: double(x), 21),
    "none": (lambda: none(),),
    "raised_value": (lambda: raised_value(),),
    "builtin": (lambda path: read(path), "/no/such/file"),
    "own_class": (lambda: mine(),),
    "killed": (lambda: leaves(),),
    "local": (lambda x: divides(x), 0),
    "map": (lambda items: root(items), [1, 2, 1, 3]),
    "sublattice": (lambda path: inner(path), "/no/such/file"),
    "both": (both, 7),
    "cancelled": (lambda: sleeps(),),
}
ids = {
    name: ct.dispatch(function if function is both else ct.lattice(function))(*given)
    for name, (function, *given) in lattices.items()
}
reports = {}

def report(name, *arguments):
    found = reports[name] = {"dispatch_id": ids.get(name, "")}
    begun = time.monotonic()
    try:
        found["value"] = repr(wait(*arguments))
    except Exception as error:
        found["type"], found["text"] = type(error).__name__, str(error)
        found["args"] = repr(error.args)
        found["bases"] = [kind.__name__ for kind in type(error).__mro__]
        found["printed"] = "".join(traceback.format_exception(error))
        if hasattr(error, "errors"):
            found["items"] = {index: [type(one).__name__, str(one.__cause__)] for index, one in error.errors.items()}
    found["seconds"] = time.monotonic() - begun

report("timeout", ids["cancelled"], 0)
report("unknown", "no-such-dispatch")
report("not_an_id", ct.dispatch)
ct.cancel(ids["cancelled"])
for name, dispatch_id in ids.items():
    report(name, dispatch_id)
report("again", ids["value"])
with open(sys.argv[1], "w") as file:
    json.dump(reports, file)
"""


@pytest.fixture(scope="module")
def reports(run_client: Callable[[str], Any]) -> Any:
    """What `wait` came to, by the lattice's name."""
    return run_client(SCRIPT)


def test_a_value_is_returned_whatever_it_is(reports: Any) -> None:
    assert reports["value"]["value"] == reports["again"]["value"] == "{'double': 42}"
    assert reports["none"]["value"] == "None"
    assert reports["raised_value"]["value"] == "ValueError('a value, and not raised')"


def test_a_builtin_exception_is_raised_as_it_is_with_the_remote_traceback(reports: Any) -> None:
    found = reports["builtin"]
    assert found["type"] == "FileNotFoundError"
    assert found["args"] == "(2, 'No such file or directory')"
    assert "return open(path).read()" in found["printed"], found["printed"]
    assert f"electron read (node 0) of dispatch {found['dispatch_id']} failed" in found["printed"]
    # None of this package's frames; Python 3.10 shows that of `wait`
    assert found["printed"].count("covalent_parallel_plugin/") == (sys.version_info < (3, 11))


def test_another_exception_is_an_electron_error_with_the_remote_traceback(reports: Any) -> None:
    found = reports["own_class"]
    assert found["type"] == "ElectronError"
    assert found["text"].endswith("Mine: no data")
    assert 'raise Mine("no data")' in found["printed"]


def test_an_electron_that_left_python_raises_the_error_of_its_job(reports: Any) -> None:
    found = reports["killed"]
    assert found["type"] == "TaskKilledError" and "exit status 3" in found["text"]


def test_an_electron_on_another_executor_raises_what_covalent_keeps(reports: Any) -> None:
    found = reports["local"]
    assert found["type"] == "DispatchError" and "RuntimeError" in found["bases"]
    assert "divides (node 0) failed on the executor local" in found["text"]
    assert "ZeroDivisionError: division by zero" in found["text"]


def test_a_map_raises_an_error_for_each_item_with_its_traceback(reports: Any) -> None:
    found = reports["map"]
    assert found["type"] == "MapError" and "2 of 4 items" in found["text"]
    assert [kind for kind, _ in found["items"].values()] == ["KeyError", "KeyError"]
    assert list(found["items"]) == ["1", "3"]
    assert all("return {1: 2}[x]" in cause for _, cause in found["items"].values())


def test_a_failure_in_a_sublattice_names_the_electron_inside(reports: Any) -> None:
    found = reports["sublattice"]
    assert found["type"] == "FileNotFoundError"
    assert "electron read (node 0) of sublattice inner (node 0) of dispatch " in found["printed"], found["printed"]


def test_of_several_failures_the_first_is_raised_and_the_others_are_named(reports: Any) -> None:
    found = reports["both"]
    assert found["type"] in ("FileNotFoundError", "ValueError")
    other = {"FileNotFoundError": "slow_to_fail (node 0)", "ValueError": "read (node "}[found["type"]]
    # Covalent may have ended the dispatch before the other one had failed
    assert "also failed" not in found["printed"] or other in found["printed"]


def test_a_cancelled_dispatch_raises_an_error_that_names_its_electrons(reports: Any) -> None:
    found = reports["cancelled"]
    assert found["type"] == "DispatchCancelledError"
    assert f"dispatch {found['dispatch_id']} was cancelled" in found["text"]
    assert "sleeps (node 0)" in found["text"]


def test_a_dispatch_that_is_not_there_or_has_not_ended_is_said_so(reports: Any) -> None:
    assert reports["timeout"]["type"] == "TimeoutError" and "it goes on" in reports["timeout"]["text"]
    assert "ct.cancel(" in reports["timeout"]["text"]
    assert reports["unknown"]["type"] == "MissingResourceError"
    assert "knows no dispatch no-such-dispatch" in reports["unknown"]["text"]
    assert reports["cancelled"]["dispatch_id"] in reports["unknown"]["text"]
    assert reports["not_an_id"]["type"] == "SettingsError"
    assert "call it with the workflow's arguments" in reports["not_an_id"]["text"]


@pytest.fixture
def run_script(
    covalent_server: PrivateCovalentServer, tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script as a client of the private server, with more in its environment."""

    def run(source: str, **environment: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "script.py"
        script.write_text(source)
        return subprocess.run(
            [sys.executable, str(script)],
            env=covalent_server.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return run


FAILING = """
import covalent as ct
from covalent_parallel_plugin import wait

@ct.electron(executor="gcpbatch")
def fails(x):
    raise ValueError(f"no {x}")

@ct.lattice
def workflow(x):
    return fails(x)

if __name__ == "__main__":
    print(wait(ct.dispatch(workflow)("data")))
"""


def test_a_script_whose_electron_failed_ends_with_its_traceback_and_status_1(
    run_script: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    ended = run_script(FAILING)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.count("ValueError: no data") == 2
    assert 'raise ValueError(f"no {x}")' in ended.stderr
    assert "electron fails (node 0) of dispatch " in ended.stderr
    assert "electrons done" not in ended.stderr


def test_a_server_that_is_not_there_is_named_with_the_remedy(
    run_script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    from covalent_parallel_plugin.covalent_api.private_server import private_environment, write_configuration

    write_configuration(tmp_path, 9, {})
    environment = private_environment({}, tmp_path)
    ended = run_script("import covalent, covalent_parallel_plugin as c; c.wait('a-b')", **environment)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert "Covalent's server at http://127.0.0.1:9 cannot be asked" in last and "covalent start" in last
