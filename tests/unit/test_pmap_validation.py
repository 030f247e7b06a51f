"""What a map's function cannot be called with is told when the graph is built, and nothing else is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import covalent as ct
import pytest

from covalent_parallel_plugin import ElectronError, pmap

pytestmark = pytest.mark.filterwarnings("ignore:Please make sure you are not manipulating:UserWarning")


def train(rate: float, size: int, data: Any = None) -> Any:
    return (rate, size, data)


def rest(first: int, *others: int, **named: int) -> Any:
    return (first, others, named)


def placed(first: int, /, second: int = 0, *, third: int = 0) -> Any:
    return (first, second, third)


def none() -> int:
    return 1


@ct.electron
def several(count: int) -> list[int]:
    return list(range(count))


class Model:
    """A function that is a method, and one that is an object."""

    def fit(self, rate: float) -> float:
        return rate

    def __call__(self, rate: float) -> float:
        return rate


def build(function: Callable[..., Any], items: Any, **constants: Any) -> None:
    """Build the graph of a map; `items` may be a function that makes them of electrons."""
    mapped = function if hasattr(function, "local") else pmap(function)
    ct.lattice(lambda: mapped(items() if callable(items) else items, **constants)).build_graph()


def told(call: Callable[[], Any]) -> list[str]:
    """The lines of what a call is refused with."""
    with pytest.raises(TypeError) as caught:
        call()
    return str(caught.value).splitlines()


WRONG: list[tuple[Callable[..., Any], Any, dict[str, Any], list[str]]] = [
    (
        train,
        [(1, 2), (3, 4)],
        {"c": 3},
        ["the keywords of the map: there is no parameter 'c'"],
    ),
    (
        train,
        [(1, 2)],
        {"return_exceptions": True, "max_parallel": 5, "deps_pip": []},
        [
            "the keywords of the map: there is no parameter 'deps_pip', which is an argument of ct.electron and pmap:"
            " @ct.electron(deps_pip=...), @pmap(deps_pip=...), there is no parameter 'max_parallel', which is an option"
            " of the executor: GCPBatchExecutor(max_parallel=...), there is no parameter 'return_exceptions', which is"
            " an argument of pmap: @pmap(executor=GCPBatchExecutor(...), return_exceptions=...)"
        ],
    ),
    (train, [1], {}, ["item 0 (1): 'size' is missing"]),
    (train, [(1, 2), 3, (4, 5, 6, 7)], {}, [
        "item 1 (3): 'size' is missing",
        "item 2 ((4, 5, 6, 7)): 4 positional arguments, and it takes 3",
    ]),
    (train, [{"rat": 1, "size": 2}], {}, [
        "item 0 ({'rat': 1, 'size': 2}): there is no parameter 'rat' (did you mean 'rate'?), 'rate' is missing"
    ]),
    (train, [(1, 2)], {"size": 3}, [
        "item 0 ((1, 2)): 'size' comes twice, by its place and as a keyword of the map"
    ]),
    (train, [{"rate": 1, 2: 3}], {"size": 3}, ["item 0 ({'rate': 1, 2: 3}): 2 is not a name of a parameter"]),
    (train, list(range(5)), {"dta": 1}, [
        "the keywords of the map: there is no parameter 'dta' (did you mean 'data'?)",
        "items 0 (0), 1 (1), 2 (2) and 2 more: 'size' is missing",
    ]),
    (rest, [()], {}, ["item 0 (()): 'first' is missing"]),
    (placed, [{"first": 1}], {}, ["item 0 ({'first': 1}): 'first' cannot be given by its name, 'first' is missing"]),
    (placed, [(1, 2, 3)], {}, ["item 0 ((1, 2, 3)): 3 positional arguments, and it takes 2"]),
    (none, [1], {}, ["item 0 (1): 1 positional argument, and it takes 0"]),
    (Model().fit, [(1, 2)], {}, ["item 0 ((1, 2)): 2 positional arguments, and it takes 1"]),
    (Model(), [(1, 2)], {}, ["item 0 ((1, 2)): 2 positional arguments, and it takes 1"]),
    (functools.partial(train, size=2), [1], {"c": 1}, ["the keywords of the map: there is no parameter 'c'"]),
]  # fmt: skip


@pytest.mark.parametrize(("function", "items", "constants", "lines"), WRONG)
def test_what_a_function_cannot_be_called_with_is_refused_when_the_graph_is_built(
    function: Callable[..., Any], items: Any, constants: dict[str, Any], lines: list[str]
) -> None:
    assert told(lambda: build(function, items, **constants))[1:] == [f"  - {line}" for line in lines]


@pytest.mark.parametrize(("function", "items", "constants", "lines"), WRONG)
def test_it_is_refused_in_this_process_before_the_first_call(
    function: Callable[..., Any], items: Any, constants: dict[str, Any], lines: list[str]
) -> None:
    assert told(lambda: pmap(function).local(items, **constants))[1:] == [f"  - {line}" for line in lines]


@pytest.mark.parametrize(
    ("function", "items", "constants", "values"),
    [
        (train, [(1, 2), {"rate": 3, "size": 4}, {"rate": 5, "size": 6, "data": 7}], {"data": 8},
         None),
        (train, [1], {"size": 2}, [(1, 2, None)]),
        (train, [{"rate": 1}], {"size": 2}, [(1, 2, None)]),
        (rest, [(1, 2, 3), 4, {"first": 5, "x": 6}], {"named": 7}, None),
        (placed, [1, (2, 3)], {"third": 4}, [(1, 0, 4), (2, 3, 4)]),
        (none, [(), {}], {}, [1, 1]),
        (functools.partial(train, size=2), [1], {}, [(1, 2, None)]),
        (int, ["7"], {}, [7]),
        (max, [(1, 2)], {}, [2]),
        (Model().fit, [1], {}, [1]),
        (Model, [], {}, []),
    ],
)  # fmt: skip
def test_what_python_would_call_is_called(
    function: Callable[..., Any], items: Any, constants: dict[str, Any], values: Any
) -> None:
    found = pmap(function).local(items, **constants)
    assert len(found) == len(items)
    assert values is None or found == values


def test_a_wrapper_that_takes_more_than_what_it_wraps_is_called() -> None:
    @functools.wraps(train)
    def seeded(*args: Any, seed: int = 0, **named: Any) -> Any:
        return train(*args, data=seed, **named)

    assert pmap(seeded).local([(1, 2)], seed=7) == [(1, 2, 7)]


def test_the_message_begins_with_the_function_and_its_parameters() -> None:
    assert told(lambda: build(train, [1]))[0] == "train(rate, size, data) cannot be called with what its map is given:"


def test_mistakes_are_no_errors_in_the_places_of_items() -> None:
    mapped = pmap(return_exceptions=True)(train)
    assert told(lambda: mapped.local([1]))[1:] == ["  - item 0 (1): 'size' is missing"]


def test_what_a_function_itself_raises_is_no_mistake() -> None:
    def raises(item: int) -> None:
        raise TypeError("missing a required argument")

    (error,) = pmap(return_exceptions=True)(raises).local([1])
    assert isinstance(error, ElectronError)


def test_of_many_kinds_of_mistakes_the_first_are_told() -> None:
    lines = told(lambda: build(train, [{f"wrong{number}": 1} for number in range(30)]))
    assert len(lines) == 22
    assert lines[-1] == "  - ... and 10 more"


def test_the_first_thousand_items_are_checked() -> None:
    build(train, [(1, 2)] * 1000 + [3])
    assert len(told(lambda: build(train, [(1, 2)] * 999 + [3]))) == 2


def test_values_that_electrons_return_are_there_and_items_that_they_return_are_unknown() -> None:
    build(train, lambda: [(several(1), 2), several(2), {"rate": several(1), "size": 1}], data=several(1))
    build(train, lambda: several(2))
    lines = told(lambda: build(train, lambda: [several(1), (several(1),)]))
    assert [line.endswith("'size' is missing") for line in lines[1:]] == [True]
    assert lines[1].startswith("  - item 1 (")


def test_keywords_are_checked_where_an_electron_returns_the_items() -> None:
    assert told(lambda: build(train, lambda: several(2), c=several(1)))[1:] == [
        "  - the keywords of the map: there is no parameter 'c'"
    ]


def test_what_hooks_add_is_there() -> None:
    hook = ct.DepsCall(several, args=[2], retval_keyword="size")
    build(pmap(call_before=[hook])(train), [1])
    ct.lattice(lambda: pmap(train)([1]), call_before=[hook]).build_graph()
    assert told(lambda: pmap(call_before=[hook])(train).local([1]))[1:] == ["  - item 0 (1): 'size' is missing"]
