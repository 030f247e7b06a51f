"""Covalent's TransportableObjects as raw pickles and back."""

from __future__ import annotations

import json
import mmap
import pickle
import platform
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor.utils.wrappers import wrapper_fn
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.covalent_api import transportable
from covalent_parallel_plugin.covalent_api.transportable import CovalentCall, RawTransportable
from covalent_parallel_plugin.electron.outcome import Outcome


def remote(value: Any, shown: str | None = None, name: str = "f") -> RawTransportable:
    data = cloudpickle.dumps(value)
    text = str(value) if shown is None else shown
    return RawTransportable(
        Outcome("value", "", "", pickle=data, shown=text, name=name, python="3.11.7", cloudpickle="3.1.1")
    )


def twin(value: RawTransportable) -> TransportableObject:
    """Covalent's own object of the same content."""
    return TransportableObject.from_dict(value.to_dict())


@given(st.binary(max_size=200), st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50))
def test_the_archive_is_covalents_own_byte_for_byte(value: bytes, shown: str) -> None:
    made = remote(value, shown)
    assert made.serialize() == twin(made).serialize()


@pytest.mark.parametrize("size", [0, 1, 2, 3, transportable.PIECE_BYTES - 100, transportable.PIECE_BYTES, 4_000_001])
def test_the_archive_is_covalents_own_at_every_size(size: int) -> None:
    made = remote(b"x" * size, "")
    assert made.serialize() == twin(made).serialize()


@pytest.mark.parametrize("value", [None, 0, "text", [1, {"a": (2,)}], b"\x00\xff"])
def test_covalent_reads_the_archive_back(value: object) -> None:
    read = TransportableObject.deserialize(remote(value).serialize())
    assert read.get_deserialized() == value
    assert (read.object_string, read.python_version) == (str(value), "3.11.7")
    assert read.attrs == {"doc": "", "name": "f"}


def test_covalent_reads_header_and_string_alone() -> None:
    data = remote([1, 2]).serialize()
    assert TransportableObject.deserialize(data, header_only=True).python_version == "3.11.7"
    assert TransportableObject.deserialize(data, string_only=True).object_string == "[1, 2]"


def test_the_value_itself_can_be_had() -> None:
    assert remote({"a": 1}).get_deserialized() == {"a": 1}


def test_a_value_in_a_file_is_covalents_own_and_stays_readable(tmp_path: Path) -> None:
    value = bytes(range(256)) * 20_000
    data = cloudpickle.dumps(value)
    path = tmp_path / "outcome"
    path.write_bytes(b"header" + data)
    with path.open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[len("header") :]
    made = RawTransportable(Outcome("value", "", "", pickle=view, shown="text", python="3.11.7", cloudpickle="3.1.1"))
    assert made.serialize() == made.serialize() == twin(made).serialize()
    assert made.get_deserialized() == value
    assert transportable.raw_pickle(made) == data


def test_it_equals_covalents_own_object_of_the_same_content() -> None:
    made = remote(7)
    assert made == twin(made)
    assert made != remote(8)
    assert made != 7


def test_away_from_here_it_is_covalents_own_object() -> None:
    made = remote(7)
    copy = pickle.loads(pickle.dumps(made))  # noqa: S301
    assert type(copy) is TransportableObject
    assert copy == made
    assert b"covalent_parallel_plugin" not in pickle.dumps(made)


def test_its_json_is_that_of_covalents_own_object() -> None:
    made = remote(7)
    assert made.serialize_to_json() == twin(made).serialize_to_json()
    assert TransportableObject.deserialize_from_json(made.serialize_to_json()).get_deserialized() == 7
    json.dumps(made.to_dict())


def test_its_raw_pickle_is_the_containers() -> None:
    made = remote([1])
    assert transportable.raw_pickle(made) == cloudpickle.dumps([1]) == transportable.raw_pickle(twin(made))


