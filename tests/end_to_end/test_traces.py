"""The trace of a dispatch: each attempt with its phases in order and how it ended, whatever strikes it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from covalent._shared_files.exceptions import TaskCancelledError
from faulty_electrons import (
    BEGUN,
    killed,
    killed_at_first,
    raises,
    raises_at_first,
    seven,
    sleeps,
    sleeps_at_first,
    slowly,
)
from faulty_runs import Case, Ran, call, environment_of, refused, run_cases, struck

from covalent_parallel_plugin.batch.attempt_times import DISPATCHED, MEASURED, TIMES
from covalent_parallel_plugin.batch.trace import read_trace, trace_path
from covalent_parallel_plugin.batch.trace_ends import ENDS
from covalent_parallel_plugin.batch.trace_writer import WRITER
from covalent_parallel_plugin.emulator import Emulator, Fault, ProcessRuntime
from covalent_parallel_plugin.errors import SettingsError
from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor
from covalent_parallel_plugin.results.report.model import Report
from covalent_parallel_plugin.results.report.read import dispatch_report
from covalent_parallel_plugin.results.report.traced_report import report_of

# The tasks cannot import the tests
cloudpickle.register_pickle_by_value(sys.modules[__name__])

BUCKET = "traced"
MAPPED = {"max_parallel": 2, "retries": 1}


def brief_then_sleeps(number: int) -> int:
    """In the first attempt the later ones run until something strikes."""
    time.sleep(0.1)
    if number > 8 and os.environ["BATCH_TASK_RETRY_ATTEMPT"] == "0":
        sleeps()
    return number


def sleeps_long(number: int) -> None:
    time.sleep(120)


def kills_at_two(number: int) -> int:
    time.sleep(0.1)
    if number == 2:
        os.kill(os.getpid(), 9)
    return number


def raises_at_two(number: int) -> int:
    if number == 2:
        raise ValueError("two")
    return number


CASES: Mapping[str, Case] = {
    "value": Case(slowly),
    "exception": Case(raises, options={"retries": 0}),
    "exception-tried-again": Case(raises_at_first, options={"retry_exceptions": True, "retries": 3}),
    "killed": Case(killed, options={"retries": 0}),
    "killed-tried-again": Case(killed_at_first, options={"retry_exceptions": True, "retries": 1}),
    "past-its-time": Case(sleeps, options={"time_limit": 1, "retries": 0}),
    "preempted": Case(sleeps_at_first, [struck("preempt", attempt=0, after_output=BEGUN, notice_seconds=0)]),
    "preempted-with-notice": Case(sleeps_at_first, [struck("preempt", attempt=0, after_output=BEGUN)]),
    "preempted-always": Case(sleeps, [struck("preempt", after_output=BEGUN)], {"spot": True, "retries": 1}),
    "preempted-before-it-ran": Case(seven, [struck("preempt", attempt=0, before_run=True)]),
    "lost": Case(sleeps_at_first, [struck("lost", attempt=0, after_output=BEGUN)]),
    "no-image": Case(seven, [struck("no_image")], {"retries": 0}),
    "waits": Case(
        seven,
        [Fault("job.quota", seconds=1)],
        {
            "machine_type": "n1-standard-4",
            "gpu_type": "nvidia-tesla-t4",
            "gpu_count": 2,
            "zones": ["us-east1-c"],
            "requirements": ["pip"],
        },
    ),
    "fallback": Case(
        seven, [struck("preempt", provisioning="SPOT")], {"spot": True, "spot_fallback": True, "retries": 1}
    ),
    "deleted": Case(sleeps, [Fault("job.cancelled", after_output=BEGUN)]),
    "refused-by-batch": Case(seven, [refused("CreateJob", "PERMISSION_DENIED")]),
    "refused-here": Case(seven, options={"cache_dir": "/dev/null/cache"}),
    "not-traced": Case(seven, options={"trace": False}),
    "map": Case(raises_at_two, items=range(6), options=MAPPED),
    "map-of-two-rounds": Case(kills_at_two, items=range(6), options=MAPPED),
    "map-preempted": Case(
        brief_then_sleeps, [struck("preempt", attempt=0, after_output=BEGUN)], MAPPED, items=range(12)
    ),
}
TRACED = [name for name in CASES if name != "not-traced"]
# The ends of the attempts in order, and the verdict
ENDED: Mapping[str, tuple[Sequence[str], str]] = {
    "value": (["value"], "value"),
    "exception": (["exception"], "exception"),
    "exception-tried-again": (["exception", "exception", "value"], "value"),
    "killed": (["killed"], "killed"),
    "killed-tried-again": (["killed", "value"], "value"),
    "past-its-time": (["time_limit"], "time_limit"),
    "preempted": (["preempted", "value"], "value"),
    "preempted-with-notice": (["preempted", "value"], "value"),
    "preempted-always": (["preempted", "preempted"], "lost"),
    "preempted-before-it-ran": (["preempted", "value"], "value"),
    "lost": (["lost", "value"], "value"),
    "no-image": (["not_started"], "not_started"),
    "waits": (["value"], "value"),
    "fallback": (["preempted", "preempted", "value"], "value"),
    "deleted": (["cancelled"], "cancelled"),
    "refused-by-batch": ([], "failed"),
    "refused-here": ([], "refused"),
    "map": (["value", "value"], "exception"),
    "map-of-two-rounds": (["killed", "value", "value", "killed"], "exception"),
    "map-preempted": (["preempted", "value", "preempted", "value"], "value"),
}

Record = Mapping[str, Any]


@pytest.fixture(scope="module")
def emulator_of_traces() -> Iterator[Emulator]:
    with Emulator(runtime=ProcessRuntime(site_packages=True), buckets=(BUCKET,), tasks_at_once=6) as running:
        yield running


@pytest.fixture(scope="module")
def ran(
    emulator_of_traces: Emulator, traces_of_tests: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Ran]:
    for path in traces_of_tests.glob("*"):
        path.unlink()
    return run_cases(emulator_of_traces, BUCKET, CASES, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def traces(ran: Mapping[str, Ran], traces_of_tests: Path) -> Mapping[str, Sequence[Record]]:
    """The records of each case."""
    assert ran
    found = {path.name.rsplit("-", 1)[0]: read_trace(path) for path in traces_of_tests.glob("*.jsonl")}
    assert all(trace.skipped == 0 for trace in found.values())
    return {name: trace.records for name, trace in found.items()}


def of_kind(records: Sequence[Record], kind: str) -> list[Record]:
    return [record for record in records if record["kind"] == kind]


def check_phases(attempt: Record) -> None:
    times = attempt["t"]
    assert tuple(times) == TIMES
    seen = [value for value in times.values() if value is not None]
    assert all(first <= second for first, second in pairwise(seen)), times
    assert None not in [times[name] for name in (*DISPATCHED, "collected")]
    assert sum(second - first for first, second in pairwise(seen)) == pytest.approx(
        times["collected"] - times["entered"], abs=1
    )


@pytest.mark.parametrize("name", TRACED)
def test_the_phases_of_an_attempt_are_in_order_and_add_up(traces: Mapping[str, Sequence[Record]], name: str) -> None:
    for attempt in of_kind(traces[name], "attempt"):
        check_phases(attempt)


@pytest.mark.parametrize("name", TRACED)
def test_each_attempt_is_there_and_says_how_it_ended(traces: Mapping[str, Sequence[Record]], name: str) -> None:
    attempts, (ended,) = of_kind(traces[name], "attempt"), of_kind(traces[name], "ended")
    ends = [attempt["end"] for attempt in attempts]
    expected, verdict = ENDED[name]
    assert sorted(ends) == sorted(expected)
    assert name.startswith("map") or ends == expected
    assert ended["verdict"] == verdict
    assert (ended["error"] is None) == (verdict == "value")
    assert {*ends, verdict} <= set(ENDS)


@pytest.mark.parametrize("name", TRACED)
def test_the_last_record_is_the_end_and_each_job_is_one_that_was_accepted(
    ran: Mapping[str, Ran], traces: Mapping[str, Sequence[Record]], name: str
) -> None:
    records = traces[name]
    assert {record["node"] for record in records} == {0}
    assert records[-1]["kind"] == "ended"
    submitted = of_kind(records, "submitted")
    assert [record["round"] for record in submitted] == list(range(len(submitted)))
    assert len(submitted) == len(ran[name].jobs) or name == "deleted"


@pytest.mark.parametrize("name", TRACED)
def test_the_phases_of_a_report_are_all_of_an_electrons_time(traces: Mapping[str, Sequence[Record]], name: str) -> None:
    records = traces[name]
    (electron,) = report_of(name, records, None).electrons
    # A job that ended before it ran, as on a busy machine, is there as well
    assert len(electron.attempts) == (len(of_kind(records, "attempt")) or len(of_kind(records, "submitted")))
    last = max((attempt["t"]["collected"] for attempt in of_kind(records, "attempt")), default=electron.ended)
    tasks = {(attempt.round, attempt.task) for attempt in electron.attempts}
    assert electron.ended == records[-1]["t"]["ended"]
    for round, task in tasks if name.startswith("map") else [(None, None)] if tasks else []:
        own = [each for each in electron.attempts if round is None or (each.round, each.task) == (round, task)]
        spans = [span for attempt in own for span in attempt.spans]
        assert all(first.end == second.begin and first.seconds > 0 for first, second in pairwise(spans))
        assert round not in (None, 0) or spans[0].begin == electron.entered
        assert round is not None or spans[-1].end == last
    lost = ["lost"] if name in ("lost", "preempted", "killed-tried-again", "exception-tried-again") else []
    phases = [[span.phase for span in attempt.spans] for attempt in electron.attempts]
    assert not lost or ("lost" in phases[0] and "lost" not in phases[-1])
    assert name != "value" or phases == [["upload", "waiting", "boot", "image", "code", "delivery"]]


def test_what_is_not_to_be_traced_is_not(ran: Mapping[str, Ran], traces: Mapping[str, Sequence[Record]]) -> None:
    assert ran["not-traced"].value == 7
    assert "not-traced" not in traces


def test_a_value_has_all_of_its_times_and_what_it_took(traces: Mapping[str, Sequence[Record]]) -> None:
    submitted, attempt, _ = traces["value"]
    assert submitted["name"] == "slowly"
    assert (submitted["tasks"], submitted["items"]) == (1, None)
    asked = submitted["asked"]
    assert (asked["vcpus"], asked["memory_mib"], asked["machine_type"], asked["spot"]) == (2, 512, None, False)
    assert asked["image"]
    times = attempt["t"]
    assert [name for name in TIMES if times[name] is None] == ["installed"]
    # It sleeps for 1.5 s.
    assert 1.4 < times["ran_to"] - times["ran_from"] < times["delivered"] - times["began"]
    assert attempt["peak_memory_bytes"] > 2**20
    assert attempt["cpu_seconds"] > 0
    machine = attempt["machine"]
    assert machine["type"] and machine["zone"] == "us-east1-b" and machine["instance"]
    assert machine["spot"] is False


@pytest.mark.parametrize("name", ["killed", "past-its-time", "preempted-with-notice", "killed-tried-again"])
def test_an_attempt_without_a_value_has_what_its_runner_measured(
    traces: Mapping[str, Sequence[Record]], name: str
) -> None:
    first = of_kind(traces[name], "attempt")[0]
    assert [each for each in MEASURED if first["t"][each] is None] == ["installed"]
    assert first["peak_memory_bytes"] > 2**20


def test_an_attempt_that_was_lost_has_what_batch_knows(traces: Mapping[str, Sequence[Record]]) -> None:
    first, second = of_kind(traces["lost"], "attempt")
    assert first["exit_code"] == 50002
    assert first["t"]["began"] is None
    assert None not in [first["t"][name] for name in ("scheduled", "running", "ended")]
    assert first["machine"]["instance"] and first["machine"]["zone"] == "us-east1-b"
    assert first["t"]["ended"] <= second["t"]["scheduled"]


def test_what_a_job_asked_for_and_why_it_waited_are_there(traces: Mapping[str, Sequence[Record]]) -> None:
    submitted, waited, attempt, _ = traces["waits"]
    asked = submitted["asked"]
    assert (asked["machine_type"], asked["gpu_type"], asked["gpu_count"]) == ("n1-standard-4", "nvidia-tesla-t4", 2)
    assert (asked["zones"], asked["provisioning"], asked["requirements"]) == (["us-east1-c"], "STANDARD", True)
    assert (asked["max_parallel"], asked["tasks_per_machine"]) == (1, 1)
    assert (waited["kind"], waited["round"], waited["cause"]) == ("waited", 0, "quota")
    assert "CODE_GCE_QUOTA_EXCEEDED" in waited["message"]
    assert submitted["t"]["submitted"] - 1 < waited["t"]["said"] < attempt["t"]["scheduled"] + 1
    (mapped, *_) = traces["map-of-two-rounds"]
    asked = mapped["asked"]
    assert (asked["gpu_type"], asked["gpu_count"], asked["zones"], asked["requirements"]) == (None, 0, [], False)
    assert asked["max_parallel"] == 2


def test_the_job_on_standard_machines_is_another_one(traces: Mapping[str, Sequence[Record]]) -> None:
    assert [record["asked"]["spot"] for record in of_kind(traces["fallback"], "submitted")] == [True, False]
    attempts = of_kind(traces["fallback"], "attempt")
    assert [(record["round"], record["attempt"]) for record in attempts] == [(0, 0), (0, 1), (1, 0)]
    assert [record["machine"]["spot"] for record in attempts] == [True, True, False]


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("map")])
def test_each_item_is_there_once_for_each_time_it_ran(traces: Mapping[str, Sequence[Record]], name: str) -> None:
    items = of_kind(traces[name], "items")
    rows = [
        (index, end, record["round"])
        for record in items
        for index, begin, took, end in zip(
            record["index"], record["begin_ms"], record["took_ms"], record["end"], strict=True
        )
        if took >= 0 and begin > 1e12
    ]
    count = len(CASES[name].items or ())
    assert {index for index, end, _ in rows if end in ("value", "exception") or name == "map-of-two-rounds"} == set(
        range(count)
    )
    assert len({(index, round) for index, _, round in rows}) == len(rows)
    at_two = [end for index, end, _ in rows if index == 2]
    assert at_two == {"map": ["exception"], "map-of-two-rounds": ["killed", "killed"]}.get(name, ["value"])


def test_the_second_round_of_a_map_has_the_items_that_were_lost(traces: Mapping[str, Sequence[Record]]) -> None:
    first, second = of_kind(traces["map-of-two-rounds"], "submitted")
    assert (first["items"], first["tasks"]) == (6, 2)
    assert (second["items"], second["tasks"]) == (2, 2)


def test_items_lie_in_the_time_in_which_their_task_ran(traces: Mapping[str, Sequence[Record]]) -> None:
    tasks = {record["task"]: record["t"] for record in of_kind(traces["map"], "attempt")}
    for record in of_kind(traces["map"], "items"):
        times = tasks[record["task"]]
        for begin, took in zip(record["begin_ms"], record["took_ms"], strict=True):
            assert times["ran_from"] * 1000 - 2 <= begin
            assert begin + took <= times["ran_to"] * 1000 + 2


def test_what_batch_refuses_is_recorded_with_its_error(traces: Mapping[str, Sequence[Record]]) -> None:
    (ended,) = traces["refused-by-batch"]
    assert ended["error"] == "PermissionDeniedError"
    assert "could not be submitted" in ended["message"]


def test_what_is_refused_before_it_is_submitted_is_recorded_with_its_error(
    ran: Mapping[str, Ran], traces: Mapping[str, Sequence[Record]]
) -> None:
    (ended,) = traces["refused-here"]
    assert isinstance(ran["refused-here"].error, SettingsError)
    assert ended["error"] == "SettingsError"
    assert ended["message"] == str(ran["refused-here"].error)[:2048]


async def begun(path: Path, case: Case, cache_dir: Path, dispatch_id: str) -> asyncio.Future[Any]:
    """Begin a call, and wait until its task has run for a while."""
    running = asyncio.ensure_future(call(case, BUCKET, cache_dir, dispatch_id))
    while not read_trace(path).records:
        assert not running.done()
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.5)
    return running


async def on_machines(dispatch_id: str, count: int) -> Report:
    """A report while the call runs, once so many tasks have machines; Covalent's server does not know it."""
    for _ in range(120):
        report = await asyncio.to_thread(dispatch_report, dispatch_id)
        if sum(attempt.on_machine is not None for attempt in report.electrons[0].attempts) >= count:
            break
        await asyncio.sleep(0.5)
    return report


