"""Functions that are waited for so long and no longer."""

from __future__ import annotations

import threading

import pytest

from covalent_parallel_plugin.cloud.timed_calls import Deadline, call_all_within, call_within
from covalent_parallel_plugin.errors import UnavailableError


def test_what_a_function_returns_and_raises_comes_out() -> None:
    assert call_within(60, "nobody", lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        call_within(60, "nobody", lambda: 1 // 0)


def test_one_that_does_not_return_is_not_waited_for() -> None:
    never = threading.Event()
    with pytest.raises(UnavailableError, match="the bucket did not answer within 0 s"):
        call_within(0.01, "the bucket", never.wait)


def test_of_many_those_that_are_done_in_time_come_out_in_order() -> None:
    never = threading.Event()
    functions = [lambda: 1, lambda: int(never.wait()), lambda: 3]
    assert call_all_within(60, [lambda: 1, lambda: 2, lambda: 3], threads=2) == [1, 2, 3]
    assert call_all_within(0.5, functions, threads=3)[1] is None
    assert call_all_within(60, [], threads=3) == []


def test_the_first_that_raises_is_told() -> None:
    with pytest.raises(ZeroDivisionError):
        call_all_within(60, [lambda: 1, lambda: 1 // 0], threads=1)


def test_a_deadline_leaves_less_and_less_and_something_for_later() -> None:
    now = 100.0
    deadline = Deadline(10, lambda: now)
    assert (deadline.share(60), deadline.share(3)) == (6, 3)
    now = 120.0
    assert deadline.share(60) == 0
