"""A map of which some items failed: the values that there are, and `rerun`, which runs the others again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CLIENT = """
import json
import sys
from pathlib import Path
import covalent as ct
from covalent_parallel_plugin import GCPBatchExecutor, MapError, pmap

three = GCPBatchExecutor(max_parallel=3, retries=0)
ran = "RAN"

def train(number, offset=0):
    with open(ran, "a") as file:
        file.write(f"{number}\\n")
    print("item", number)
    if number in bad:
        raise ValueError(f"bad {number}")
    return {"square": number * number + offset}

def mapped(*numbers, **options):
    global bad
    bad = set(numbers)
    return pmap(executor=three, **options)(train)

@ct.electron(executor="gcpbatch")
def several(count):
    return list(range(count))

def run(function):
    Path(ran).write_text("")
    dispatch_id = ct.dispatch(ct.lattice(function))()
    result = ct.get_result(dispatch_id, wait=True)
    node = [each for each in result.get_all_node_results() if each["node_name"] == "train"][-1]
    status = str(result.status)
    return dispatch_id, {
        "status": status,
        "value": result.result if status == "COMPLETED" else None,
        "ran": sorted(map(int, Path(ran).read_text().split())),
        "stdout": node["stdout"],
        "stderr": node["stderr"],
        "error": node["error"],
    }

def refused(call):
    try:
        ct.lattice(call).build_graph()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def answer(**told):
    Path(sys.argv[1]).write_text(json.dumps(told))
"""

MAPS = """
train_ = mapped(1, 5)
first, failed = run(lambda: train_(range(8), offset=100))
still_bad = mapped(5)
second, failed_again = run(lambda: still_bad.rerun(first))
good = mapped()
third, done = run(lambda: good.rerun(second))
_, anew = run(lambda: good.rerun(first, offset=0))
_, whole = run(lambda: good.rerun(third))

unknown, _ = run(lambda: train_(several(6)))
_, of_unknown = run(lambda: good.rerun(unknown))

told = {name: value for name, value in globals().items() if isinstance(value, dict) and "ran" in value}
answer(**told, ids=[first, second, third])
"""


def squares(count: int, offset: int = 100) -> list[dict[str, int]]:
    return [{"square": number * number + offset} for number in range(count)]


def test_only_items_without_a_value_run_again_and_the_list_is_whole(
    run_client: Callable[[str], Any], tmp_path: Path
) -> None:
    told = run_client(CLIENT.replace("RAN", str(tmp_path / "ran")) + MAPS)
    print(json.dumps(told, indent=1))
    assert told["failed"]["status"] == "FAILED"
    assert told["failed_again"]["ran"] == [1, 5]
    assert told["done"]["ran"] == [5]
    assert told["done"]["value"] == squares(8)
    pytest.fail()
