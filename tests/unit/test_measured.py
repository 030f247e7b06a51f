"""What a task measured, whatever stands in a header in its place: an outcome is never refused for that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.batch.attempt_records import Measured, TaskFindings, attempt_records
from covalent_parallel_plugin.batch.attempt_times import MEASURED, BatchAttempt, is_time
from covalent_parallel_plugin.batch.trace import record_line
from covalent_parallel_plugin.batch.trace_ends import ENDS
from covalent_parallel_plugin.cloud.batch import Event, JobStatus
from covalent_parallel_plugin.electron.measured import is_number, measured_of
from covalent_parallel_plugin.protocol.envelope import EXCEPTION, ITEMS, KILLED, REFUSED, VALUE

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TIMES = st.dictionaries(st.sampled_from([*MEASURED, "entered", "collected", "x"]), JSON)
MACHINES = st.dictionaries(st.sampled_from(["type", "zone", "instance", "spot", "t"]), JSON)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "attempt": JSON,
        "outcome": st.sampled_from([VALUE, EXCEPTION, KILLED, REFUSED, ITEMS]) | JSON,
        "reason": st.sampled_from(["", "time_limit", "terminated"]) | JSON,
        "ended": st.fixed_dictionaries({}, optional={"outcome": JSON, "reason": JSON}) | JSON,
        "times": TIMES | JSON,
        "machine": MACHINES | JSON,
        "cpu_seconds": JSON,
        "peak_memory_bytes": JSON,
    },
)
OURS = {"entered": 1.0, "staged": 2.0, "submitted": 3.0, "collected": 9.0}


@given(HEADERS)
def test_any_header_gives_a_record_that_is_a_line(header: dict[str, Any]) -> None:
    measured = measured_of(header)
    assert measured.end in ("", *ENDS)
    (record,) = attempt_records(TaskFindings(measured={0: measured}), None, OURS, {}, is_alone=True)
    assert (record["t"]["entered"], record["t"]["collected"]) == (1.0, 9.0)  # type: ignore[index]
    assert record["end"] in ENDS
    line = record_line("attempt", 0, record)
    assert line.count(b"\n") == 1
    assert b"NaN" not in line and b"Infinity" not in line


def test_what_makes_sense_is_taken_over() -> None:
    header = {
        "attempt": 2,
        "outcome": KILLED,
        "reason": "time_limit",
        "times": {"began": 1, "ran_to": 2.5, "fetched": None},
        "machine": {"type": "n2-standard-8", "spot": True, "zone": "", "instance": 5},
        "cpu_seconds": 1.5,
        "peak_memory_bytes": 7,
    }
    assert measured_of(header) == Measured(
        2, "time_limit", {"began": 1.0, "ran_to": 2.5}, 1.5, 7, {"type": "n2-standard-8", "spot": True}
    )


def job(state: str, *states: str) -> JobStatus:
    events = [
        Event(f"Job state is set from X to {each} for job j.", float(number + 4)) for number, each in enumerate(states)
    ]
    return JobStatus("j", "u", state, events=events)


def records(found: TaskFindings, status: JobStatus | None, is_alone: bool = True) -> list[dict[str, Any]]:
    return attempt_records(found, status, OURS, {}, is_alone)


def test_a_job_that_never_ran_had_no_attempt() -> None:
    assert records(TaskFindings(), job("FAILED", "SCHEDULED", "FAILED")) == []
    assert records(TaskFindings(), None) == []
    assert records(TaskFindings(listed=[BatchAttempt(0, "PENDING")]), job("QUEUED")) == []


def test_the_job_tells_of_its_only_task() -> None:
    (record,) = records(TaskFindings(), job("FAILED", "SCHEDULED", "RUNNING", "FAILED"))
    assert [record["t"][name] for name in ("scheduled", "running", "ended")] == [4, 5, 6]
    assert record["end"] == "lost"


def test_a_job_of_many_tasks_does_not_tell_when_one_of_them_ran() -> None:
    status = job("SUCCEEDED", "SCHEDULED", "RUNNING", "SUCCEEDED")
    assert records(TaskFindings(), status, is_alone=False) == []
    (record,) = records(TaskFindings(measured={0: Measured(end="value")}), status, is_alone=False)
    assert [record["t"][name] for name in ("scheduled", "running", "ended")] == [4, None, None]


def test_attempts_of_which_nobody_tells_were_there() -> None:
    found = records(TaskFindings(measured={2: Measured(2, "value")}), job("SUCCEEDED", "SCHEDULED", "RUNNING"))
    assert [(record["attempt"], record["end"]) for record in found] == [(0, "lost"), (1, "lost"), (2, "value")]


@pytest.mark.parametrize(
    ("exit_code", "reported", "was_stopped", "end"),
    [
        (None, "", False, "lost"),
        (None, "", True, "budget"),
        (50001, "", False, "preempted"),
        (50001, "terminated", True, "preempted"),
        (50001, "value", False, "value"),
        (50002, "", True, "lost"),
        (50005, "", False, "time_limit"),
        (125, "", False, "not_started"),
        (143, "", False, "terminated"),
        (143, "terminated", False, "terminated"),
        (143, "terminated", True, "budget"),
        (137, "", False, "killed"),
        (75, "killed", False, "killed"),
        (75, "", False, "exception"),
        (70, "", False, "failed"),
    ],
)
def test_an_end_is_what_who_knows_it_tells(exit_code: int | None, reported: str, was_stopped: bool, end: str) -> None:
    listed = BatchAttempt(0, "FAILED", 4, 5, 6, exit_code)
    found = TaskFindings(0, [listed], {0: Measured(end=reported)}, "budget" if was_stopped else "lost", was_stopped)
    (record,) = records(found, job("FAILED"))
    assert (record["end"], record["exit_code"]) == (end, exit_code)


NO_TIMES = [10**400, -(10**400), float("inf"), float("-inf"), float("nan"), True, "1", None]


@pytest.mark.parametrize("value", NO_TIMES, ids=lambda value: str(value)[:8])
def test_what_no_float_holds_is_no_time(value: object) -> None:
    assert not is_time(value) and not is_number(value)


def test_a_number_that_no_float_holds_is_left_out() -> None:
    measured = measured_of({"times": {"began": 10**400}, "cpu_seconds": 10**400})
    assert (measured.times, measured.cpu_seconds) == ({}, None)
