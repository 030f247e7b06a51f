"""Covalent's hooks run in the task: DepsBash, DepsCall and DepsPip."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

SOURCE = """
def five():
    return 5

def tidy():
    print("tidied up")

def breaks():
    raise RuntimeError("the hook's own complaint")

@alone(deps_bash=["echo made by bash > note"])
def bash():
    return open("note").read()

@alone(deps_bash=["echo complaint of the shell >&2; exit 4"])
def failing_bash():
    return 1

@ct.electron(executor="gcpbatch", call_before=[ct.DepsCall(five, retval_keyword="number")])
def before(number=0):
    return number

@workflow()
def call_before():
    return before()

@alone(call_after=[ct.DepsCall(tidy)])
def call_after():
    print("worked")
    return 1

@alone(call_before=[ct.DepsCall(breaks)])
def failing_call():
    return 1

@alone(deps_pip=ct.DepsPip(packages=["%(wheel)s"]))
def pip():
    import tiny_package_of_a_test
    return tiny_package_of_a_test.ANSWER

@alone(deps_pip=ct.DepsPip(packages=["/no/such/folder/package.whl"]))
def failing_pip():
    return 1
"""


def make_wheel(folder: Path) -> Path:
    """A package that no environment has, and that pip installs without an index."""
    name = "tiny_package_of_a_test"
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", "ANSWER = 42\n")
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return wheel


@pytest.fixture(scope="module")
def reports(
    run_workflows: Callable[[str], Mapping[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Any]:
    wheel = make_wheel(tmp_path_factory.mktemp("wheel"))
    return run_workflows(SOURCE.replace("%(wheel)s", str(wheel)))


def test_a_bash_command_runs_before_the_electron_in_its_folder(reports: Mapping[str, Any]) -> None:
    assert reports["bash"].value == "made by bash\n"


def test_a_function_before_the_electron_gives_it_a_keyword(reports: Mapping[str, Any]) -> None:
    assert reports["call_before"].value == 5


def test_a_function_after_the_electron_runs_after_it(reports: Mapping[str, Any]) -> None:
    assert reports["call_after"].value == 1
    assert reports["call_after"].electrons["call_after"].stdout == "worked\ntidied up\n"


def test_a_package_that_pip_installs_can_be_imported(reports: Mapping[str, Any]) -> None:
    assert reports["pip"].value == 42, reports["pip"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("failing_bash", "complaint of the shell"),
        ("failing_call", "RuntimeError: the hook's own complaint"),
        ("failing_pip", "ERROR:"),
        ("failing_pip", "/no/such/folder/package.whl"),
    ],
)
def test_a_failing_hook_fails_the_electron_with_the_tools_own_words(
    reports: Mapping[str, Any], name: str, said: str
) -> None:
    node = reports[name].electrons[name]
    assert node.status == "FAILED"
    assert said in node.stderr
