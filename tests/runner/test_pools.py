"""Functions and classes of a script in process pools and caches, in an electron."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

SCRIPT = Path(__file__).with_name("script_with_pools.py")
POOLS = {
    "pool": [1, 4, 9],
    "executor": [1, 4, 9],
    "initializer": [11, 12],
    "executor_initializer": [11, 12],
    "process": [2, True],
    "pool_after_forks": [1, 11, 12],
    "dispatched": ["point", "object", "point", 4, "by 1", "by an object"],
    "classes": [2, True],
    "cached_in_a_pool": [55, 6765],
    "bodies_of_classes": [4, 3, 4],
}


@pytest.fixture(scope="module")
def electrons() -> dict[str, bytes]:
    """The electrons of the script as it would dispatch them."""
    printed = subprocess.run([sys.executable, SCRIPT], capture_output=True, check=True, text=True).stdout
    found: dict[str, bytes] = pickle.loads(bytes.fromhex(printed))  # noqa: S301  # its own
    return found


def result(make_task: Any, electron: bytes, argument: object) -> Any:
    task = make_task(electron, argument)
    # Of a forkserver's socket the path may have 107 bytes.
    with tempfile.TemporaryDirectory() as folder:
        task.run(TMPDIR=folder)
    outcome = task.outcome()
    assert outcome.raised is None, outcome.raised
    return cloudpickle.loads(outcome.pickle)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("name", POOLS)
def test_functions_of_the_script_work_in_process_pools(
    make_task: Any, electrons: dict[str, bytes], name: str, method: str
) -> None:
    assert result(make_task, electrons[name], method) == POOLS[name]


def test_cached_functions_and_methods_work_and_cache(make_task: Any, electrons: dict[str, bytes]) -> None:
    assert result(make_task, electrons["cached"], "") == [832040, 31, 2, 2]


def test_instances_of_the_scripts_classes_can_be_pickled(make_task: Any, electrons: dict[str, bytes]) -> None:
    assert result(make_task, electrons["pickled"], "") == 7


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_cannot_be_sent_to_a_pool_is_refused_with_the_remedy(
    make_task: Any, electrons: dict[str, bytes], method: str
) -> None:
    told = result(make_task, electrons["refused"], method)
    assert "<lambda> cannot be sent to a worker process" in told
    assert "give it what it needs as arguments" in told


def test_arguments_whose_classes_the_electron_does_not_name_can_be_pickled(
    make_task: Any, electrons: dict[str, bytes]
) -> None:
    arguments = cloudpickle.loads(electrons["ARGUMENTS"])
    assert result(make_task, electrons["pickled_arguments"], arguments) == [True] * 4


def test_what_has_caches_can_be_returned(make_task: Any, electrons: dict[str, bytes]) -> None:
    shape, area, table, fibonacci, kind, first = result(make_task, electrons["returned"], "")
    assert [shape.area, area, table.row(1), fibonacci(10), kind(shape), first.value] == [4, 4, 2, 55, "object", 1]


def test_what_did_not_come_along_is_missing_with_the_remedy(make_task: Any, electrons: dict[str, bytes]) -> None:
    told = result(make_task, electrons["unnamed"], "moved")
    assert told.startswith("module '__main__' has no attribute 'moved'")
    assert "name it in the electron" in told


@pytest.mark.parametrize("text", ["hints", "moved", "import"])
def test_what_only_text_names_is_missing_with_the_remedy(
    make_task: Any, electrons: dict[str, bytes], text: str
) -> None:
    task = make_task(electrons["in_text"], text)
    task.run()
    raised = task.outcome().raised
    assert raised.type_name in ("NameError", "ImportError")
    assert "name it in the electron" in raised.traceback
