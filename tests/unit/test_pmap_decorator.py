"""pmap on the client: what may be mapped, what becomes of it in a lattice, and the same call in this process."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cloudpickle
import covalent as ct
import pytest
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor.utils.wrappers import wrapper_fn

from covalent_parallel_plugin import ElectronError, MapError, grid, pmap
from covalent_parallel_plugin.covalent_api.graph_inputs import PickledValue
from covalent_parallel_plugin.covalent_api.transportable import CovalentCall
from covalent_parallel_plugin.electron.call import Map
from covalent_parallel_plugin.pmap.decorator import ParallelMap
from covalent_parallel_plugin.protocol.item_call import POSITIONAL
from covalent_parallel_plugin.protocol.map_marker import add_marker, item_count, items_label, read_marker

Made = list[tuple[str, dict[str, Any]]]


@pmap
def power(base: int, exponent: int = 2) -> int:
    """Raise a number."""
    return int(base**exponent)


@pmap(return_exceptions=True)
def inverse(number: int) -> float:
    return 1 / number


@pmap
def inverse_or_raise(number: int) -> float:
    return 1 / number


@ct.electron
def several(count: int) -> list[int]:
    return list(range(count))


def graph(function: Callable[..., Any], *args: Any) -> Any:
    lattice = ct.lattice(function)
    lattice.build_graph(*args)
    return lattice.transport_graph


def nodes(function: Callable[..., Any], *args: Any) -> Made:
    held = graph(function, *args)._graph.nodes
    return [(held[node]["name"], held[node]) for node in held]


def names(function: Callable[..., Any], *args: Any) -> list[str]:
    return [name for name, _ in nodes(function, *args)]


# --- grid


def test_a_grid_has_every_combination_and_the_last_axis_changes_fastest() -> None:
    assert grid(a=[1, 2], b=["xy"], c=(True, False)) == [
        {"a": 1, "b": "xy", "c": True},
        {"a": 1, "b": "xy", "c": False},
        {"a": 2, "b": "xy", "c": True},
        {"a": 2, "b": "xy", "c": False},
    ]


@pytest.mark.parametrize(("axes", "size"), [({}, 1), ({"a": []}, 0), ({"a": [1], "b": []}, 0), ({"a": range(3)}, 3)])
def test_a_grids_size_is_the_product_of_its_axes(axes: dict[str, Any], size: int) -> None:
    assert len(grid(**axes)) == size


def test_axes_may_be_iterated_once_only() -> None:
    assert grid(a=(number for number in (1, 2)), b=iter([3])) == [{"a": 1, "b": 3}, {"a": 2, "b": 3}]


@pytest.mark.parametrize("axis", ["adam", b"x", 3, None])
def test_an_axis_that_is_no_list_is_refused_with_the_remedy(axis: Any) -> None:
    with pytest.raises(TypeError, match=r"write optimizer=\["):
        grid(optimizer=axis)


@pytest.mark.parametrize(
    ("unnamed", "remedy"),
    [
        (([1, 2],), "grid(a=[1, 2])"),
        (([1, 2], ["x"]), "grid(a=[1, 2], b=['x'])"),
        (({"rate": [1, 2]},), "grid(**{'rate': [1, 2]})"),
    ],
)
def test_axes_without_names_are_refused_with_the_remedy(unnamed: Any, remedy: str) -> None:
    with pytest.raises(TypeError) as caught:
        grid(*unnamed)
    assert str(caught.value) == f"grid takes named lists: {remedy}"


# --- in this process


@pytest.mark.parametrize(
    ("items", "constants", "values"),
    [
        ([1, 2, 3], {}, [1, 4, 9]),
        ([1, 2, 3], {"exponent": 3}, [1, 8, 27]),
        ([(2, 3), (3, 2)], {}, [8, 9]),
        ([{"base": 2, "exponent": 5}, {"base": 3}], {}, [32, 9]),
        ([{"base": 2}, {"base": 2, "exponent": 1}], {"exponent": 3}, [8, 2]),
        (zip([2, 3], [3, 2], strict=True), {}, [8, 9]),
        (range(0), {}, []),
        ((1, 2), {}, [1, 4]),
    ],
)
def test_items_of_each_kind_are_called_as_meant(items: Any, constants: dict[str, Any], values: list[int]) -> None:
    assert power.local(items, **constants) == values


def test_outside_a_lattice_a_call_maps_in_this_process() -> None:
    assert power(grid(base=[1, 2], exponent=[2, 3])) == [1, 1, 4, 8]


def test_a_local_map_raises_what_its_function_raises_where_it_does() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        pmap(lambda number: 1 / number).local([1, 0])
    assert caught.traceback[-1].name == "<lambda>"


def test_what_a_local_map_raises_says_in_which_item() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        inverse_or_raise.local([1, 0])
    if sys.version_info >= (3, 11):
        assert caught.value.__notes__ == ["item 1 (0) of the map"]


@pytest.mark.filterwarnings("ignore:Please make sure you are not manipulating:UserWarning")
@pytest.mark.parametrize(
    ("items", "text"),
    [
        ("adam", r"the items of a map are a list, and this is of type str: write \['adam'\]"),
        (b"x", "this is of type bytes"),
        (3, "this is of type int: 'int' object is not iterable"),
        (None, "this is of type NoneType"),
        ({"base": 1}, r"a dict is one item: write \[{...}\], or grid\(\*\*{...}\) for all combinations"),
    ],
)
def test_items_that_nobody_means_are_refused_here_and_in_a_lattice(items: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        power.local(items)
    with pytest.raises(TypeError, match=text):
        names(lambda: power(items))


def test_a_table_is_refused_with_what_to_write() -> None:
    class DataFrame(dict[str, Any]):
        """As pandas and polars call theirs."""

    with pytest.raises(TypeError, match=r"to_dict\('records'\)"):
        power.local(DataFrame(base=[1, 2]))


def test_on_another_executor_all_items_run_and_the_failed_are_named() -> None:
    function = cloudpickle.loads(cloudpickle.dumps(inverse_or_raise._electron.electron_object.function))
    ran: list[int] = []

    def denominators() -> Iterator[int]:
        for number in (1, 0, 2, 0):
            ran.append(number)
            yield number

    with pytest.raises(MapError) as caught:
        function(denominators())
    assert ran == [1, 0, 2, 0]
    assert str(caught.value) == (
        "2 of 4 items of electron 'inverse_or_raise' failed: 1, 3\n"
        "  item 1 (0): ZeroDivisionError: division by zero\n"
        "  item 3 (0): ZeroDivisionError: division by zero"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert str(pickle.loads(pickle.dumps(caught.value)).errors[3]) == "ZeroDivisionError: division by zero"  # noqa: S301 - made here


def test_a_local_map_has_errors_in_the_places_of_items_that_leave_the_interpreter() -> None:
    def leaves(number: int) -> int:
        return number if number else sys.exit("no more")

    one, error = pmap(return_exceptions=True)(leaves).local([1, 0])
    assert (one, str(error)) == (1, "SystemExit: no more")


def test_a_local_map_can_have_errors_in_the_places_of_items() -> None:
    one, error, half = inverse.local([1, 0, 2])
    assert (one, half) == (1.0, 0.5)
    assert type(error) is ElectronError
    assert (error.type_name, error.message) == ("ZeroDivisionError", "division by zero")
    assert "return 1 / number" in error.remote_traceback


@pytest.mark.filterwarnings("ignore:Please make sure you are not manipulating:UserWarning")
@pytest.mark.parametrize(
    ("given", "constants", "text"),
    [
        (([1], [2]), {}, "a map takes one iterable of items, and 2 were given: write zip([1], [2])"),
        ((), {}, "a map takes one iterable of items, without a name, and none was given: write power([...])"),
        (
            (),
            {"base": [1], "exponent": [2]},
            "a map takes one iterable of items, without a name, and none was given: write"
            " power(grid(base=[...], exponent=[...])) for every combination",
        ),
    ],
)
def test_a_map_takes_one_iterable_here_and_in_a_lattice(given: Any, constants: dict[str, Any], text: str) -> None:
    for call in (lambda: power.local(*given, **constants), lambda: names(lambda: power(*given, **constants))):
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == text


@pytest.mark.filterwarnings("ignore:Please make sure you are not manipulating:UserWarning")
def test_several_results_of_electrons_are_to_be_zipped_in_an_electron() -> None:
    with pytest.raises(TypeError, match=r"2 were given: have an electron return list\(zip\(...\)\) of them"):
        names(lambda: power(several(1), several(2)))


def test_a_map_looks_like_its_function() -> None:
    assert repr(power) == "pmap(power)"
    assert (power.__name__, power.__doc__) == ("power", "Raise a number.")


@pytest.mark.parametrize(
    "what", [several, ct.lattice(lambda: 1), power, 3, "text"], ids=lambda value: type(value).__name__
)
def test_what_is_no_plain_function_is_refused(what: Any) -> None:
    with pytest.raises(TypeError, match="pmap takes a plain function"):
        pmap(what)


@pytest.mark.parametrize("what", [len, partial(pow, 2), int])
def test_whatever_can_be_called_may_be_mapped(what: Any) -> None:
    given = [[1, 2], []] if what is len else [1, 2]
    assert pmap(what).local(given) == [what(item) for item in given]


# --- in a lattice


def test_many_items_that_are_dicts_are_one_node() -> None:
    found = names(lambda: power([{"base": number, "exponent": 2} for number in range(400)]))
    assert found == ["power", ":parameter:<400 items for a map>", ":postprocess:reconstruct"]


def test_constants_that_are_collections_are_one_node_each() -> None:
    @pmap
    def score(item: int, options: dict[str, Any], names: list[str]) -> int:
        return item

    found = names(lambda: score([1, 2], options={"a": [1, {"b": (2,)}]}, names=["x"] * 50))
    assert sum(not name.startswith(":") for name in found) == 1
    assert len(found) == 5


def test_the_items_of_an_earlier_electron_are_an_edge_to_it() -> None:
    made = graph(lambda: power(several(3)))._graph
    by_name = {made.nodes[node]["name"]: node for node in made.nodes}
    assert made.has_edge(by_name["several"], by_name["power"])


def test_a_list_of_electrons_is_made_by_covalent() -> None:
    found = names(lambda: power([several(1), several(2)]))
    assert found.count("several") == 2
    assert ":electron_list:" in found


def test_an_item_that_is_a_tuple_with_electrons_stays_one() -> None:
    """Covalent itself makes lists of such tuples."""
    held = [{POSITIONAL: [2, 3]}, 4, (5, 1)]
    assert power.local(held) == [8, 16, 5]
    found = names(lambda: power([(several(1), (2, 3)), (2, 2), {"base": several(1), "exponent": (1,)}]))
    assert found.count(":electron_dict:") == 2
    assert found.count(":parameter:<tuple>") == 3, "what holds no electron is not taken apart"


@pytest.mark.filterwarnings("ignore:Please make sure you are not manipulating:UserWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda result: zip([1, 2], result, strict=False),
        enumerate,
        lambda result: map(str, result),
        lambda result: filter(None, result),
        lambda result: grid(base=result),
    ],
)
def test_what_cannot_know_how_long_an_electrons_result_is_is_refused_and_not_empty(make: Any) -> None:
    with pytest.raises(TypeError, match="is not known while the lattice is built"):
        names(lambda: power(make(several(3))))


def test_a_zip_without_electrons_is_taken() -> None:
    assert ":parameter:<2 items for a map>" in names(lambda: power(zip([1, 2], [3, 4], strict=True)))


def test_items_that_hold_themselves_are_one_node() -> None:
    item: list[Any] = [1]
    item.append(item)
    assert len(names(lambda: power([item]))) == 3


def test_a_constant_that_holds_electrons_is_made_by_covalent() -> None:
    @pmap
    def score(item: int, weights: list[Any]) -> int:
        return item

    assert ":electron_list:" in names(lambda: score([1], weights=[several(1), 2]))


@pytest.mark.filterwarnings("ignore:Please make sure you are not manipulating:UserWarning")
def test_a_constant_by_the_name_of_the_items_is_refused() -> None:
    @pmap
    def score(item: int, items: int) -> int:
        return item

    with pytest.raises(TypeError, match="cannot have the name 'items'"):
        names(lambda: score([1], items=3))


def test_what_an_electron_may_be_given_is_passed_on() -> None:
    mapped = pmap(
        executor="local",
        deps_pip=ct.DepsPip(packages=["numpy"]),
        call_before=[ct.DepsCall(print, args=["before"])],
        call_after=[ct.DepsCall(print)],
    )(lambda item: item)
    (metadata,) = [node["metadata"] for name, node in nodes(lambda: mapped([1])) if name == "<lambda>"]
    assert metadata["executor"] == "local"
    assert metadata["hooks"]["deps"]["pip"]["attributes"]["packages"] == ["numpy"]
    assert [len(metadata["hooks"][when]) for when in ("call_before", "call_after")] == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"executer": "local"}, "pmap has no argument 'executer' (did you mean 'executor'?)"),
        ({"dpes_pip": []}, "pmap has no argument 'dpes_pip' (did you mean 'deps_pip'?)"),
        ({"return_exception": True}, "pmap has no argument 'return_exception' (did you mean 'return_exceptions'?)"),
        ({"qqqq": 1}, "pmap has no argument 'qqqq'"),
        (
            {"max_paralel": 5},
            "pmap has no argument 'max_paralel' (did you mean 'max_parallel', an option of the executor?)",
        ),
        (
            {"max_parallel": 5},
            "max_parallel is an option of the executor: pmap(executor=GCPBatchExecutor(max_parallel=5))",
        ),
        (
            {"spot": True, "xecutor": "local", "vcpus": 4},
            "pmap has no argument 'xecutor' (did you mean 'executor'?); spot, vcpus are options of the executor:"
            " pmap(executor=GCPBatchExecutor(spot=True, vcpus=4))",
        ),
    ],
)
def test_an_argument_that_is_none_is_refused_with_what_was_meant(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError) as caught:
        pmap(**arguments)
    assert str(caught.value) == text


def test_the_electrons_function_maps_by_itself_for_other_executors() -> None:
    function = cloudpickle.loads(cloudpickle.dumps(power._electron.electron_object.function))
    assert function([1, 2], exponent=3) == [1, 8]


def test_a_map_travels_to_where_a_sublattice_is_built() -> None:
    travelled = cloudpickle.loads(cloudpickle.dumps(pmap(lambda item: item + 1)))
    assert isinstance(travelled, ParallelMap)
    assert travelled.local([1]) == [2]


# --- what the dispatcher reads without loading it


def call_of(mapped: Any, items: Any, **kwargs: Any) -> Any:
    function = TransportableObject(mapped._electron.electron_object.function)
    held = {name: TransportableObject(value) for name, value in kwargs.items()}
    wrapped = partial(wrapper_fn, function, [], [])
    call, _ = CovalentCall.parse(wrapped, [TransportableObject(items)], held).read("dispatch", 0)
    return call


@pytest.mark.parametrize(
    ("mapped", "items", "expected"),
    [
        (power, PickledValue([1, 2, 3], items_label(3)), Map(3)),
        (power, [1, 2, 3], Map(None)),
        (inverse, PickledValue([], items_label(0)), Map(0, return_exceptions=True)),
    ],
)
def test_a_map_is_known_by_its_header(mapped: Any, items: Any, expected: Map) -> None:
    assert call_of(mapped, items).map == expected


def test_another_electron_is_no_map() -> None:
    wrapped = partial(wrapper_fn, TransportableObject(len), [], [])
    call, _ = CovalentCall.parse(wrapped, [TransportableObject([1])], {}).read("d", 0)
    assert call.map is None


def test_an_opaque_value_unpickles_to_itself() -> None:
    value = [{"a": (1, 2)}, {3}]
    assert pickle.loads(pickle.dumps(PickledValue(value, "list"))) == value  # noqa: S301 - made here
    assert repr(PickledValue(value, "list")) == "<list>"


@pytest.mark.parametrize("doc", [None, "", "One line.", "Two\nlines\n"])
def test_a_mark_is_found_below_any_docstring(doc: str | None) -> None:
    text = add_marker(doc, {"return_exceptions": True})
    assert read_marker(text) == {"return_exceptions": True}
    assert text.startswith(doc or "")


@pytest.mark.parametrize(
    "doc",
    [None, "", "text", "covalent-parallel-map/1 ", "covalent-parallel-map/1 {", "covalent-parallel-map/1 [1]",
     "covalent-parallel-map/2 {}", 'covalent-parallel-map/1 {"a": 1}\nmore', 3],
)  # fmt: skip
def test_what_is_no_mark_is_none(doc: object) -> None:
    assert read_marker(doc) is None


@pytest.mark.parametrize(
    ("name", "count"),
    [(items_label(7), 7), ("0 items for a map", 0), ("7 items", None), ("-7 items for a map", None), (None, None),
     ("99999999999 items for a map", None), ("", None), (3, None)],
)  # fmt: skip
def test_the_name_of_the_items_says_how_many_they_are(name: object, count: int | None) -> None:
    assert item_count(name) == count


# --- the name


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import covalent_parallel_plugin.pmap",
        "import covalent_parallel_plugin.pmap.decorator",
        "from covalent_parallel_plugin.pmap import local",
        "from covalent_parallel_plugin import grid",
        "import covalent",
    ],
)
def test_pmap_is_the_function_in_every_order_of_imports(before: str) -> None:
    code = f"""
{before}
import covalent_parallel_plugin
from covalent_parallel_plugin import pmap
import covalent_parallel_plugin.pmap.validation
import types
assert isinstance(pmap, types.FunctionType)
assert covalent_parallel_plugin.pmap is pmap
assert covalent_parallel_plugin.pmap(abs)([-1]) == [1]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
