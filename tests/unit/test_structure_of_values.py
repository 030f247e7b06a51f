"""Keys of values that Hypothesis makes, and of pickles that no pickler makes."""

from __future__ import annotations

import copyreg
import os
import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from covalent_parallel_plugin.electron.structure.call_structure import part_structure

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
hashable = st.recursive(
    plain, lambda inner: st.tuples(inner, inner) | st.lists(inner).map(tuple) | st.frozensets(inner), max_leaves=6
)
values = st.recursive(
    hashable | st.dates() | st.decimals(allow_nan=False) | st.binary().map(bytearray),
    lambda inner: st.lists(inner) | st.dictionaries(hashable, inner) | st.sets(hashable) | st.tuples(inner, inner),
    max_leaves=12,
)


def rebuilt(value: Any) -> Any:
    """An equal value of which nothing is shared with this one, and whose sets were filled from the other end."""
    kind = type(value)
    if kind in (set, frozenset):
        return kind([rebuilt(each) for each in sorted(value, key=repr, reverse=True)])
    if kind in (list, tuple):
        return kind([rebuilt(each) for each in value])
    if kind is dict:
        return {rebuilt(key): rebuilt(each) for key, each in value.items()}
    return "".join(list(value)) if kind is str else kind(bytes(value)) if kind in (bytes, bytearray) else value


def told_apart(value: Any) -> Any:
    """What is equal for values that are equal and of the same types."""
    kind = type(value)
    if kind in (set, frozenset):
        return kind.__name__, frozenset(told_apart(each) for each in value)
    if kind in (list, tuple):
        return kind.__name__, tuple(told_apart(each) for each in value)
    if kind is dict:
        return "dict", tuple((told_apart(key), told_apart(each)) for key, each in value.items())
    return kind.__name__, repr(value)


def key_of(value: Any) -> str:
    return part_structure(cloudpickle.dumps(value))


@settings(max_examples=50)
@given(values)
def test_equal_values_have_one_key(value: Any) -> None:
    other = rebuilt(value)
    keys = {
        key_of(value),
        key_of(other),
        key_of(cloudpickle.loads(cloudpickle.dumps(other))),
        part_structure(pickle.dumps(value, protocol=4)),
        part_structure(pickletools.optimize(pickle.dumps(other))),
        part_structure(pickle._dumps(value, protocol=5)),  # type: ignore[attr-defined]  # in Python
    }
    assert len(keys) == 1
    assert keys.pop().startswith("structure ")


@settings(max_examples=80)
@given(values, values)
@example([1], [True])
@example({0: 1, 1: 2}, {1: 2, 0: 1})
@example({frozenset({1})}, {frozenset({1.0})})
def test_values_have_one_key_only_if_they_are_equal(first: Any, second: Any) -> None:
    assert (key_of(first) == key_of(second)) == (told_apart(first) == told_apart(second))


@given(st.lists(st.lists(st.integers(0, 3), max_size=2), min_size=2, max_size=4), st.data())
def test_where_the_same_list_is_counts_and_what_was_pickled_before_does_not(lists: Any, data: Any) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(lists) - 1), min_size=1, max_size=6))
    value = [lists[index] for index in chosen]
    first_of = [chosen.index(index) for index in chosen]
    again = [list(each) for each in value]
    shared = [again[position] for position in first_of]
    # Of another pickle of all of them
    alone = cloudpickle.loads(cloudpickle.dumps((again, shared)))[1]
    assert key_of(value) == key_of(shared) == key_of(alone)
    assert (key_of(again) == key_of(value)) == (len(set(chosen)) == len(chosen))


def function_of(numbers: list[int]) -> Callable[[int], int]:
    names: dict[str, Any] = {"__name__": "__main__"}
    body = "".join(f"\n    x = h{number % 3}(x, {number})" for number in numbers)
    helpers = "".join(
        f"def h{number}(x, y): return value(y - 1) if y > 9 else x + y * {number}\n" for number in range(3)
    )
    exec(f"{helpers}def value(x):{body}\n    return x", names)  # noqa: S102
    found: Callable[[int], int] = names["value"]
    return found


@settings(max_examples=50)
@given(st.lists(st.integers(0, 20), max_size=5), st.lists(st.integers(0, 20), max_size=5))
def test_functions_have_one_key_only_if_they_are_equal(first: list[int], second: list[int]) -> None:
    assert (key_of(function_of(first)) == key_of(function_of(second))) == (first == second)
    assert key_of({function_of(first), function_of(second)}) == key_of({function_of(second), function_of(first)})


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: b"\x80\x04" + data + b"."))
def test_bytes_that_are_not_a_pickle_have_a_key(data: bytes) -> None:
    assert part_structure(data) == part_structure(bytes(list(data)))


TEMPLATES = [
    cloudpickle.dumps(value)
    for value in ({"a": [1, (2, {3})], "b": function_of([1, 2])}, {function_of([1])}, OSError(2, "no"), [{"x"}] * 3)
]


