"""How nodes end on the dispatcher, and which of them are left to Batch."""

from __future__ import annotations

import base64
import copyreg
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

import cloudpickle
import covalent as ct
import pytest
from covalent._workflow.depspip import DepsPip
from covalent._workflow.electron import Electron
from covalent._workflow.postprocessing import Postprocessor
from covalent._workflow.transportable_object import TransportableObject
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covalent_parallel_plugin.covalent_api.builtin_nodes import run_node
from covalent_parallel_plugin.covalent_api.builtin_nodes.postprocess import without_lattice
from covalent_parallel_plugin.covalent_api.transportable import CovalentCall
from covalent_parallel_plugin.electron.verdict import Failure, Value
from covalent_parallel_plugin.errors import RemoteTraceback

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PLAIN = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])) | st.binary()
NESTED = st.recursive(
    PLAIN | st.tuples(PLAIN, PLAIN), lambda inner: st.lists(inner) | st.dictionaries(PLAIN, inner), max_leaves=5
)


class Fragile:
    """Arguments of nodes that misbehave as they are told; pickled by value, as a user's class is."""

    def __init__(self, does: Callable[[], Any]):
        self.does = does

    def __getitem__(self, key: Any) -> Any:
        return self.does()


class Unloadable:
    def __reduce__(self) -> Any:
        return eval, ("__import__('no_such_module')",)


cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize(
    ("word", "args", "value", "text"),
    [
        ("list", (1, "a", {"b": 2.5}, None), [1, "a", {"b": 2.5}, None], "[1, 'a', {'b': 2.5}, None]"),
        ("list", (), [], "[]"),
        ("item", ([5, 6], 1), 6, "6"),
        ("item", ({"key": "text"}, "key"), "text", "text"),
        ("iteration", ("ab", 0), "a", "a"),
        ("attribute", (3 + 4j, "imag"), 4.0, "4.0"),
        ("sum", (3, 4), 7, "7"),
        ("sum", ([1], [2]), [1, 2], "[1, 2]"),
        ("ratio", (3, 2), 1.5, "1.5"),
        ("postprocess", ({"a": [1, (2,)]},), {"a": [1, (2,)]}, "{'a': [1, (2,)]}"),
        ("dict", (["not", "ours"], [1, 2]), {"not": 1, "ours": 2}, "{'not': 1, 'ours': 2}"),
    ],
)
def test_a_node_gives_covalents_value_and_text(
    function_of: Any, held: Any, word: str, args: tuple[Any, ...], value: object, text: str
) -> None:
    made = held(function_of(word), *args)
    assert (made.get_deserialized(), made.object_string) == (value, text)
    assert made.python_version == platform.python_version()


def twice(function_of: Any, held: Any, table: dict[Any, Any]) -> tuple[Any, Any]:
    """A dict's value as it is made here, and as Covalent's own functions make it."""
    make_list, make_dict = function_of("list").get_deserialized(), function_of("dict").get_deserialized()
    keys, values = held(function_of("list"), *table), held(function_of("list"), *table.values())
    made = held(function_of("dict"), keys, values)
    return made, make_dict(make_list(*table), make_list(*table.values()))


@SLOW
@given(table=st.dictionaries(PLAIN, NESTED))
def test_a_dict_is_what_covalents_functions_make(function_of: Any, held: Any, table: dict[Any, Any]) -> None:
    made, own = twice(function_of, held, table)
    assert repr(made.get_deserialized()) == repr(own)


@SLOW
@given(values=st.lists(NESTED))
def test_a_list_is_what_covalents_function_makes(function_of: Any, held: Any, values: list[Any]) -> None:
    made = held(function_of("list"), *values)
    assert repr(made.get_deserialized()) == repr(function_of("list").get_deserialized()(*values))


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({}, "{}"),
        ({"a": 1, 2: "b"}, "{'a': 1, 2: 'b'}"),
        ({"a": [1], "b": "c"}, "dict(zip(['a', 'b'], [[1], 'c']))"),
    ],
)
def test_a_dicts_text_is_its_own_or_tells_how_it_is_made(
    function_of: Any, held: Any, table: dict[Any, Any], text: str
) -> None:
    made, own = twice(function_of, held, table)
    assert made.object_string == text
    assert made.get_deserialized() == own


def test_a_long_text_is_cut(function_of: Any, held: Any) -> None:
    made = held(function_of("list"), *(["x" * 3000] * 3))
    assert made.object_string == f"['{'x' * 3000}', '{'x' * 1090}..."
    assert made.get_deserialized() == ["x" * 3000] * 3