@pytest.mark.parametrize("items", [None, range(4)])
def test_a_call_that_the_user_cancels_has_its_attempts_before_and_after(
    emulator_of_traces: Emulator, traces_of_tests: Path, tmp_path: Path, items: Sequence[int] | None
) -> None:
    dispatch_id = f"cancelled-{uuid.uuid4().hex[:8]}"
    path = trace_path(traces_of_tests, dispatch_id)
    case = Case(sleeps) if items is None else Case(sleeps_long, items=items, options={"max_parallel": 2})
    reports: list[Report] = []
    tasks = 1 if items is None else 2

    async def cancel() -> None:
        running = await begun(path, case, tmp_path, dispatch_id)
        reports.append(await on_machines(dispatch_id, tasks))
        assert await GCPBatchExecutor(bucket_name=BUCKET).cancel({"dispatch_id": dispatch_id, "node_id": 0}, None)
        with pytest.raises(TaskCancelledError):
            await running

    with environment_of(emulator_of_traces):
        asyncio.run(asyncio.wait_for(cancel(), 90))
    records = read_trace(path).records
    assert (records[-1]["kind"], records[-1]["verdict"], records[-1]["error"]) == ("ended", "cancelled", None)
    attempts = of_kind(records, "attempt")
    assert [attempt["end"] for attempt in attempts] == ["cancelled"] * tasks
    (report,) = reports
    (electron,) = report.electrons
    assert (report.state, electron.state, electron.ended, electron.kind) == (
        "running", "running", None, "lone" if items is None else "map",
    )  # fmt: skip
    assert [attempt.end for attempt in electron.attempts] == [""] * tasks
    for attempt in electron.attempts:
        assert attempt.spans[-1].end == report.made and attempt.spans[-1].phase == "code" and attempt.machine.instance
    assert report.missing[0].startswith("Covalent's server at ")
    for attempt in attempts:
        check_phases(attempt)
        assert None not in [attempt["t"][name] for name in ("scheduled", "running", "ended")]