@settings(max_examples=120)
@given(st.sampled_from(TEMPLATES), st.data())
def test_pickles_that_were_changed_have_a_key(template: bytes, data: Any) -> None:
    changed = bytearray(template)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(changed)), st.integers(0, len(changed)))))
    for pickled in (changed, changed[:end], changed[start:], changed[:start] + changed[end:]):
        assert part_structure(bytes(pickled)).startswith(("structure ", "bytes "))


class _Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_hostile_pickle_does_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    assert part_structure(pickle.dumps(_Hostile(made))).startswith("structure ")
    imported = b"cno_such_module_at_all\nx\n(tR."
    assert part_structure(imported).startswith("structure ")
    assert not made.exists()
    cloudpickle.loads(pickle.dumps(_Hostile(made)))
    assert made.exists()


# Pickles that no pickler makes, or of values that nobody has
ODD = {
    "a billion laughs": b"\x80\x04(\x8c\x03haht\x94("
    + b"".join(b"h%c" % n * 10 + b"t\x94(" for n in range(200))
    + b"t.",
    "a billion laughs in lists": b"\x80\x04]\x940" + b"".join(b"(h%ch%ch\x00t\x94" % (n, n) for n in range(200)) + b".",
    "lists in lists": b"\x80\x04" + b"]" * 40_000 + b"a" * 39_999 + b".",
    "tuples in tuples": b"\x80\x04)" + b"\x85" * 60_000 + b".",
    "sets in sets": b"\x80\x04" + b"(" * 40_000 + b"\x91" * 40_000 + b".",
    "marks only": b"\x80\x04" + b"(" * 190_000 + b".",
    "a tuple that holds itself": b"\x80\x04(]\x94h\x00t\x94h\x00h\x01a.",
    "a number that holds itself": b"\x80\x04cdecimal\nDecimal\n)R\x94h\x00b.",
    "too many opcodes": b"\x80\x04]" + b"Na" * 100_001 + b".",
    "bytes that are said to be longer": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",
    "a text that is said to be longer": b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b".",
    "a number of many digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    "a negative memory": b"\x80\x04Np-1\n0g-1\n.",
    "a huge memory": b"\x80\x04Nr\xff\xff\xff\xff0j\xff\xff\xff\xff.",
    "an odd dict": b"\x80\x04}(Nu.",
    "names that are not texts": b"\x80\x04NN\x93.",
    "a call of a number": b"\x80\x04K\x01)R.",
    "the state of a number": b"\x80\x04K\x01Nb.",
    "nothing": b"\x80\x04.",
    "a reference out of it": b"Pabc\n.",
    "a buffer out of it": b"\x80\x05\x97.",
    "pickles in pickles": b"",
    "a function without arguments": b"\x80\x04ccloudpickle.cloudpickle\n_make_function\n)R.",
    "code with few arguments": b"\x80\x04ctypes\nCodeType\n(K\x01K\x02tR.",
    "a class's state for a number": b"\x80\x04ccloudpickle.cloudpickle\n_class_setstate\n(K\x01K\x02tR0N.",
    "a wrapped value without a pickle": b"\x80\x04}(\x8c\x07_object\x8c\x01!\x8c\x0e_object_stringN\x8c\x07_headerNu.",
    "graphs with many ways": b"\x80\x04"
    + b"".join(b"]\x94" for _ in range(250))
    + b"".join(b"(" + b"".join(b"h%c" % m for m in range(n)) + b"t\x94" for n in range(250))
    + b".",
}
for _ in range(9):
    inner = ODD["pickles in pickles"] or b"\x80\x04N."
    ODD["pickles in pickles"] = b"\x80\x04c_pickle\nloads\nB" + struct.pack("<I", len(inner)) + inner + b"\x85R."


# All others are read
KNOWN_BY_THEIR_BYTES = {
    "a number that holds itself",
    "too many opcodes",
    "bytes that are said to be longer",
    "a text that is said to be longer",
    "a number of many digits",
    "an odd dict",
    "names that are not texts",
    "the state of a number",
    "marks only",
    "nothing",
    "a buffer out of it",
    "a reference out of it",
    "pickles in pickles",
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_pickle_has_a_key_of_its_structure_or_of_its_bytes(name: str) -> None:
    what, _, digits = part_structure(ODD[name]).partition(" ")
    assert what == ("bytes" if name in KNOWN_BY_THEIR_BYTES else "structure")
    assert len(digits) == 64


def test_an_old_protocol_is_read() -> None:
    copyreg.pickle(complex, lambda number: (complex, (number.real, number.imag)))
    for value in ([1, "a", {"b": (2.5, None)}], 10**30, OSError(2, "x"), 1j):
        for protocol in range(4):
            assert part_structure(pickle.dumps(value, protocol=protocol)).startswith("structure ")
