"""A script whose electrons use its functions in pools and caches. Prints the pickles of its electrons, by name."""

from __future__ import annotations

import functools
import pickle
from typing import Any

import cloudpickle

shared = None


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


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


def classes(method: str) -> list[object]:
    import multiprocessing

    with multiprocessing.get_context(method).Pool(1) as workers:
        (point,) = workers.map(moved, [Point(1)])
    return [point.x, isinstance(point, Point)]


def cached_in_a_pool(method: str) -> list[int]:
    import multiprocessing

    with multiprocessing.get_context(method).Pool(1) as workers:
        return workers.map(fibonacci, [10, 20])


def cached(method: str) -> list[object]:
    table = Table()
    return [fibonacci(30), fibonacci.cache_info().misses, table.row(1), Table.row.cache_parameters()["maxsize"]]


def pickled(method: str) -> int:
    return pickle.loads(pickle.dumps(Point(7))).x  # noqa: S301  # its own


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
    each.__name__: each for each in (pool, executor, initializer, classes, cached_in_a_pool, cached, pickled, refused)
}

if __name__ == "__main__":
    import covalent_parallel_plugin.gcpbatch  # noqa: F401

    print(pickle.dumps({name: cloudpickle.dumps(electron) for name, electron in ELECTRONS.items()}).hex())
