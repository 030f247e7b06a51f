"""Many pickles as one pickle of a list, which is made without loading any of them."""

from __future__ import annotations

import mmap
import pickle
import pickletools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.electron.value_buffer import IN_MEMORY_BYTES, join_to_buffer
from covalent_parallel_plugin.errors import CacheDirError
from covalent_parallel_plugin.protocol.pickle_list import BATCH, pickle_of_list

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def with_sizes(pickles: Sequence[bytes], piece: int = 7) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Each pickle's length and its bytes in pieces, as a store gives them."""
    for data in pickles:
        yield len(data), (data[start : start + piece] for start in range(0, len(data), piece))


def joined(values: Sequence[Any]) -> bytes:
    return b"".join(pickle_of_list(with_sizes([cloudpickle.dumps(value) for value in values])))


@given(st.lists(plain_values, max_size=20))
def test_it_loads_to_the_list_of_the_values(values: list[Any]) -> None:
    assert pickle.loads(joined(values)) == values  # noqa: S301 - made here


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH])
def test_it_loads_at_every_number_of_values(count: int) -> None:
    assert pickle.loads(joined(range(count))) == list(range(count))  # noqa: S301 - made here


def test_it_is_a_well_formed_pickle_that_names_nothing_but_loads() -> None:
    named = {argument for code, argument, _ in pickletools.genops(joined([1, "a"])) if code.name == "GLOBAL"}
    assert named == {"_pickle loads"}


def test_values_of_other_protocols_are_taken_as_they_are() -> None:
    pickles = [pickle.dumps({"a": 1}, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    assert pickle.loads(b"".join(pickle_of_list(with_sizes(pickles)))) == [{"a": 1}] * len(pickles)  # noqa: S301


def test_making_it_loads_none_of_the_values() -> None:
    broken = b"no pickle at all"
    data = b"".join(pickle_of_list(with_sizes([broken])))
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(data)  # noqa: S301 - made here


def test_lambdas_and_classes_of_the_values_travel() -> None:
    class Point:
        x = 3

    function, point = pickle.loads(joined([lambda a: a + 1, Point]))  # noqa: S301 - made here
    assert (function(1), point.x) == (2, 3)


def test_a_few_megabytes_stay_in_memory(tmp_path: Path) -> None:
    assert join_to_buffer([b"ab", b"c"], 3, str(tmp_path)) == b"abc"


def test_more_goes_to_a_mapped_file_that_has_no_name(tmp_path: Path) -> None:
    size = IN_MEMORY_BYTES + 1
    buffer = join_to_buffer(iter([b"x" * size]), size, str(tmp_path))
    assert isinstance(buffer, mmap.mmap)
    assert (len(buffer), buffer[:1], list(tmp_path.iterdir())) == (size, b"x", [])


def test_a_mapped_list_loads_to_its_values(tmp_path: Path) -> None:
    values = [bytes([number]) * 1_000_000 for number in range(5)]
    chunks = pickle_of_list(with_sizes([pickle.dumps(value) for value in values], piece=100_000))
    buffer = join_to_buffer(chunks, IN_MEMORY_BYTES + 1, str(tmp_path))
    assert isinstance(buffer, mmap.mmap)
    assert pickle.loads(buffer) == values  # noqa: S301 - made here


def test_a_folder_that_takes_no_more_is_told_as_such(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(CacheDirError, match=f"cache_dir = '{gone}' could not take a value .*make room there"):
        join_to_buffer([b"x"], IN_MEMORY_BYTES + 1, str(gone))
