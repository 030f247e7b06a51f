"""The times of an attempt, of three clocks, and what Batch's events tell of attempts: pure."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.batch.attempt_times import MEASURED, TIMES, BatchAttempt, ordered_times, task_attempts
from covalent_parallel_plugin.cloud.batch import Event

START = 1_700_000_000.0
SECONDS = st.one_of(st.none(), st.floats(START - 1e4, START + 1e4), st.sampled_from([START, START + 1, math.nan]))
ANY_TIMES = st.fixed_dictionaries({}, optional=dict.fromkeys(TIMES, SECONDS))


@given(ANY_TIMES)
def test_phases_are_in_order_and_add_up(times: dict[str, float | None]) -> None:
    found = ordered_times(times)
    assert tuple(found) == TIMES
    seen = [value for value in found.values() if value is not None]
    assert all(first <= second for first, second in pairwise(seen))
    assert [name for name in TIMES if found[name] is None] == [
        name for name in TIMES if times.get(name) is None or math.isnan(times[name] or 0.0)
    ]
    entered, collected = found["entered"], found["collected"]
    if entered is not None and collected is not None:
        assert seen[0] == entered == pytest.approx(times["entered"], abs=0.001)
        assert seen[-1] == collected
        assert sum(second - first for first, second in pairwise(seen)) == pytest.approx(collected - entered, abs=0.01)


@given(ANY_TIMES)
def test_times_in_order_stay_as_they_are(times: dict[str, float | None]) -> None:
    found = ordered_times(times)
    assert ordered_times(found) == pytest.approx(found, abs=0.002)


@given(
    offset=st.floats(-1e6, 1e6),
    phases=st.lists(st.floats(0, 10), min_size=len(MEASURED), max_size=len(MEASURED)),
    waits=st.lists(st.floats(0, 100), min_size=4, max_size=4),
    late=st.floats(0, 30),
)
def test_a_clock_that_is_wrong_makes_no_phase_shorter(
    offset: float, phases: list[float], waits: list[float], late: float
) -> None:
    submitted = START + waits[0]
    began = submitted + waits[1]
    measured, moment = {}, began
    for name, seconds in zip(MEASURED, phases, strict=True):
        moment += seconds
        measured[name] = moment + offset
    times = {"entered": START, "submitted": submitted, "running": began + late, "collected": moment + waits[2]}
    found = ordered_times({**times, **measured})
    for first, second in pairwise(MEASURED):
        lasted = (found[second] or 0.0) - (found[first] or 0.0)
        assert lasted == pytest.approx(measured[second] - measured[first], abs=0.01)


def test_what_no_clock_told_of_is_not_seen() -> None:
    assert set(ordered_times({}).values()) == {None}


def test_infinite_times_and_texts_are_not_seen() -> None:
    found = ordered_times({"began": math.inf, "fetched": "1", "ran_to": True, "collected": 5})  # type: ignore[dict-item]
    assert {name for name, value in found.items() if value is not None} == {"collected"}


def change(seconds: float, before: str, after: str, where: str = "", code: int | None = None) -> Event:
    ending = "" if code is None else f" with exit code {code}"
    return Event(f"Task state is updated from {before} to {after}{where}{ending}.", seconds, code)


FIRST, SECOND = " on zones/us-east1-b/instances/123", " on zones/us-east1-c/instances/456"


def test_attempts_are_told_apart_by_what_they_went_through() -> None:
    events = [
        change(1, "PENDING", "ASSIGNED", FIRST),
        change(2, "ASSIGNED", "RUNNING", FIRST),
        Event("the user's own", 2.5),
        change(3, "RUNNING", "FAILED", FIRST, 50001),
        change(3, "FAILED", "PENDING", FIRST),
        change(4, "PENDING", "ASSIGNED", SECOND),
        change(5, "ASSIGNED", "RUNNING", SECOND),
        change(6, "RUNNING", "SUCCEEDED", SECOND),
    ]
    assert task_attempts(events) == [
        BatchAttempt(0, "FAILED", 1, 2, 3, 50001, "us-east1-b", "123"),
        BatchAttempt(1, "SUCCEEDED", 4, 5, 6, None, "us-east1-c", "456"),
    ]


@pytest.mark.parametrize(
    ("events", "attempts"),
    [
        ([], []),
        ([change(1, "PENDING", "UNEXECUTED")], []),
        (
            [change(1, "PENDING", "ASSIGNED", FIRST)],
            [BatchAttempt(0, "ASSIGNED", 1, zone="us-east1-b", instance="123")],
        ),
        (
            [change(1, "PENDING", "ASSIGNED"), change(2, "ASSIGNED", "PENDING"), change(3, "PENDING", "ASSIGNED")],
            [BatchAttempt(0, "PENDING", 1, None, 2), BatchAttempt(1, "ASSIGNED", 3)],
        ),
        ([change(2, "RUNNING", "FAILED", code=50002)], [BatchAttempt(0, "FAILED", None, None, 2, 50002)]),
        (
            [change(1, "PENDING", "ASSIGNED"), change(2, "PENDING", "ASSIGNED")],
            [BatchAttempt(0, "ASSIGNED", 1), BatchAttempt(1, "ASSIGNED", 2)],
        ),
    ],
)
def test_events_that_are_missing_make_no_attempt_up(events: list[Event], attempts: list[BatchAttempt]) -> None:
    assert task_attempts(events) == attempts
