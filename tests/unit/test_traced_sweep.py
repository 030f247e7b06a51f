"""The attempts of a sweep from the records of its trace: rounds, runs, turns on a machine; pure."""

from __future__ import annotations

from typing import Any

from covalent_parallel_plugin.results.report.machine_use import machine_hours, with_shares
from covalent_parallel_plugin.results.report.model import (
    BOOT,
    CODE,
    LOST,
    SWEEP,
    UPLOAD,
    WAITING,
    Electron,
    TaskAttempt,
)  # fmt: skip
from covalent_parallel_plugin.results.report.traced_sweep import TracedSweep, attempts_of

DAY = 86400.0
T = 1_790_000_000.0
Json = dict[str, Any]


def submitted(round: int = 0, at: float = 0.0, run: float | None = None) -> Json:
    entered = at if run is None else run
    times = {"entered": T + entered, "staged": T + at + 1, "submitted": T + at + 2}
    job = f"projects/p/locations/us-east1/jobs/art-{round}"
    asked = {"vcpus": 2, "memory_mib": 2048, "machine_type": "e2-standard-4", "spot": True, "tasks_per_machine": 2}
    return {"kind": "submitted", "node": None, "job": job, "round": round, "tasks": 2, "asked": asked, "t": times}


def attempt(task: int, began: float, took: float, round: int = 0, **more: Any) -> Json:
    times = {
        "scheduled": 10.0,
        "began": began,
        "ran_from": began + 1,
        "ran_to": began + took,
        "delivered": began + took,
    }
    record = {"kind": "attempt", "node": None, "round": round, "task": task, "name": f"x={task}", "attempt": 0}
    record |= {"end": "done", "exit_code": 0, "machine": machine("7"), **more}
    at = more.get("at", 0.0)
    shown = {name: T + at + seconds for name, seconds in times.items()}
    sent = {name: T + at + seconds for name, seconds in (("staged", 1), ("submitted", 2))}
    run = {"entered": T + more.get("run", at), **sent, "collected": T + at + 300}
    return record | {"t": {**run, **shown}}


def machine(instance: str | None) -> Json:
    return {"type": "e2-standard-4", "zone": "us-east1-b", "instance": instance, "spot": True}


def local(task: int, began: float, took: float, number: int = 0, end: str = "done") -> Json:
    times = {"began": T + began, "ran_from": T + began, "ran_to": T + began + took, "collected": T + began + took}
    nothing = dict.fromkeys(("type", "zone", "instance", "spot"))
    record = {"kind": "attempt", "node": None, "round": 0, "task": task, "name": f"x={task}", "attempt": number}
    return record | {"end": end, "exit_code": 0, "machine": nothing, "t": times}


def ended(begin: float, end: float, verdict: str = "done") -> Json:
    return {"kind": "ended", "node": None, "verdict": verdict, "t": {"entered": T + begin, "ended": T + end}}


def read(*records: Json | None) -> tuple[TracedSweep, tuple[TaskAttempt, ...]]:
    sweep = TracedSweep()
    for record in records:
        sweep.add(record)
    return sweep, attempts_of(sweep, T + 1000)


def phases(found: TaskAttempt) -> dict[str, float]:
    return {span.phase: round(found.seconds(span.phase), 3) for span in found.spans}


def test_a_task_that_came_after_others_on_a_machine_waited_for_its_turn() -> None:
    _, (first, second, alone) = read(
        submitted(), attempt(0, 40, 20), attempt(1, 62, 10), attempt(2, 50, 5, machine=machine(None))
    )
    assert (phases(first)[BOOT], phases(first)[WAITING]) == (30, 8)
    assert (phases(second)[BOOT], phases(second)[WAITING]) == (2, 58)
    assert phases(alone)[BOOT] == 40
    # One machine from 40 to 72, and one that is not known from 50 to 55
    electron = Electron(0, "art", SWEEP, "completed", attempts=(first, second, alone))
    [shared] = with_shares((electron,))
    assert round(shared.machine_seconds, 6) == 37
    assert [(row.type, row.region, row.attempts) for row in machine_hours((shared,))] == [
        ("e2-standard-4", "us-east1", 3)
    ]


def test_the_rounds_of_a_run_and_runs_days_later_do_not_wait_for_each_other() -> None:
    sweep, attempts = read(
        submitted(), attempt(0, 40, 20), attempt(1, 40, 5, end="lost"),
        submitted(1, 400, run=0), attempt(1, 440, 20, 1, at=400, run=0),
        ended(0, 700), submitted(2, 5 * DAY), attempt(0, 40, 20, 2, at=5 * DAY),
        ended(5 * DAY, 5 * DAY + 300, "failed"),
    )  # fmt: skip
    assert [(each.round, each.task, each.name, each.end) for each in attempts] == [
        (0, 0, "x=0", "value"), (0, 1, "x=1", "lost"), (1, 1, "x=1", "value"), (2, 0, "x=0", "value"),
    ]  # fmt: skip
    assert phases(attempts[1])[LOST] and CODE not in phases(attempts[1])
    assert all(each.seconds(WAITING) + each.seconds(UPLOAD) <= 60 for each in attempts)
    assert (sweep.job, sweep.asked.tasks_per_machine) == ("projects/p/locations/us-east1/jobs/art-2", 2)
    assert (sweep.verdict, len(sweep.runs), sweep.left_out) == ("failed", 2, 0)


def test_tasks_on_this_machine_wait_since_their_run_began_and_hold_no_machine_of_googles() -> None:
    _, attempts = read(
        local(0, 1, 10), local(1, 11, 5, end="failed"), local(1, 16, 5, number=1), ended(0, 21),
        local(0, DAY, 10), local(1, DAY + 10, 5),
    )  # fmt: skip
    assert [(each.round, each.name, each.number, each.end) for each in attempts] == [
        (0, "x=0", 0, "value"), (0, "x=1", 0, "exception"), (0, "x=1", 1, "value"), (1, "x=0", 0, "value"),
        (1, "x=1", 0, "value"),
    ]  # fmt: skip
    assert [phases(each) for each in attempts] == [
        {WAITING: 1, CODE: 10}, {WAITING: 11, LOST: 5}, {CODE: 5},
        # Of a run that has not ended it is known when its first task began
        {CODE: 10}, {WAITING: 10, CODE: 5},
    ]  # fmt: skip
    assert all(each.on_machine is None for each in attempts)


def test_what_cannot_be_used_is_counted() -> None:
    sweep, attempts = read(
        None, {"kind": "attempt"}, {"kind": "attempt", "round": 0, "task": -1, "attempt": 0},
        {"kind": "items", "round": 0}, {"kind": "submitted", "round": "x"},
        {"kind": "attempt", "round": 0, "task": 3, "attempt": 0, "t": {"began": "x"}},
    )  # fmt: skip
    assert sweep.left_out == 5 and [(each.task, each.spans) for each in attempts] == [(3, ())]