def test_a_list_is_made_of_values_that_cannot_be_loaded_here(function_of: Any, held: Any) -> None:
    made = held(function_of("list"), 1, Unloadable())
    with pytest.raises(ModuleNotFoundError):
        made.get_deserialized()


def test_lists_and_dicts_start_no_process(function_of: Any, held: Any) -> None:
    workers = run_node.WorkerPool()
    keys = held(function_of("list"), "a", workers=workers)
    held(function_of("dict"), keys, keys, workers=workers)
    assert workers.process_ids == []


def test_a_large_list_comes_through_a_file_that_is_gone(function_of: Any, held: Any, tmp_path: Any) -> None:
    values = [bytes([number]) * 3_000_000 for number in range(3)]
    made = held(function_of("list"), *values)
    assert made.get_deserialized() == values
    assert list(tmp_path.iterdir()) == []


def test_a_large_item_comes_back(function_of: Any, held: Any) -> None:
    values = [b"a" * 10, b"b" * 40_000_000]
    assert held(function_of("item"), values, 1).get_deserialized() == values[1]


def test_a_key_that_no_dict_takes_is_an_error_of_the_node(function_of: Any, run: Any, held: Any) -> None:
    keys, values = held(function_of("list"), [1]), held(function_of("list"), 2)
    ended = run(function_of("dict"), keys, values)
    assert isinstance(ended, Failure)
    assert (type(ended.error), str(ended.error)) == (TypeError, "unhashable type: 'list'")


@pytest.mark.parametrize(
    ("word", "args", "error"),
    [
        ("item", ({"a": 1}, "x"), KeyError("x")),
        ("item", ([], 0), IndexError("list index out of range")),
        ("item", (7, 0), TypeError("'int' object is not subscriptable")),
        ("attribute", (7, "x"), AttributeError("'int' object has no attribute 'x'")),
        ("ratio", (1, 0), ZeroDivisionError("division by zero")),
        ("sum", (1, "a"), TypeError("unsupported operand type(s) for +: 'int' and 'str'")),
    ],
)
def test_an_exception_of_the_node_is_told_as_batch_tells_it(
    function_of: Any, run: Any, word: str, args: tuple[Any, ...], error: Exception
) -> None:
    ended = run(function_of(word), *args)
    assert isinstance(ended, Failure)
    assert (type(ended.error), ended.error.args) == (type(error), error.args)
    assert isinstance(ended.error.__cause__, RemoteTraceback)
    lines = ended.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "covalent/_workflow/electron.py" in lines[1]
    assert lines[-1] == f"{type(error).__name__}: {error}"


def raises(error: BaseException) -> Callable[[], None]:
    def does() -> None:
        raise error

    return does


@pytest.mark.parametrize(
    "argument",
    [
        pytest.param(Unloadable(), id="a value that cannot be loaded"),
        pytest.param(Fragile(lambda: __import__("no_such_module")), id="a module that is not here"),
        pytest.param(Fragile(raises(KeyError("of a class"))), id="an exception of the user's code"),
        pytest.param(Fragile(raises(MemoryError())), id="want of memory"),
        pytest.param(Fragile(raises(SystemExit(0))), id="an exit"),
        pytest.param(Fragile(raises(KeyboardInterrupt())), id="an interruption"),
        pytest.param(Fragile(lambda: __import__("os")._exit(0)), id="an exit without a word"),
        pytest.param(Fragile(lambda: __import__("os").kill(__import__("os").getpid(), 11)), id="a crash"),
        pytest.param(Fragile(lambda: (value for value in ())), id="a value that cannot be packed"),
    ],
)
def test_what_another_place_may_do_better_goes_to_batch(function_of: Any, run: Any, argument: Any) -> None:
    assert run(function_of("item"), argument, 0) is None
    assert run(function_of("item"), [1], 0).outcome.shown == "1"


def test_what_a_node_prints_is_kept_and_is_not_the_next_ones(function_of: Any, run: Any) -> None:
    def prints() -> str:
        import os
        import sys

        print("text")
        os.write(1, b"bytes\n")
        print("error", file=sys.stderr)
        return "done"

    ended = run(function_of("item"), Fragile(prints), 0)
    assert (ended.outcome.stdout, ended.outcome.stderr) == ("bytes\ntext\n", "error\n")
    after = run(function_of("item"), [1], 0)
    assert (after.outcome.stdout, after.outcome.stderr) == ("", "")


@pytest.mark.parametrize("word", ["list", "item"])
def test_a_node_with_hooks_goes_to_batch(function_of: Any, run: Any, word: str) -> None:
    assert run(function_of(word), [1], 0, hooks=[DepsPip(packages=["six"]).apply()]) is None


