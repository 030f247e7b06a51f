"""What is said of a value that cannot be pickled."""

from __future__ import annotations

import threading
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.runner.unpicklable import culprit, explanation


class Model:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (LOCK, ""),
        ([1, LOCK], "[1]"),
        ({"a": 1, "b": {"file": LOCK}}, "['b']['file']"),
        (Model(weights=[1, 2], cache=Model(lock=LOCK)), ".cache.lock"),
        ((1, [Model(x=1), Model(y=LOCK)]), "[1][1].y"),
    ],
)
def test_the_innermost_part_that_pickle_refuses_is_found(value: object, path: str) -> None:
    found, part = culprit(value, cloudpickle.dumps)
    assert found == path
    assert part is LOCK


def test_a_value_that_refers_to_itself_is_looked_into_for_a_bounded_time() -> None:
    value: list[Any] = [LOCK]
    value.insert(0, value)
    assert culprit(value, cloudpickle.dumps)[0].startswith("[0]")


def test_the_message_names_type_part_and_remedy() -> None:
    text = explanation("train", Model(lock=LOCK), TypeError("cannot pickle"), cloudpickle.dumps)
    assert "train() returned a" in text
    assert "its part .lock, a _thread.lock" in text
    assert "without that part" in text