def test_a_server_that_stops_and_the_next_one_write_to_one_trace(
    emulator_of_traces: Emulator, traces_of_tests: Path, tmp_path: Path
) -> None:
    dispatch_id = f"stopped-{uuid.uuid4().hex[:8]}"

    async def stop() -> None:
        running = await begun(path, Case(sleeps), tmp_path, dispatch_id)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    path = trace_path(traces_of_tests, dispatch_id)
    before = emulator_of_traces.counts["vm_seconds"]
    with environment_of(emulator_of_traces):
        asyncio.run(asyncio.wait_for(stop(), 60))
        assert WRITER.flush()
        first = read_trace(path).records
        asyncio.run(asyncio.wait_for(call(Case(seven), BUCKET, tmp_path, dispatch_id), 60))
    assert [record["kind"] for record in first] == ["submitted", "attempt", "ended"]
    assert (first[1]["end"], first[2]["verdict"], first[2]["error"]) == ("stopped", "stopped", None)
    records = read_trace(path).records
    assert records[:3] == first
    assert [record["kind"] for record in records[3:]] == ["submitted", "attempt", "ended"]
    for attempt in of_kind(records, "attempt"):
        check_phases(attempt)
    (electron,) = report_of(dispatch_id, records, None).electrons
    held = emulator_of_traces.counts["vm_seconds"] - before
    assert electron.machine_seconds == pytest.approx(held, rel=0.05, abs=1)
    assert [attempt.round for attempt in electron.attempts] == [0, 1]
    assert "lost" in [span.phase for span in electron.attempts[0].spans]