@pytest.mark.parametrize("word", ["list", "item"])
def test_a_node_of_another_python_goes_to_batch(function_of: Any, run: Any, word: str) -> None:
    assert run(function_of(word), [1], 0, python="3.9.1") is None


def test_a_users_electron_goes_to_batch(function_of: Any, run: Any) -> None:
    assert run(function_of("user"), 1, {}) is None


def test_a_users_electron_with_the_name_of_a_node_goes_to_batch(run: Any) -> None:
    def _auto_list_node(*args: Any) -> Any:
        return args

    assert run(TransportableObject(_auto_list_node), 1) is None


def test_an_exception_whose_class_is_the_users_goes_to_batch(function_of: Any, run: Any) -> None:
    class Own(LookupError):
        pass

    assert run(function_of("item"), Fragile(raises(Own())), 0) is None


def test_the_value_has_the_name_that_covalent_gives_it(function_of: Any, run: Any) -> None:
    ended = run(function_of("item"), [len], 0)
    assert isinstance(ended, Value)
    assert ended.outcome.name == "len"


def shared_list() -> list[Any]:
    """A pickle of 500 bytes; whoever goes through it is at it for ever."""
    shared: list[Any] = [0]
    for _ in range(60):
        shared = [shared, shared]
    return shared


def unpickled_here() -> NoReturn:
    raise AssertionError


class NotHere:
    def __reduce__(self) -> Any:
        return unpickled_here, ()


@pytest.mark.parametrize("made", [shared_list(), [NotHere()], {"a": (NotHere(), 1)}], ids=["shared", "list", "dict"])
def test_a_result_without_electrons_is_what_came(function_of: Any, run: Any, made: Any) -> None:
    value = TransportableObject("its text")
    value._object = base64.b64encode(cloudpickle.dumps(made)).decode()
    ended = run(function_of("postprocess"), value, **{"node:0": value})
    assert isinstance(ended, Value)
    assert (ended.outcome.pickle, ended.outcome.shown) == (cloudpickle.dumps(made), "its text")


@pytest.fixture
def function_with_lattice() -> Iterator[TransportableObject]:
    """Return the function of a result node as clients without an executor of this package pickle it."""
    copyreg.dispatch_table.pop(Postprocessor, None)  # until the next executor is made

    @ct.electron
    def length(data: bytes) -> int:
        return len(data)

    @ct.lattice
    def study(data: bytes) -> Any:
        return length(data)

    study.build_graph(bytes(10**6))
    yield result_function(study)


def result_function(study: Any) -> TransportableObject:
    functions = [node["function"] for _, node in study.transport_graph._graph.nodes(data=True)]
    return next(each for each in functions if each and each.attrs["name"] == "_postprocess_recursively")


def test_a_result_with_electrons_is_made_without_the_lattices_inputs(
    function_with_lattice: TransportableObject, run: Any
) -> None:
    function = function_with_lattice
    call, pickles = CovalentCall.parse(function, [], {}).read("dispatch", 1)
    call = replace(call, name="_postprocess_recursively")
    assert len(pickles["function"]) > 10**6 > 10**4 > len(without_lattice(call, pickles)["function"])
    ended = run(function, [Electron(len, node_id=0), 1], **{"node:0": 7})
    assert isinstance(ended, Value)
    assert cloudpickle.loads(ended.outcome.pickle) == [7, 1]


def test_an_executor_has_the_result_node_pickled_without_the_lattices_inputs(run: Any) -> None:
    executor = ct.executor.GCPBatchExecutor(project_id="local", bucket_name="bucket")
    length = ct.electron(len, executor=executor)

    @ct.lattice(executor=executor)
    def study(data: bytes) -> Any:
        return [length(data), 1]

    study.build_graph(bytes(10**6))
    function = result_function(study)
    assert len(function.get_serialized()) < 10**4
    parameter = study.transport_graph._graph.nodes[1]
    assert len(parameter["name"]) < 10**4
    assert len(parameter["value"].serialize()) < 1.4 * 10**6
    ended = run(function, [Electron(len, node_id=0), 1], **{"node:0": 7})
    assert isinstance(ended, Value)
    assert cloudpickle.loads(ended.outcome.pickle) == [7, 1]


def test_the_text_of_a_sublattices_graph_stays_whole() -> None:
    ct.executor.GCPBatchExecutor(project_id="local", bucket_name="bucket")
    assert TransportableObject("x" * 10**6).object_string == "x" * 10**6
    assert len(TransportableObject(["x" * 10**6]).object_string) < 10**4
