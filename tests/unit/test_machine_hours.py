"""How long machines were held: of a trace's records, and of jobs as Batch reports them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.batch.machine_hours import JobUse, machine_seconds
from covalent_parallel_plugin.cloud.batch import Event, JobStatus

BEGAN = 1_000.0


def attempt(instance: str | None = None, zone: str = "us-east1-b", **times: float | None) -> dict[str, Any]:
    machine = None if instance is None else {"type": "n2-standard-2", "zone": zone, "instance": instance, "spot": False}
    return {"v": 1, "kind": "attempt", "node": 0, "task": 0, "attempt": 0, "t": times, "machine": machine}


def event(old: str, new: str, seconds: float) -> Event:
    return Event(f"Job state is set from {old} to {new} for job projects/1/locations/us-east1/jobs/j.", seconds)


def job(state: str = "RUNNING", ended: float | None = None, has_run: bool = True, **counts: int) -> JobStatus:
    events = [event("QUEUED", "SCHEDULED", BEGAN - 90)]
    if has_run:
        events.append(event("SCHEDULED", "RUNNING", BEGAN))
    if ended is not None:
        events.append(event("RUNNING", state, ended))
    return JobStatus("j", "u", state, counts, events)


def test_a_machine_counts_from_its_tasks_start_to_its_end_and_not_to_when_somebody_looked():
    one = attempt("a", entered=1, submitted=2, scheduled=10, running=15, ran_to=40, delivered=42, collected=71)

    assert machine_seconds([one]) == 27
    assert machine_seconds([attempt("a", running=15, delivered=42, ended=43, collected=71)]) == 28
    assert machine_seconds([attempt("a", scheduled=10, began=16, delivered=42)]) == 26


def test_a_machine_that_many_tasks_share_counts_once():
    records = [attempt("a", scheduled=10, running=20 + index, delivered=50 + index) for index in range(20)]

    assert machine_seconds(records) == 49


def test_machines_of_the_same_name_in_two_zones_are_two():
    records = [attempt("a", zone, running=10, delivered=20) for zone in ("us-east1-b", "us-east1-c")]

    assert machine_seconds(records) == 20


def test_an_attempt_whose_machine_is_not_known_is_a_machine_of_its_own():
    assert machine_seconds([attempt(running=10, ended=20), attempt(running=10, ended=20)]) == 20


@pytest.mark.parametrize(
    "times", [{}, {"scheduled": 5}, {"scheduled": 5, "running": None, "ended": 9, "collected": 99}]
)
def test_what_never_started_costs_nothing(times: dict[str, float | None]):
    assert machine_seconds([attempt("a", **times)]) == 0


def test_other_records_and_values_that_are_no_times_count_as_not_there():
    odd = [
        {"kind": "ended", "node": 1, "t": {"running": 1, "delivered": 99}},
        {"kind": "attempt"},
        {"kind": "attempt", "t": [1, 2]},
        {"kind": "attempt", "t": {"running": "now", "delivered": float("nan")}},
        {"kind": "attempt", "t": {"running": True}, "machine": "a"},
        {"kind": "attempt", "t": {"running": 5, "delivered": 5}, "machine": {"instance": ["a"], "zone": {}}},
        {},
    ]

    assert machine_seconds([*odd, attempt("a", running=1, delivered=3)]) == 2


TIMES = st.one_of(st.none(), st.floats(0, 1e9))
RECORDS = st.lists(
    st.builds(
        attempt,
        st.sampled_from([None, "a", "b"]),
        st.sampled_from(["x", "y"]),
        scheduled=TIMES,
        running=TIMES,
        ran_to=TIMES,
        delivered=TIMES,
    ),
    max_size=8,
)


@given(RECORDS, st.randoms())
def test_neither_the_order_of_records_nor_one_that_comes_twice_changes_anything_for_known_machines(
    records: list[dict[str, Any]], random: Any
):
    mixed = list(records)
    random.shuffle(mixed)

    assert machine_seconds(mixed) == pytest.approx(machine_seconds(records))
    known = [record for record in records if record["machine"]]
    assert machine_seconds(known + known) == pytest.approx(machine_seconds(known))


@given(RECORDS)
def test_a_record_more_never_makes_it_less(records: list[dict[str, Any]]):
    sums = [machine_seconds(records[:count]) for count in range(len(records) + 1)]

    assert all(later >= earlier - 1e-3 for earlier, later in itertools.pairwise(sums))


def test_a_job_that_runs_has_its_machines_since_it_began_to_run():
    assert JobUse().seen(job(RUNNING=5, ASSIGNED=2, PENDING=9), 4, BEGAN + 30).seconds == 60


@pytest.mark.parametrize("state", ["QUEUED", "SCHEDULED", "CANCELLED", "FAILED"])
def test_a_job_that_never_ran_costs_nothing(state: str):
    ended = BEGAN + 50 if state in ("CANCELLED", "FAILED") else None
    never_ran = job(state, ended, has_run=False, PENDING=3, UNEXECUTED=4)

    assert JobUse().seen(never_ran, 1, BEGAN + 99).seconds == 0


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "CANCELLED"])
def test_an_ended_job_has_a_machine_for_the_tasks_that_ran_until_its_end(state: str):
    ended = job(state, BEGAN + 20, SUCCEEDED=3, FAILED=2, UNEXECUTED=70)

    assert JobUse().seen(ended, 2, BEGAN + 5000).seconds == 60
    assert JobUse().seen(ended, 2, BEGAN + 5000, most_machines=2).seconds == 40


def test_looks_add_up_to_what_was_used_while_machines_came_and_went():
    use = JobUse()
    use = use.seen(job("SCHEDULED", has_run=False, PENDING=8), 1, BEGAN - 10)
    use = use.seen(job(RUNNING=4, PENDING=4), 1, BEGAN + 10)
    use = use.seen(job(RUNNING=2, SUCCEEDED=6), 1, BEGAN + 20)
    assert use.seconds == 40 + 30
    use = use.seen(job("SUCCEEDED", BEGAN + 25, SUCCEEDED=8), 1, BEGAN + 30)

    assert use.seconds == 40 + 30 + 10
    assert use.seen(job("SUCCEEDED", BEGAN + 25, SUCCEEDED=8), 1, BEGAN + 90) == use


def test_a_job_whose_machine_was_taken_keeps_what_it_used():
    use = JobUse().seen(job(RUNNING=1), 1, BEGAN + 10).seen(job(PENDING=1), 1, BEGAN + 20)
    later = use.seen(job(PENDING=1), 1, BEGAN + 500)

    assert 10 <= use.seconds <= 20
    assert later.seconds == use.seconds


def test_a_job_that_runs_without_an_event_that_says_so_counts_from_the_first_look():
    silent = JobStatus("j", "u", "RUNNING", {"RUNNING": 2})

    assert JobUse().seen(silent, 1, BEGAN).seconds == 0
    assert JobUse().seen(silent, 1, BEGAN).seen(silent, 1, BEGAN + 5).seconds == 10


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["QUEUED", "SCHEDULED", "RUNNING", "CANCELLATION_IN_PROGRESS", "SUCCEEDED", "FAILED"]),
            st.integers(0, 9),
            st.floats(-1e4, 1e6),
        ),
        max_size=9,
    ),
    st.integers(1, 20),
)
def test_no_look_makes_it_less(looks: list[tuple[str, int, float]], tasks_per_machine: int):
    use = JobUse()
    for state, running, now in looks:
        seen = use.seen(
            job(state, has_run=state not in ("QUEUED", "SCHEDULED"), RUNNING=running), tasks_per_machine, now
        )
        assert seen.seconds >= use.seconds
        use = seen
