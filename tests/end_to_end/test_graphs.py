"""Graphs of more than one electron, and what an executor's options do to a dispatch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

SOURCE = """
@ct.electron(executor="gcpbatch")
def double(number):
    return 2 * number

@ct.electron(executor="gcpbatch")
def total(numbers):
    return sum(numbers)

@ct.electron(executor="gcpbatch")
def joined(table):
    return sorted(table.items())

@ct.electron(executor="gcpbatch")
def named(first, *, second="?"):
    return first + second

@ct.electron(executor="gcpbatch")
@ct.lattice(executor="gcpbatch", workflow_executor="gcpbatch")
def inner(number):
    return double(double(number))

@workflow(arguments=(3,))
def two_in_sequence(number):
    return double(double(number))

@workflow(arguments=(2,))
def list_argument(number):
    return total([double(number), 5, double(1)])

@workflow(arguments=(2,))
def dict_argument(number):
    return joined({"b": double(number), "a": 1})

@workflow(arguments=("1",))
def keyword_argument(text):
    return named(text, second="2")

@workflow(arguments=(2,))
def sublattice(number):
    return inner(number)

@workflow(arguments=([1, 2, 3],))
def executor_of_the_lattice(numbers):
    return total(numbers)
"""

KEEPING = """
@alone(executor=ct.executor.GCPBatchExecutor(keep_objects=True, labels={"team": "test"}, environment={"COLOUR": "red"}))
def kept():
    import os
    return [os.environ["COLOUR"], [name for name in os.environ if name.startswith("COVALENT_PARALLEL")]]
"""


@pytest.fixture(scope="module")
def reports(run_workflows: Callable[[str], Mapping[str, Any]]) -> Mapping[str, Any]:
    return run_workflows(SOURCE + KEEPING)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("two_in_sequence", 12),
        ("list_argument", 11),
        ("dict_argument", [["a", 1], ["b", 4]]),
        ("keyword_argument", "12"),
        ("sublattice", 8),
        ("executor_of_the_lattice", 6),
    ],
)
def test_a_graph_gives_the_value_of_a_local_run(reports: Mapping[str, Any], name: str, value: object) -> None:
    assert reports[name].status == "COMPLETED", reports[name]
    assert reports[name].value == value


def test_the_electron_has_its_environment_and_none_of_the_jobs_own(reports: Mapping[str, Any]) -> None:
    assert reports["kept"].value == ["red", []]


def test_keep_objects_leaves_call_and_outcome_in_the_bucket(
    reports: Mapping[str, Any], object_names: Callable[[], list[str]]
) -> None:
    folder = f"covalent-parallel/{reports['kept'].dispatch_id}/0/"
    kept = [name.rsplit("/", 1)[1] for name in object_names() if name.startswith(folder)]
    assert sorted(kept) == ["call", "outcome-0"]


def test_nothing_else_is_left_of_a_dispatch(reports: Mapping[str, Any], left_of: Callable[..., list[str]]) -> None:
    assert left_of(*(report.dispatch_id for name, report in reports.items() if name != "kept")) == []
