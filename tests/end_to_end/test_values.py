"""Values that come back through a Covalent server equal those of a local run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

SOURCE = """
import dataclasses
import functools

@dataclasses.dataclass
class Point:
    x: int
    y: float

@alone(lambda value: [value.dtype.str, value.tolist()])
def array():
    import numpy
    return numpy.arange(6, dtype="<f4").reshape(2, 3)

@alone(lambda value: [type(value).__name__, value.predict([[0.0], [3.0]]).tolist()])
def model():
    from sklearn.svm import SVC
    return SVC(kernel="linear").fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])

@alone(lambda value: value(20))
def a_lambda():
    return lambda number: number + 1

@alone(lambda value: [value(), value(), value()])
def closure():
    count = 0
    def following():
        nonlocal count
        count += 1
        return count
    return following

@alone(lambda value: [type(value) is Point, dataclasses.asdict(value)])
def a_dataclass():
    return Point(3, 0.5)

@alone()
def generated():
    return list(number * number for number in range(5))

@alone()
def nothing():
    return None

@alone(lambda value: [len(value), value == bytes(range(256)) * 20_000])
def megabytes():
    return bytes(range(256)) * 20_000

@alone()
def falsy():
    return [0, False, "", [], {}]

@alone(lambda value: value)
def text_of_any_script():
    return "Grüße, 世界 \\U0001f600"

@ct.electron(executor="gcpbatch")
def length(data):
    return len(data)

@workflow(arguments=(b"x" * 6_000_000,))
def large_argument(data):
    return length(data)
"""

EXPECTED = {
    "array": ["<f4", [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]],
    "model": ["SVC", [0, 1]],
    "a_lambda": 21,
    "closure": [1, 2, 3],
    "a_dataclass": [True, {"x": 3, "y": 0.5}],
    "generated": [0, 1, 4, 9, 16],
    "nothing": None,
    "megabytes": [5_120_000, True],
    "falsy": [0, False, "", [], {}],
    "text_of_any_script": "Grüße, 世界 \U0001f600",
    "large_argument": 6_000_000,
}


@pytest.fixture(scope="module")
def reports(run_workflows: Callable[[str], Mapping[str, Any]]) -> Mapping[str, Any]:
    return run_workflows(SOURCE)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_value_equals_that_of_a_local_run(reports: Mapping[str, Any], name: str) -> None:
    assert reports[name].status == "COMPLETED", reports[name]
    assert reports[name].value == EXPECTED[name]
