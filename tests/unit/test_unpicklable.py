"""What is said of a value that cannot be pickled."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.runner.unpicklable import culprit, explanation, refusal


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


def refuses(*arguments: Any, **named: Any) -> Any:
    raise SystemExit("not this one")


class RefusingMeta(type):
    __getattribute__ = refuses


class Text(Exception):
    __str__ = __repr__ = refuses


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


ODD = {
    "reduce exits": lambda: Model(part=type("Odd", (), {"__reduce__": refuses})()),
    "reduce raises an odd exception": lambda: type(
        "Odd", (), {"__reduce__": lambda self: (_ for _ in ()).throw(Text())}
    )(),
    "items refuse": lambda: type("Odd", (dict,), {"items": refuses, "__iter__": refuses})(lock=LOCK),
    "entries refuse": lambda: type("Odd", (list,), {"__getitem__": refuses, "__iter__": refuses})([LOCK]),
    "attributes refuse": lambda: type("Odd", (), {"__dict__": property(refuses), "__class__": property(refuses)})(),
    "class refuses": lambda: RefusingMeta("Odd", (), {"__reduce__": refuses})(),
    "a key hangs": lambda: {type("Key", (), {"__repr__": lambda self: time.sleep(60)})(): LOCK},
    "error without end": lambda: type(
        "Odd", (), {"__reduce__": lambda self: (_ for _ in ()).throw(ValueError("x" * 10**8))}
    )(),
    "nested too deeply": deep,
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_whatever_a_values_methods_do_its_class_is_named(make: Callable[[], object]) -> None:
    value = make()
    with pytest.raises(BaseException) as caught:
        cloudpickle.dumps(value)
    error = refusal("train", value, caught.value, cloudpickle.dumps)
    assert isinstance(error, TypeError)
    assert str(error).startswith("train() returned a ")
    assert "which cannot be sent back" in str(error)
    assert len(str(error)) < 10_000


def test_too_deep_a_value_is_not_put_down_to_a_part_of_it() -> None:
    with pytest.raises(pickle.PicklingError) as caught:
        cloudpickle.dumps(deep())
    text = explanation("train", deep(), caught.value, cloudpickle.dumps)
    assert "its part" not in text
    assert "nested too deeply" in text


def test_want_of_memory_is_not_put_down_to_the_value() -> None:
    error = refusal("train", [1], MemoryError(), cloudpickle.dumps)
    assert isinstance(error, MemoryError)
    assert "`memory`" in str(error)


def test_the_message_names_type_part_and_remedy() -> None:
    text = explanation("train", Model(lock=LOCK), TypeError("cannot pickle"), cloudpickle.dumps)
    assert "train() returned a" in text
    assert "its part .lock, a _thread.lock" in text
    assert "without that part" in text
