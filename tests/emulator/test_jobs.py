"""The rules by which jobs and tasks change."""

from __future__ import annotations

import pytest

from covalent_parallel_plugin.emulator.model.job import Job, JobState, RetryRule, TaskState, TransitionRefused

NAME = "projects/123/locations/us-east1/jobs/j"
VM = "zones/us-east1-b/instances/vm"


def make_job(tasks: int = 1, parallelism: int = 10, retry: RetryRule | None = None) -> Job:
    job = Job(NAME, task_count=tasks, parallelism=parallelism, retry=retry or RetryRule(), now=100.0)
    job.schedule(101.0)
    return job


def attempt(job: Job, exit_code: int, now: float = 110.0) -> bool:
    task = job.assign(VM, now)
    job.run(task, now)
    return job.finish(task, exit_code, now + 1)


def test_a_new_job_is_queued_and_lists_no_tasks() -> None:
    job = Job(NAME, task_count=3, parallelism=3, retry=RetryRule(), now=100.0)
    assert (job.state, job.lists_tasks, job.has_startable) == (JobState.QUEUED, False, False)


def test_a_job_goes_from_queued_over_scheduled_and_running_to_succeeded() -> None:
    job = make_job()
    attempt(job, 0)
    assert [event.text for event in job.events] == [
        f"Job state is set from QUEUED to SCHEDULED for job {NAME}.",
        f"Job state is set from SCHEDULED to RUNNING for job {NAME}.",
        f"Job state is set from RUNNING to SUCCEEDED for job {NAME}.",
    ]


def test_a_failed_task_has_its_exit_code_in_the_text_and_the_fields_of_its_event() -> None:
    job = make_job()
    attempt(job, 125)
    event = job.tasks[0].events[-1]
    assert event.text == f"Task state is updated from RUNNING to FAILED on {VM} with exit code 125."
    assert (event.exit_code, event.task_state) == (125, TaskState.FAILED)


def test_only_events_of_failures_carry_an_exit_code() -> None:
    job = make_job(retry=RetryRule(1))
    attempt(job, 7)
    attempt(job, 0)
    assert [(e.task_state.name, e.exit_code) for e in job.tasks[0].events if e.task_state] == [
        ("ASSIGNED", None),
        ("RUNNING", None),
        ("FAILED", 7),
        ("PENDING", None),
        ("ASSIGNED", None),
        ("RUNNING", None),
        ("SUCCEEDED", None),
    ]


def test_a_failed_jobs_event_quotes_the_event_of_its_first_failed_task() -> None:
    job = make_job(tasks=2)
    attempt(job, 0)
    attempt(job, 3)
    assert job.events[-1].text == (
        f"Job state is set from RUNNING to FAILED for job {NAME}. Job failed due to task failure. Specifically, task "
        "with index 1 failed due to the following task event: "
        f'"Task state is updated from RUNNING to FAILED on {VM} with exit code 3."'
    )


def test_the_siblings_of_a_failed_task_still_run() -> None:
    job = make_job(tasks=3)
    attempt(job, 1)
    assert job.state is JobState.RUNNING and job.has_startable
    attempt(job, 0)
    attempt(job, 0)
    assert job.state is JobState.FAILED
    assert job.counts == {TaskState.FAILED: 1, TaskState.SUCCEEDED: 2}


def test_parallelism_bounds_the_tasks_that_run() -> None:
    job = make_job(tasks=3, parallelism=2)
    first = job.assign(VM, 110.0)
    job.assign(VM, 110.0)
    assert not job.has_startable
    job.run(first, 110.0)
    job.finish(first, 0, 111.0)
    assert job.has_startable


@pytest.mark.parametrize(
    ("rule", "exit_code", "attempt_number", "expected"),
    [
        (RetryRule(0), 1, 0, False),
        (RetryRule(2), 1, 0, True),
        (RetryRule(2), 50001, 1, True),
        (RetryRule(2), 1, 2, False),
        (RetryRule(2, retried=frozenset({50001})), 50001, 0, True),
        (RetryRule(2, retried=frozenset({50001})), 1, 0, False),
        (RetryRule(2, failed=frozenset({1})), 1, 0, False),
        (RetryRule(2, failed=frozenset({1})), 2, 0, True),
    ],
)
def test_a_retry_depends_on_the_policy_and_on_the_attempts_left(
    rule: RetryRule, exit_code: int, attempt_number: int, expected: bool
) -> None:
    assert rule.allows(exit_code, attempt_number) is expected


def test_a_cancelled_job_ends_once_nothing_of_it_runs_and_its_waiting_tasks_are_unexecuted() -> None:
    job = make_job(tasks=3, parallelism=1, retry=RetryRule(5))
    task = job.assign(VM, 110.0)
    job.run(task, 110.0)
    job.request_cancel(111.0)
    assert (job.state, job.settle(111.0), job.has_startable) == (JobState.CANCELLATION_IN_PROGRESS, False, False)
    assert job.finish(task, 143, 112.0) is False
    assert job.settle(112.0)
    assert job.state is JobState.CANCELLED
    assert job.counts == {TaskState.FAILED: 1, TaskState.UNEXECUTED: 2}


def test_a_second_cancel_is_refused() -> None:
    job = make_job()
    job.request_cancel(110.0)
    with pytest.raises(TransitionRefused, match="CANCELLATION_IN_PROGRESS"):
        job.request_cancel(111.0)


def test_the_cancel_of_a_finished_job_is_refused() -> None:
    job = make_job()
    attempt(job, 0)
    with pytest.raises(TransitionRefused, match="SUCCEEDED"):
        job.request_cancel(120.0)


def test_a_finished_job_can_be_deleted() -> None:
    job = make_job()
    attempt(job, 0)
    job.request_delete(120.0)
    assert job.state is JobState.DELETION_IN_PROGRESS and job.settle(120.0)


def test_a_job_runs_from_its_first_task_to_its_end() -> None:
    job = make_job(tasks=2)
    attempt(job, 0, now=110.0)
    assert job.run_seconds(now=115.0) == 5.0
    attempt(job, 0, now=120.0)
    assert job.run_seconds(now=500.0) == 11.0


def test_every_change_makes_a_new_revision() -> None:
    job = make_job()
    before = job.revision
    attempt(job, 0)
    assert job.revision > before
