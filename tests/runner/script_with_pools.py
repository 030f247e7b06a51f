"""A script whose electrons use its functions in pools and caches. Prints the pickles of its electrons, by name."""

from __future__ import annotations

import enum
import functools
import pickle
import threading
import typing
from typing import Any, NamedTuple

import cloudpickle

shared = None
added = 2
# No pickle holds it, and no function needs it.
lock = threading.Lock()


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    class Kind(enum.Enum):
        FIRST = 1


class Named(NamedTuple):
    x: int


def square(x: int) -> int:
    return x * x


def moved(point: Point) -> Point:
    return Point(point.x + 1)


def initialize(value: int) -> None:
    global shared
    shared = value


def add_shared(x: int) -> int:
    return x + shared


@functools.lru_cache(None)
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


class Table:
    @functools.lru_cache(maxsize=2)  # noqa: B019
    def row(self, number: int) -> int:
        return number + 1


def pool(method: str) -> list[int]:
    import multiprocessing

    with multiprocessing.get_context(method).Pool(2) as workers:
        return workers.map(square, [1, 2, 3])


def executor(method: str) -> list[int]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as workers:
        return list(workers.map(square, [1, 2, 3]))


def initializer(method: str) -> list[int]:
    import multiprocessing

    with multiprocessing.get_context(method).Pool(2, initialize, (10,)) as workers:
        return workers.map(add_shared, [1, 2])


def executor_initializer(method: str) -> list[int]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context, initializer=initialize, initargs=(10,)) as workers:
        return list(workers.map(add_shared, [1, 2]))


def put_moved(queue: Any, point: Point) -> None:
    queue.put(moved(point))


def process(method: str) -> list[object]:
    import multiprocessing

    context = multiprocessing.get_context(method)
    queue = context.Queue()
    worker = context.Process(target=put_moved, args=(queue, Point(1)))
    worker.start()
    point = queue.get(timeout=60)
    worker.join()
    return [point.x, isinstance(point, Point)]


def pool_after_forks(method: str) -> list[int]:
    """With workers of two kinds."""
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(1) as workers:
        forked = workers.map(square, [1])
        return forked + executor_initializer(method)


def classes(method: str) -> list[object]:
    import multiprocessing

    with multiprocessing.get_context(method).Pool(1) as workers:
        (point,) = workers.map(moved, [Point(1)])
    return [point.x, isinstance(point, Point)]


def cached_in_a_pool(method: str) -> list[int]:
    import multiprocessing

    with multiprocessing.get_context(method).Pool(1) as workers:
        return workers.map(fibonacci, [10, 20])


@functools.singledispatch
def kind(value: object) -> str:
    return "object"


@kind.register
def _(value: Point) -> str:
    return "point"


class Shape:
    @functools.cached_property
    def area(self) -> int:
        return 4

    @functools.singledispatchmethod
    def grown(self, by: object) -> str:
        return "by an object"

    @grown.register
    def _(self, by: int) -> str:
        return f"by {by}"


def dispatched(method: str) -> list[object]:
    import multiprocessing

    with multiprocessing.get_context(method).Pool(1) as workers:
        kinds = workers.map(kind, [1, Point(1)])
    return [kind(Point(1)), *kinds, Shape().area, Shape().grown(1), Shape().grown("")]


def plus(x: int) -> int:
    class Sum:
        lock = "of the class alone"
        value, name = x + added, lock

    return Sum.value


def bodies_of_classes(method: str) -> list[int]:
    import multiprocessing

    class Sum:
        value: int = square(added)

    with multiprocessing.get_context(method).Pool(1) as workers:
        return [Sum.value, *workers.map(plus, [1, 2])]


def cached(method: str) -> list[object]:
    table = Table()
    return [fibonacci(30), fibonacci.cache_info().misses, table.row(1), Table.row.cache_parameters()["maxsize"]]


def pickled(method: str) -> int:
    return pickle.loads(pickle.dumps(Point(7))).x  # noqa: S301  # its own


def pickled_arguments(values: list[Any]) -> list[bool]:
    """Names none of the classes and functions that it gets."""
    read = pickle.loads(pickle.dumps(values))  # noqa: S301  # its own
    return [type(one) is type(other) for one, other in zip(values, read, strict=True)]


def returned(method: str) -> list[Any]:
    """Return instances and functions of the script that have caches or depend on types."""
    shape = Shape()
    return [shape, shape.area, Table(), fibonacci, kind, Point.Kind.FIRST]


def unnamed(name: str) -> str:
    """Ask `__main__` for what no code of the electron names."""
    import __main__

    try:
        return str(getattr(__main__, name))
    except AttributeError as error:
        return str(error)


def hinted(point: Point) -> None:
    """Has a class of the script in its annotations only."""


def in_text(text: str) -> object:
    """Have a text looked at, which names what no code of the electron does."""
    if text == "hints":
        return typing.get_type_hints(hinted)
    return eval(text) if text != "import" else exec("from __main__ import moved")  # noqa: S102  # its own


def refused(method: str) -> str:
    import multiprocessing
    import threading

    lock = threading.Lock()
    try:
        with multiprocessing.get_context(method).Pool(1) as workers:
            workers.map(lambda x: lock, [1])
    except Exception as error:
        return str(error)
    return ""


ELECTRONS: dict[str, Any] = {
    each.__name__: each
    for each in (
        *(pool, executor, initializer, executor_initializer, process, pool_after_forks, classes, cached_in_a_pool),
        *(bodies_of_classes, dispatched, cached, pickled, pickled_arguments, returned, unnamed, in_text, refused),
    )
}
# Not named by an electron: what comes as an argument
ARGUMENTS = [Point(1), Point.Kind.FIRST, Named(1), square]

if __name__ == "__main__":
    import covalent_parallel_plugin.gcpbatch  # noqa: F401

    sent = {name: cloudpickle.dumps(electron) for name, electron in ELECTRONS.items()}
    print(pickle.dumps(sent | {"ARGUMENTS": cloudpickle.dumps(ARGUMENTS)}).hex())
