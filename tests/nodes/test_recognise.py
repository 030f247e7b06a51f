"""Covalent's own functions are told from all others by their pickles, and none of these is loaded."""

from __future__ import annotations

import base64
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import covalent as ct
import pytest
from covalent._workflow.electron import _build_sublattice_graph
from covalent._workflow.postprocessing import Postprocessor
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.covalent_api.builtin_nodes.classify import DICT_NODE, LIST_NODE, MODULE, NodeKind, kind_of


def pickle_of(function: Any) -> bytes:
    return base64.b64decode(function.get_serialized())


EXPECTED = {
    "_auto_list_node": NodeKind.LIST,
    "_auto_dict_node": NodeKind.DICT,
    "_postprocess_recursively": NodeKind.NEEDS_UNPICKLING,
    ":second.__getitem__": NodeKind.ITEM,
    ":second.__getattr__": NodeKind.NEEDS_UNPICKLING,
    ":first()[0]": NodeKind.ITEM,
    ":first()[1]": NodeKind.ITEM,
    "::first()[1].__getitem__": NodeKind.ITEM,
    "first_+_second": NodeKind.NEEDS_UNPICKLING,
    "first_-_second": NodeKind.NEEDS_UNPICKLING,
    "first_*_2": NodeKind.NEEDS_UNPICKLING,
    "3_/_first": NodeKind.NEEDS_UNPICKLING,
    "first_**_2": NodeKind.NEEDS_UNPICKLING,
    "first": None,
    "second": None,
}


def test_all_that_covalent_makes_of_a_lattice_is_recognised_and_the_users_is_not(functions: Mapping[str, Any]) -> None:
    assert {name: kind_of(name, pickle_of(function)) for name, function in functions.items()} == EXPECTED


def renamed(name: str) -> Any:
    def function(*args: Any) -> Any:
        return args

    function.__name__ = name
    return function


@pytest.mark.parametrize("name", EXPECTED)
def test_a_users_function_of_the_same_name_is_the_users(name: str) -> None:
    assert kind_of(name, cloudpickle.dumps(renamed(name))) is None


@pytest.mark.parametrize("name", EXPECTED)
def test_an_importable_function_under_such_a_name_is_the_users(name: str) -> None:
    assert kind_of(name, cloudpickle.dumps(importlib.import_module)) is None


@pytest.mark.parametrize("name", [LIST_NODE, DICT_NODE])
def test_a_users_function_that_speaks_of_covalents_is_the_users(name: str) -> None:
    def function(*args: Any) -> Any:
        return "__module__", MODULE, "__qualname__", name

    assert kind_of(name.rsplit(".", 1)[1], cloudpickle.dumps(function)) is None


def test_a_users_function_that_is_called_as_covalents_is_the_users() -> None:
    function = renamed("_auto_list_node")
    function.__qualname__ = LIST_NODE
    assert kind_of("_auto_list_node", cloudpickle.dumps(function)) is None


@pytest.mark.parametrize(
    ("name", "made_as"),
    [
        ("_auto_list_node", LIST_NODE),
        (":f.__getitem__", "Electron.__getitem__.<locals>.get_item"),
        (":f()[0]", "Electron.__iter__.<locals>.get_item"),
    ],
)
def test_a_node_of_another_version_is_run_rather_than_done_here(name: str, made_as: str) -> None:
    function = renamed(name)
    function.__module__, function.__qualname__ = MODULE, made_as
    assert kind_of(name, cloudpickle.dumps(function)) is NodeKind.NEEDS_UNPICKLING


def test_what_runs_the_users_code_is_left_to_batch() -> None:
    assert kind_of("_build_sublattice_graph", cloudpickle.dumps(_build_sublattice_graph)) is None
    exhaustive = Postprocessor(ct.lattice(lambda: 1))._postprocess
    assert kind_of("_postprocess", cloudpickle.dumps(exhaustive)) is None
    assert kind_of("_postprocess_recursively", cloudpickle.dumps(exhaustive)) is None


def test_nothing_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "told_when_loaded.py").write_text("def _auto_list_node(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    function = importlib.import_module("told_when_loaded")._auto_list_node
    data = cloudpickle.dumps(function)
    del sys.modules["told_when_loaded"]
    assert kind_of("_auto_list_node", data) is None
    assert "told_when_loaded" not in sys.modules


@given(st.sampled_from(sorted(EXPECTED)), st.binary(max_size=60))
def test_what_is_no_pickle_is_no_node(name: str, data: bytes) -> None:
    assert kind_of(name, data) is None


@given(st.data())
def test_a_pickle_that_was_cut_is_no_node(functions: Mapping[str, Any], data: Any) -> None:
    name = data.draw(st.sampled_from(sorted(EXPECTED)))
    whole = pickle_of(functions[name])
    assert kind_of(name, whole[: data.draw(st.integers(0, len(whole) - 1))]) is None
