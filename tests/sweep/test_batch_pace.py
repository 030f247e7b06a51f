"""How often a job of a sweep is looked at and its outcomes listed, on a clock of its own."""

from __future__ import annotations

import math

import pytest

from covalent_parallel_plugin.cloud.batch import JobStatus
from covalent_parallel_plugin.sweep.batch.poll_pace import PollPace


def looks(tasks: int, at_once: int, task_seconds: float, queue_seconds: float, least: float) -> tuple[int, int, float]:
    """Follow a job whose tasks all take as long; return its looks, its lists, and how late its end was seen (s)."""
    now, count, lists = 0.0, 0, 0
    pace = PollPace(tasks, least, lambda: now)
    end = queue_seconds + math.ceil(tasks / at_once) * task_seconds
    while True:
        now += pace.pause_seconds
        count += 1
        ended = min(tasks, max(0, int((now - queue_seconds) / task_seconds)) * at_once)
        if now >= end:
            return count, lists, now - end
        state = "QUEUED" if now < queue_seconds else "RUNNING"
        running = 0 if state == "QUEUED" else min(at_once, tasks - ended)
        pace.note(JobStatus("job", "uid", state, {"SUCCEEDED": ended, "RUNNING": running}))
        if pace.is_list_due():
            pace.note_list()
            lists += 1


@pytest.mark.parametrize("task_seconds", [0.2, 2, 60, 3000])
@pytest.mark.parametrize("queue_seconds", [0, 90])
def test_looks_and_lists_of_a_thousand_tasks_are_few(task_seconds: float, queue_seconds: float) -> None:
    count, lists, late = looks(1000, 64, task_seconds, queue_seconds, 5.0)
    run_seconds = math.ceil(1000 / 64) * task_seconds
    assert count <= 30 + run_seconds / 60
    assert lists <= 32
    assert late <= 60


def test_the_end_of_a_short_job_is_seen_soon() -> None:
    assert looks(4, 4, 3.0, 1.0, 0.5)[2] <= 2.5


def test_what_runs_is_added_up() -> None:
    now = 0.0
    pace = PollPace(8, 1.0, lambda: now)
    pace.note(JobStatus("job", "uid", "RUNNING", {"RUNNING": 4}))
    now = 10.0
    pace.note(JobStatus("job", "uid", "RUNNING", {"RUNNING": 2, "SUCCEEDED": 4}))
    assert (pace.running_seconds, pace.running, pace.ended) == (40.0, 2, 4)
