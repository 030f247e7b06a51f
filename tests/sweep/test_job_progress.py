"""How far jobs on Batch are that no run waits for."""

from __future__ import annotations

from typing import Any

from covalent_parallel_plugin.cloud.job_status import Event, InstanceStatus, JobStatus
from covalent_parallel_plugin.sweep.batch.job_progress import JobProgress
from covalent_parallel_plugin.sweep.records.journal import State, round_event


def job(state: str = "RUNNING", **counts: int) -> JobStatus:
    event = Event("Job state is set from SCHEDULED to RUNNING for job J.", 1000.0)
    instances = (InstanceStatus("e2-standard-4", False, 4),)
    return JobStatus("j", "u", state, counts, (event,) if state == "RUNNING" else (), instances=instances)


def end(index: int) -> dict[str, Any]:
    known = {"event": "end", "task": f"t{index}", "key": "k", "status": "done", "seconds": 30.0, "attempts": 1}
    return known | {"at": [0, index]}


def test_of_a_job_that_runs() -> None:
    state = State()
    state.apply(round_event(0, "j", 990.0, tasks=40, bundle=1), 0)
    for index in range(2):
        state.apply(end(index), 0)
    found = JobProgress.of(state, {0: job(RUNNING=4, SUCCEEDED=9, FAILED=1, PENDING=26)}, 1100.0)
    assert (found.running, found.unread, found.waiting) == (4, 8, 26)
    assert (found.tasks_per_minute, found.left_seconds) == (6.0, 300.0)
    # One machine for four tasks, for 100 s
    assert found.machine_hours == 100 / 3600


def test_of_bundles_each_counts_as_its_tasks() -> None:
    state = State()
    state.apply(round_event(3, "j", 990.0, tasks=19, bundle=5), 0)
    found = JobProgress.of(state, {3: job(RUNNING=1, SUCCEEDED=3)}, 1100.0)
    assert (found.unread, found.running, found.waiting) == (15, 1, 3)


def test_of_a_job_that_waits_nothing_is_known() -> None:
    state = State()
    state.apply(round_event(0, "j", 990.0), 0)
    found = JobProgress.of(state, {0: job("QUEUED", PENDING=12)}, 1100.0)
    assert found == JobProgress(0, 0, 12, None, None, 0.0)
