"""The limit on readings of the log, with a clock that the test turns."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.cloud.logging import READS_PER_MINUTE, LogReader
from covalent_parallel_plugin.cloud.rate_limiter import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_so_many_pass_and_no_more() -> None:
    limiter = RateLimiter(3, 60, Clock())
    assert [limiter.take() for _ in range(5)] == [True, True, True, False, False]


def test_the_window_slides() -> None:
    clock = Clock()
    limiter = RateLimiter(2, 60, clock)
    taken = []
    for now in (0, 30, 59.9, 60, 60.1, 89.9, 90):
        clock.now = now
        taken.append(limiter.take())
    assert taken == [True, True, False, True, False, False, True]


def test_what_was_refused_is_not_counted() -> None:
    clock = Clock()
    limiter = RateLimiter(1, 60, clock)
    for now in range(0, 60, 10):
        clock.now = now
        limiter.take()
    clock.now = 60
    assert limiter.take()


def test_nothing_passes_while_the_service_wants_a_pause() -> None:
    clock = Clock()
    limiter = RateLimiter(10, 60, clock)
    limiter.back_off(30)
    limiter.back_off(5)
    taken = []
    for now in (0, 29.9, 30):
        clock.now = now
        taken.append(limiter.take())
    assert taken == [False, False, True]


@given(st.lists(st.floats(0, 30), max_size=200))
def test_in_no_minute_do_more_pass_than_allowed(pauses: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(5, 60, clock)
    passed = []
    for pause in pauses:
        clock.now += pause
        if limiter.take():
            passed.append(clock.now)
    for start in passed:
        assert sum(start <= moment < start + 60 for moment in passed) <= 5


def test_threads_do_not_pass_more_together() -> None:
    limiter = RateLimiter(100, 60, Clock())
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: limiter.take(), range(1000))) == 100


def test_one_project_has_one_limit_below_googles_and_another_its_own() -> None:
    one, same, other = LogReader.shared("p-1"), LogReader.shared("p-1"), LogReader.shared("p-2")
    assert one._limiter is same._limiter
    assert one._limiter is not other._limiter
    assert READS_PER_MINUTE < 60
