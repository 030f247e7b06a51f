"""Covalent's own nodes, as it makes them for a lattice, and a way to run one."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import own_covalent
import pytest

own_covalent.load()

import covalent as ct  # noqa: E402
from covalent._workflow.transportable_object import TransportableObject  # noqa: E402
from covalent.executor.utils.wrappers import wrapper_fn  # noqa: E402

from covalent_parallel_plugin.batch.cancellation import Cancellation  # noqa: E402
from covalent_parallel_plugin.covalent_api import transportable  # noqa: E402
from covalent_parallel_plugin.covalent_api.builtin_nodes.run_node import run_node  # noqa: E402
from covalent_parallel_plugin.covalent_api.builtin_nodes.worker_pool import WorkerPool  # noqa: E402

if TYPE_CHECKING:
    from covalent_parallel_plugin.electron.verdict import Verdict


@ct.electron
def first(value: Any = None) -> Any:
    return value


@ct.electron
def second(value: Any, table: Any) -> Any:
    return value


def every_node() -> Any:
    made = first(1)
    other = second([made, 1], {"key": made})
    one, two = first(other)
    _ = made - other, made * 2, 3 / made, made**2
    return [other["key"], other.name, made + other, one, two[0]]


@pytest.fixture(scope="session")
def functions() -> Mapping[str, TransportableObject]:
    """The functions of all nodes of a lattice, by the names in their headers."""
    lattice = ct.lattice(every_node)
    lattice.build_graph()
    nodes = lattice.transport_graph._graph.nodes
    made = [nodes[number]["function"] for number in nodes]
    # Parameters are nodes as well, with no function.
    return {function.attrs["name"]: function for function in made if function and function.attrs["name"]}


@pytest.fixture(scope="session")
def function_of(functions: Mapping[str, TransportableObject]) -> Callable[[str], TransportableObject]:
    """One of Covalent's functions, by a word for what it does."""
    names = {
        "list": "_auto_list_node",
        "dict": "_auto_dict_node",
        "item": ":second.__getitem__",
        "attribute": ":second.__getattr__",
        "iteration": ":first()[0]",
        "sum": "first_+_second",
        "ratio": "3_/_first",
        "postprocess": "_postprocess_recursively",
        "user": "second",
    }
    return lambda word: functions[names[word]]


@pytest.fixture(scope="module")
def workers() -> Iterator[WorkerPool]:
    made = WorkerPool()
    yield made
    made.close()


Run = Callable[..., "Verdict | None"]


@pytest.fixture
def run(workers: WorkerPool, tmp_path: Path) -> Run:
    """Run a node with arguments, each a value or what Covalent holds for one; None where it would go to Batch."""

    def run_one(
        function: TransportableObject,
        *args: Any,
        hooks: Sequence[Any] = (),
        workers: WorkerPool = workers,
        python: str = platform.python_version(),
        **kwargs: Any,
    ) -> Verdict | None:
        given = [TransportableObject.make_transportable(value) for value in args]
        named = {name: TransportableObject.make_transportable(value) for name, value in kwargs.items()}
        parsed = transportable.CovalentCall.parse(partial(wrapper_fn, function, hooks, []), given, named)
        call, pickles = parsed.read("dispatch", 1)
        call = replace(call, python=python)
        return asyncio.run(run_node(call, pickles, given, Cancellation(), str(tmp_path), workers))

    return run_one


@pytest.fixture
def held(run: Run) -> Callable[..., transportable.RawTransportable]:
    """What Covalent holds for the value of a node afterwards."""

    def value_of(*args: Any, **kwargs: Any) -> transportable.RawTransportable:
        ended = run(*args, **kwargs)
        assert ended is not None and hasattr(ended, "outcome"), ended
        return transportable.RawTransportable(ended.outcome)

    return value_of