def hook(function: Any, *args: Any, keyword: str = "") -> tuple[Any, ...]:
    return TransportableObject(function), TransportableObject(list(args)), TransportableObject({}), keyword


def five() -> int:
    return 5


def loaded(pickles: Any) -> dict[str, Any]:
    return {name: cloudpickle.loads(data) for name, data in pickles.items()}


def test_what_the_server_hands_over_is_read_without_loading_it() -> None:
    function = partial(wrapper_fn, TransportableObject(five), [hook(len, [1], keyword="n")], [hook(five)])
    parsed = CovalentCall.parse(function, [TransportableObject(1)], {"b": TransportableObject("two")})
    call, pickles = parsed.read("d", 3)
    assert (call.dispatch_id, call.node_id, call.name, call.args, call.kwargs) == ("d", 3, "five", 1, ("b",))
    assert call.python == platform.python_version()
    assert (call.before, call.after) == ((("len", "n"),), (("five", ""),))
    found = loaded(pickles)
    assert (found["arg0"], found["kwarg:b"], found["before0.args"]) == (1, "two", [[1]])
    assert found["function"]() == found["after0.function"]() == 5
    assert set(found) == {
        "function",
        "arg0",
        "kwarg:b",
        *(f"{when}0.{part}" for when in ("before", "after") for part in ("function", "args", "kwargs")),
    }


class Unpickled:
    """Fails when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("something was unpickled",)


def test_nothing_of_the_users_is_unpickled() -> None:
    function = partial(wrapper_fn, TransportableObject(Unpickled()), [hook(Unpickled(), Unpickled())], [])
    CovalentCall.parse(function, [TransportableObject(Unpickled())], {"a": TransportableObject(Unpickled())}).read(
        "d", 0
    )


def test_the_clients_python_is_told_not_this_ones() -> None:
    electron = TransportableObject(five)
    electron._header["py_version"] = "3.12.1"
    call, _ = CovalentCall.parse(partial(wrapper_fn, electron, [], []), [], {}).read("d", 0)
    assert call.python == "3.12.1"


@pytest.mark.parametrize("size", [0, 1, 2, transportable.PIECE_BYTES - 30, transportable.PIECE_BYTES, 4_000_001])
def test_the_raw_pickle_is_the_one_that_covalent_wrote(size: int) -> None:
    value = TransportableObject(bytes(size))
    assert transportable.raw_pickle(value) == cloudpickle.dumps(bytes(size))


def test_a_plain_function_is_pickled_here() -> None:
    call, pickles = CovalentCall.parse(five, [1], {"b": 2}).read("d", 0)
    assert (call.name, call.python) == ("five", platform.python_version())
    assert loaded(pickles)["arg0"] == 1
    assert loaded(pickles)["function"]() == 5


def test_a_partial_of_the_users_is_a_plain_function() -> None:
    call, pickles = CovalentCall.parse(partial(pow, 2), [3], {}).read("d", 0)
    assert call.name == "electron"
    assert loaded(pickles)["function"](3) == 8


def test_a_sublattice_asks_for_its_whole_text() -> None:
    electron = TransportableObject(five)
    electron.attrs["name"] = transportable.SUBLATTICE_BUILDER
    call, _ = CovalentCall.parse(partial(wrapper_fn, electron, [], []), [], {}).read("d", 0)
    assert call.whole_string


def test_the_inputs_are_blanked() -> None:
    electron, argument, keyword = (TransportableObject(value) for value in (five, "first", "second"))
    CovalentCall.parse(partial(wrapper_fn, electron, [], []), [argument], {"k": keyword}).blank()
    assert [(value._object, value._object_string) for value in (electron, argument, keyword)] == [("", "")] * 3


def test_what_is_no_transportable_object_is_left_alone() -> None:
    data = [1, 2]
    CovalentCall.parse(five, [data], {"k": data}).blank()
    assert data == [1, 2]
