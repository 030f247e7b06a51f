"""Blocking functions that are waited for no longer than so many seconds, whatever they wait for.

Their threads end with the process: one that looks up a host's name, or reads from a server that sends a byte now and
then, cannot be stopped otherwise.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ..errors import UnavailableError

T = TypeVar("T")

SHARE = 0.6


class Deadline:
    """A moment; nothing is waited for any longer.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._until = clock() + seconds

    def share(self, at_most: float) -> float:
        """How many seconds one request may take: the larger part of what is left, so that others get their turn."""
        return max(min(SHARE * (self._until - self._clock()), at_most), 0.0)


class _Result(Generic[T]):
    def __init__(self) -> None:
        self.value: T | None = None
        self.error: BaseException | None = None
        self.done = threading.Event()

    def run(self, function: Callable[[], T]) -> None:
        try:
            self.value = function()
        except BaseException as error:
            self.error = error
        self.done.set()


def call_within(seconds: float, what: str, function: Callable[[], T]) -> T:
    """Return what the function returns.

    Raises:
        UnavailableError: it did not within so many seconds; `what` says who was asked.
        Exception: what it raises.
    """
    result: _Result[T] = _Result()
    threading.Thread(target=result.run, args=(function,), daemon=True, name="covalent-parallel-timed").start()
    if not result.done.wait(seconds):
        raise UnavailableError(f"{what} did not answer within {seconds:.0f} s")
    if result.error is not None:
        raise result.error
    return result.value  # type: ignore[return-value]  # it is a T, which may be None


def call_all_within(seconds: float, functions: Sequence[Callable[[], T]], threads: int) -> list[T | None]:
    """Return what the functions return, in order, so many at a time; None for those that had not by then.

    Raises:
        Exception: what the first of them raises that raised.
    """
    results: list[_Result[T]] = [_Result() for _ in functions]
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(functions)):
        waiting.put(number)
    until = time.monotonic() + seconds

    def work() -> None:
        while time.monotonic() < until:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            results[number].run(functions[number])

    for _ in range(min(threads, len(functions))):
        threading.Thread(target=work, daemon=True, name="covalent-parallel-timed").start()
    for result in results:
        result.done.wait(max(until - time.monotonic(), 0.0))
    for result in results:
        if result.done.is_set() and result.error is not None:
            raise result.error
    return [result.value if result.done.is_set() else None for result in results]
