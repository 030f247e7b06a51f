"""Lists and dicts put together from pickles are, once loaded, what Covalent's own functions make of the values."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.covalent_api.builtin_nodes import pickle_collections
from covalent_parallel_plugin.protocol import pickle_list

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=[]))
    | st.binary()
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(PLAIN, inner),
    max_leaves=8,
)


def list_of(*pickles: bytes) -> bytes:
    return b"".join(pickle_collections.pickle_of_list([pickle_collections.entry_of(data) for data in pickles]))


def dict_of(keys: bytes, values: bytes) -> bytes:
    named, given = pickle_collections.entries_in(keys), pickle_collections.entries_in(values)
    assert named is not None and given is not None
    return b"".join(pickle_collections.pickle_of_dict(named, given))


def exactly(value: object) -> str:
    """Tells 1 from True, 0.0 from -0.0, and a list from a tuple."""
    return repr(value)


@given(st.lists(VALUES), st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_a_list_is_the_one_covalent_makes(values: list[Any], protocol: int) -> None:
    made = pickle.loads(list_of(*(pickle.dumps(value, protocol) for value in values)))  # noqa: S301
    assert exactly(made) == exactly(values)


@given(st.dictionaries(PLAIN, VALUES))
def test_a_dict_is_the_one_covalent_makes(table: dict[Any, Any]) -> None:
    keys, values = list(map(cloudpickle.dumps, table)), list(map(cloudpickle.dumps, table.values()))
    made = pickle.loads(dict_of(list_of(*keys), list_of(*values)))  # noqa: S301
    assert exactly(made) == exactly(table)


# What a lattice's function writes: lists and dicts within each other, with electrons' values as leaves
NESTED = st.recursive(
    VALUES.map(lambda value: ("leaf", value)),
    lambda inner: (
        st.lists(inner).map(lambda parts: ("list", parts))
        | st.dictionaries(PLAIN, inner).map(lambda parts: ("dict", parts))
    ),
    max_leaves=12,
)


def composed(what: tuple[str, Any]) -> bytes:
    kind, parts = what
    if kind == "leaf":
        return cloudpickle.dumps(parts)
    if kind == "list":
        return list_of(*map(composed, parts))
    return dict_of(list_of(*map(cloudpickle.dumps, parts)), list_of(*map(composed, parts.values())))


def plainly(what: tuple[str, Any]) -> Any:
    kind, parts = what
    if kind == "leaf":
        return parts
    if kind == "list":
        return [plainly(part) for part in parts]
    return {key: plainly(part) for key, part in parts.items()}


@given(NESTED)
def test_lists_and_dicts_within_each_other_are_the_same(what: tuple[str, Any]) -> None:
    assert exactly(pickle.loads(composed(what))) == exactly(plainly(what))  # noqa: S301


@given(NESTED)
def test_what_was_put_together_is_pickled_again_as_any_value(what: tuple[str, Any]) -> None:
    value = pickle.loads(composed(what))  # noqa: S301
    assert exactly(pickle.loads(pickle.dumps(value))) == exactly(plainly(what))  # noqa: S301


def test_two_places_of_one_value_hold_two_copies_as_covalents_do() -> None:
    data = cloudpickle.dumps([1])
    first, second = pickle.loads(list_of(data, data))  # noqa: S301
    assert first == second and first is not second


def test_deep_nesting_needs_no_recursion() -> None:
    data = cloudpickle.dumps([0])
    for _ in range(300):
        data = list_of(data)
    value = pickle.loads(data)  # noqa: S301
    for _ in range(300):
        (value,) = value
    assert value == [0]


def test_a_nested_value_is_loaded_by_one_call_however_deep_it_is() -> None:
    data = list_of(list_of(list_of(cloudpickle.dumps(bytes(100_000)))))
    assert data.count(pickle_list.RECALL_LOADS) == 1


@pytest.mark.parametrize("make", [lambda data: list_of(data), lambda data: list_of(list_of(data))])
def test_a_value_is_loaded_where_the_whole_is_loaded_and_nowhere_else(make: Callable[[bytes], bytes]) -> None:
    data = make(b"cno_such_module\nnothing\n.")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        pickle.loads(data)  # noqa: S301


@given(PLAIN)
def test_a_plain_value_is_shown_as_python_shows_it(value: Any) -> None:
    entry = pickle_collections.entry_of(pickle.dumps(value))
    assert not entry.is_plain or pickle_collections.plain_text(entry) == repr(value)


@pytest.mark.parametrize("value", [None, True, 0, 255, 65535, -1, 2**31, -(2**70), 0.5, "", "text", b"\x00"])
def test_numbers_texts_and_the_like_are_plain(value: object) -> None:
    assert pickle_collections.entry_of(cloudpickle.dumps(value)).is_plain


@pytest.mark.parametrize("value", [[], (), {}, (1, 2), "x" * 5000, frozenset(), 1j, ValueError, len])
def test_other_values_are_not(value: object) -> None:
    assert not pickle_collections.entry_of(cloudpickle.dumps(value)).is_plain


@given(st.lists(VALUES))
def test_the_entries_are_found_again(values: list[Any]) -> None:
    found = pickle_collections.entries_in(list_of(*map(cloudpickle.dumps, values)))
    assert found is not None
    again = b"".join(pickle_collections.pickle_of_list(found))
    assert exactly(pickle.loads(again)) == exactly(values)  # noqa: S301


@given(VALUES)
def test_the_entries_of_others_pickles_are_not_looked_for(value: Any) -> None:
    assert pickle_collections.entries_in(cloudpickle.dumps(value)) is None


@given(
    st.binary(max_size=40) | st.text("](e}(uNKh.\x00\x01\x8e\x85R", max_size=30).map(lambda text: text.encode("latin"))
)
def test_what_only_begins_like_a_list_is_moved_whole(tail: bytes) -> None:
    data = pickle_list.HEAD + tail
    found = pickle_collections.entries_in(data)
    assert found is None or all(entry.size for entry in found)
