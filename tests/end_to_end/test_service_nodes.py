"""Covalent's own nodes run beside its server: a dispatch needs as many Batch jobs as it has electrons of the user's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from covalent_parallel_plugin.cloud.batch import BatchApi, connect

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

SOURCE = """
class Pair:
    def __init__(self, left, right):
        self.left, self.right = left, right

everywhere = {"executor": "gcpbatch", "workflow_executor": "gcpbatch"}
on_batch = ct.executor.GCPBatchExecutor(service_nodes="batch")

@ct.electron(executor="gcpbatch")
def number(value):
    return value

@ct.electron(executor="gcpbatch")
def pair(left, right):
    return Pair(left, right)

@ct.electron(executor="gcpbatch")
def table():
    return {"a": 1, "b": [2, 3]}

@ct.electron(executor="gcpbatch")
def told(value, more=None):
    # An image without Covalent will do.
    assert "covalent" not in sys.modules
    return repr((value, more))

def add(function, **options):
    workflows[function.__name__] = (ct.lattice(function, **options), (), lambda value: value)
    return function

def everything():
    one, found = number(1), table()
    both = pair(one, found["a"])
    first, second = number([7, 8])
    return told(
        [one, [found["b"][1], [both.left]], {"k": one, "l": [first]}, (2, second), []],
        more={"sum": one + 2, "product": 3 * both.right, "none": {}, 5: found},
    )

def returned():
    one, found = number(1), table()
    return {"list": [one, (one - 3, 2)], "item": found["a"] / 2}

add(everything, **everywhere)
add(returned, **everywhere)

@ct.electron(executor=on_batch)
def number_on_batch(value):
    return value

@ct.electron(executor=on_batch)
def told_on_batch(value):
    return repr(value)

@add
def all_on_batch():
    return told_on_batch([number_on_batch({"a": 1})["a"]])

@ct.electron(executor="gcpbatch", deps_bash=["echo made by bash > note"])
def hooked():
    return [open("note").read()]

@add
def item_with_hooks():
    return hooked()[0]

@ct.electron(executor="gcpbatch")
def made_of_a_module_of_the_image():
    import os, sys
    with open("module_of_the_image.py", "w") as file:
        file.write("class Thing:\\n    part = 7\\n")
    sys.path.insert(0, os.getcwd())
    import module_of_the_image
    return [module_of_the_image.Thing()]

@add
def item_that_cannot_be_loaded():
    return made_of_a_module_of_the_image()[0]

@add
def missing_key():
    return table()["c"]

@ct.electron(executor="gcpbatch")
def _auto_list_node(*values):
    return "the user's"

@add
def name_of_a_node():
    return _auto_list_node(1, 2)
"""


@pytest.fixture(scope="module")
def reports(run_workflows: Callable[[str], Mapping[str, Any]]) -> Mapping[str, Any]:
    return run_workflows(SOURCE)


@pytest.fixture(scope="module")
def jobs(reports: Mapping[str, Any], emulator: Emulator) -> Mapping[str, int]:
    """How many jobs each workflow took."""

    async def names() -> list[str]:
        batch = BatchApi(connect(emulator.environment["BATCH_EMULATOR_HOST"]))
        try:
            return [job.name for job in await batch.list("projects/local/locations/us-east1")]
        finally:
            await batch.close()

    found = asyncio.run(names())
    return {name: sum(report.dispatch_id in job for job in found) for name, report in reports.items()}


EVERYTHING = (
    [1, [3, [1]], {"k": 1, "l": [7]}, [2, 8], []],
    {"sum": 3, "product": 3, "none": {}, 5: {"a": 1, "b": [2, 3]}},
)


@pytest.mark.parametrize(
    ("name", "value", "electrons"),
    [
        ("everything", repr(EVERYTHING), 5),
        ("returned", {"list": [1, [-2, 2]], "item": 0.5}, 2),
        ("name_of_a_node", "the user's", 1),
    ],
)
def test_a_graph_takes_one_job_for_each_electron_of_the_users(
    reports: Mapping[str, Any], jobs: Mapping[str, int], name: str, value: object, electrons: int
) -> None:
    assert reports[name].status == "COMPLETED", reports[name]
    assert (reports[name].value, jobs[name]) == (value, electrons)


def test_all_nodes_go_to_batch_where_that_is_asked_for(reports: Mapping[str, Any], jobs: Mapping[str, int]) -> None:
    assert reports["all_on_batch"].status == "COMPLETED", reports["all_on_batch"]
    # Two electrons, the argument of each that is a list or dict (a dict's keys and values are lists), and an item
    assert (reports["all_on_batch"].value, jobs["all_on_batch"]) == ("[1]", 7)


def test_a_node_with_hooks_goes_to_batch(reports: Mapping[str, Any], jobs: Mapping[str, int]) -> None:
    assert reports["item_with_hooks"].status == "COMPLETED", reports["item_with_hooks"]
    assert (reports["item_with_hooks"].value, jobs["item_with_hooks"]) == ("made by bash\n", 2)


def test_a_node_that_lacks_a_module_goes_to_batch(reports: Mapping[str, Any], jobs: Mapping[str, int]) -> None:
    # Where that module is not there either.
    node = reports["item_that_cannot_be_loaded"].electrons[":made_of_a_module_of_the_image.__getitem__"]
    assert (node.status, jobs["item_that_cannot_be_loaded"]) == ("FAILED", 2)
    assert "the image has no module 'module_of_the_image'" in node.stderr


def test_an_exception_of_a_node_ends_it_without_a_job(reports: Mapping[str, Any], jobs: Mapping[str, int]) -> None:
    node = reports["missing_key"].electrons[":table.__getitem__"]
    assert (node.status, node.error, jobs["missing_key"]) == ("FAILED", None, 1)
    assert node.stderr.startswith("Traceback (most recent call last):\n")
    assert node.stderr.endswith("KeyError: 'c'\n")
