"""Items of a map's list are taken without loading them, or what stands beside them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from covalent._workflow.transportable_object import TransportableObject
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.covalent_api.builtin_nodes.pickle_collections import index_in
from covalent_parallel_plugin.covalent_api.builtin_nodes.worker_pool import WorkerPool
from covalent_parallel_plugin.covalent_api.transportable import RawTransportable
from covalent_parallel_plugin.electron.outcome import Outcome
from covalent_parallel_plugin.electron.verdict import Failure
from covalent_parallel_plugin.protocol import envelope
from covalent_parallel_plugin.protocol.pickle_list import BATCH, HEAD, pickle_of_list, pickles_in

VALUES = [1, "text", None, [2, 3], {"a": 4.5}, b"x" * 300]


class Hostile:
    """Writes a file where it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return self.path.write_text, ("loaded",)


def joined(pickles: list[bytes]) -> bytes:
    return b"".join(pickle_of_list((len(each), (each,)) for each in pickles))


def list_of(*pickles: bytes) -> TransportableObject:
    """What Covalent holds for a map's value, once it has been through its database."""
    made = RawTransportable(Outcome(envelope.VALUE, "", "", pickle=joined(list(pickles)), shown="[...]"))
    return TransportableObject.deserialize(made.serialize())


@pytest.fixture
def no_worker() -> Iterator[WorkerPool]:
    """A pool that has to stay empty."""
    made = WorkerPool()
    yield made
    found = made.process_ids
    made.close()
    assert found == []


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[bytes]:
    """The pickle of a value that must never be loaded."""
    (tmp_path / "told").mkdir()
    path = tmp_path / "told" / "loaded"
    yield cloudpickle.dumps(Hostile(path))
    assert not path.exists()


@pytest.mark.parametrize("word", ["item", "iteration"])
@pytest.mark.parametrize(
    "key", [0, 5, -1, -6, slice(1, 3), slice(None, None, -2), slice(9, None), slice(-2, None)], ids=str
)
def test_an_item_or_a_slice_is_what_the_loaded_list_gives(
    function_of: Any, held: Any, no_worker: WorkerPool, word: str, key: Any
) -> None:
    made = held(function_of(word), list_of(*map(cloudpickle.dumps, VALUES)), key, workers=no_worker)
    assert made.get_deserialized() == VALUES[key]


@pytest.mark.parametrize(
    ("key", "text"), [(0, "1"), (1, "'text'"), (3, "..."), (slice(0, 4), "[1, 'text', None, ...]")], ids=str
)
def test_the_text_is_that_of_what_needs_no_loading(
    function_of: Any, held: Any, no_worker: WorkerPool, key: Any, text: str
) -> None:
    made = held(function_of("item"), list_of(*map(cloudpickle.dumps, VALUES)), key, workers=no_worker)
    assert made.object_string == text


def test_neither_the_item_nor_what_stands_beside_it_is_loaded(
    function_of: Any, held: Any, no_worker: WorkerPool, hostile: bytes
) -> None:
    given = list_of(hostile, cloudpickle.dumps(7), hostile)
    assert held(function_of("item"), given, 1, workers=no_worker).get_deserialized() == 7
    assert held(function_of("item"), given, 0, workers=no_worker).pickle == hostile
    several = held(function_of("item"), given, slice(1, None), workers=no_worker)
    assert several.pickle == joined([cloudpickle.dumps(7), hostile])
    again = held(function_of("item"), several, 0, workers=no_worker)
    assert again.get_deserialized() == 7


@pytest.mark.parametrize("key", [3, -4, 2**40, slice(None, None, 0)], ids=str)
def test_an_index_that_is_out_of_range_is_the_error_of_a_loaded_list(
    function_of: Any, run: Any, hostile: bytes, key: Any
) -> None:
    loaded, not_loaded = (run(function_of("item"), given, key) for given in ([1, 2, 3], list_of(*[hostile] * 3)))
    assert isinstance(loaded, Failure)
    assert isinstance(not_loaded, Failure)
    assert (type(not_loaded.error), str(not_loaded.error)) == (type(loaded.error), str(loaded.error))
    assert not_loaded.stderr == loaded.stderr


@pytest.mark.parametrize("key", ["a", 1.0, None, (1,)], ids=str)
def test_another_key_is_the_error_of_a_loaded_list(function_of: Any, run: Any, key: Any) -> None:
    loaded, taken = (run(function_of("item"), given, key) for given in ([1, 2], list_of(*map(pickle.dumps, (1, 2)))))
    assert (type(taken.error), str(taken.error)) == (type(loaded.error), str(loaded.error))


def test_an_item_of_a_list_that_is_too_large_to_load_is_taken(
    function_of: Any, held: Any, no_worker: WorkerPool
) -> None:
    large = cloudpickle.dumps(b"x" * 30_000_000)
    given = list_of(*[large] * 9)
    assert len(held(function_of("item"), given, 8, workers=no_worker).get_deserialized()) == 30_000_000


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_the_pickles_of_a_list_are_found_in_it(count: int) -> None:
    pickles = [cloudpickle.dumps(number) for number in range(count)]
    found = pickles_in(joined(pickles))
    assert found is not None
    assert list(map(bytes, found)) == pickles


def not_found_or_joined_to_the_same(data: bytes) -> None:
    found = pickles_in(data)
    assert found is None or joined(list(map(bytes, found))) == data


@given(st.lists(st.binary(max_size=20), max_size=5), st.data())
def test_what_is_taken_apart_is_exactly_what_was_joined(pickles: list[bytes], data: Any) -> None:
    whole = joined(pickles)
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))))
    not_found_or_joined_to_the_same(whole[:start] + data.draw(st.binary(max_size=12)) + whole[end:])
    not_found_or_joined_to_the_same(whole + data.draw(st.binary(max_size=3)))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b".",
        lambda data: data.replace(HEAD, HEAD.replace(b"loads", b"dumps")),
        lambda data: data.replace(b"\x85R", b"\x85Q", 1),
        lambda data: data.replace(b"]", b"}", 1),
        lambda data: b"\x80\x05" + data[2:],
        lambda data: data[:-1] + b"(e.",
        lambda data: HEAD + b"](e.",
        lambda data: data.replace(b"(", b"(e(", 1),
        lambda _: pickle.dumps([1, 2]),
        lambda data: b"",
    ],
)
def test_what_is_not_exactly_in_that_form_is_not_taken_apart(change: Callable[[bytes], bytes]) -> None:
    assert pickles_in(change(joined([pickle.dumps(1), pickle.dumps(2)]))) is None


NUMBERS = st.integers() | st.integers(-70_000, 70_000)


@given(NUMBERS | st.builds(slice, st.none() | NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS))
def test_an_index_is_read_from_its_pickle(key: Any) -> None:
    for protocol in range(4, 6):
        found = index_in(pickle.dumps(key, protocol))
        assert found == key


@given(st.none() | st.booleans() | st.floats() | st.text() | st.builds(slice, st.text()) | st.tuples(st.integers()))
def test_what_is_no_index_is_not_taken_for_one(key: Any) -> None:
    assert index_in(pickle.dumps(key)) is None


@given(st.data(), NUMBERS | st.builds(slice, NUMBERS, NUMBERS))
def test_a_pickle_of_an_index_that_is_cut_is_none(data: Any, key: Any) -> None:
    whole = pickle.dumps(key)
    assert index_in(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None


@given(st.binary(max_size=40))
def test_bytes_of_any_kind_are_read_or_are_no_index(data: bytes) -> None:
    assert isinstance(index_in(b"\x80\x04" + data), (int, slice, type(None)))
