"""Faults of jobs on their way: that they take place, and that they are counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from batch_jobs import BatchJobs, State, TaskState, batch_jobs, event_texts, output, wait_until
from google.cloud.batch_v1 import Job, LifecyclePolicy
from process_table import living_members

from covalent_parallel_plugin.emulator import Emulator, Fault, Faults, Timing


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    timing = Timing(queue_seconds=0.02, schedule_seconds=0.02, grace_seconds=0.3)
    with Emulator(storage_port=None, logging_port=None, timing=timing, tasks_at_once=2) as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator) -> Iterator[Emulator]:
    yield running
    running.faults.set(Faults())


@pytest.fixture
def jobs(emulator: Emulator) -> Iterator[BatchJobs]:
    with batch_jobs(emulator) as made:
        yield made


def put(emulator: Emulator, fault: Fault) -> int:
    emulator.faults.set(Faults((fault,)))
    return emulator.faults.consumed[fault.title]


@pytest.mark.parametrize(
    ("code", "state", "way"),
    [
        ("CODE_MACHINE_TYPE_NOT_FOUND", None, "from SCHEDULED to FAILED"),
        ("CODE_GCE_INVALID_FIELD_VALUE", "QUEUED", "from QUEUED to FAILED"),
    ],
)
def test_a_job_is_refused_at_scheduling_and_no_task_is_ever_listed(
    emulator: Emulator, jobs: BatchJobs, code: str, state: str | None, way: str
) -> None:
    fault = Fault("job.refused", code=code, state=state)
    before = put(emulator, fault)
    job = jobs.run("echo ran")
    assert job.status.state == State.FAILED and not job.status.task_groups
    assert jobs.tasks(job) == []
    assert f"code - {code}, description - " in event_texts(job) and way in event_texts(job)
    assert output(emulator, job) == [] and emulator.faults.consumed[fault.title] == before + 1


@pytest.mark.parametrize(
    ("kind", "code"),
    [("job.quota", "CODE_GCE_QUOTA_EXCEEDED"), ("job.no_capacity", "CODE_GCE_ZONE_RESOURCE_POOL_EXHAUSTED")],
)
@pytest.mark.parametrize("state", ["QUEUED", "SCHEDULED"])
def test_a_job_waits_with_the_reason_in_its_events_until_it_is_cancelled(
    emulator: Emulator, jobs: BatchJobs, kind: str, code: str, state: str
) -> None:
    fault = Fault(kind, state=state)
    before = put(emulator, fault)
    job = jobs.wait(jobs.create(), lambda job: code in event_texts(job))
    assert job.status.state.name == state
    assert job.status.status_events[-1].type_ == "OPERATIONAL_INFO"
    jobs.client.cancel_job(name=job.name)
    assert jobs.wait(job).status.state == State.CANCELLED
    assert emulator.faults.consumed[fault.title] == before + 1


def test_a_job_that_waited_for_a_time_then_runs(emulator: Emulator, jobs: BatchJobs) -> None:
    fault = Fault("job.quota", seconds=0.2)
    before = put(emulator, fault)
    job = jobs.run()
    assert job.status.state == State.SUCCEEDED and "Quota 'N2_CPUS' exceeded" in event_texts(job)
    assert emulator.faults.consumed[fault.title] == before + 1


def test_a_job_none_of_whose_vms_reports_fails(emulator: Emulator, jobs: BatchJobs) -> None:
    fault = Fault("job.no_agent", window_seconds=120)
    before = put(emulator, fault)
    job = jobs.run()
    assert job.status.state == State.FAILED
    assert "No VM has agent reporting correctly within time window 120 seconds" in event_texts(job)
    assert emulator.faults.consumed[fault.title] == before + 1


def test_a_running_job_vanishes_with_its_processes(emulator: Emulator, jobs: BatchJobs) -> None:
    fault = Fault("job.vanish", after_output="began")
    before = put(emulator, fault)
    job = jobs.create("echo $$ began; sleep 600")
    wait_until(lambda: jobs.is_gone(job))
    wait_until(lambda: not living_members(int(output(emulator, job)[0].split()[0])))
    assert emulator.faults.consumed[fault.title] == before + 1


def test_a_job_that_has_ended_vanishes_too(emulator: Emulator, jobs: BatchJobs) -> None:
    put(emulator, Fault("job.vanish", name="ended", after_output="done", after_seconds=3))
    job = jobs.run("echo done")
    wait_until(lambda: jobs.is_gone(job))
    assert emulator.faults.consumed["ended"] == 1


@pytest.mark.parametrize("when", [{"state": "QUEUED"}, {"state": "RUNNING"}, {"after_output": "began"}])
def test_somebody_cancels_a_job(emulator: Emulator, jobs: BatchJobs, when: dict[str, str]) -> None:
    fault = Fault("job.cancelled", **when)
    before = put(emulator, fault)
    job = jobs.run("echo began; sleep 600")
    assert job.status.state == State.CANCELLED
    assert output(emulator, job) == ["began"] or "after_output" not in when
    assert emulator.faults.consumed[fault.title] == before + 1


def test_a_job_that_ended_before_somebody_cancelled_it_consumes_nothing(emulator: Emulator, jobs: BatchJobs) -> None:
    put(emulator, Fault("job.cancelled", name="too late", after_output="done", after_seconds=2))
    job = jobs.run("echo done")
    put(emulator, Fault("job.vanish", name="a mark in time", after_output="done", after_seconds=2))
    mark = jobs.create("echo done")
    wait_until(lambda: jobs.is_gone(mark))
    assert jobs.get(job).status.state == State.SUCCEEDED
    assert emulator.faults.consumed["too late"] == 0


def test_a_cancelled_job_is_stuck_until_it_is_deleted(emulator: Emulator, jobs: BatchJobs) -> None:
    put(emulator, Fault("job.stuck_cancelling", name="stuck"))
    job = jobs.wait(jobs.create("echo $$; sleep 600"), lambda job: bool(output(emulator, job)))
    operation = jobs.client.cancel_job(name=job.name).operation
    wait_until(lambda: living_members(int(output(emulator, job)[0])) == [])
    assert jobs.get(job).status.state == State.CANCELLATION_IN_PROGRESS and not operation.done
    jobs.client.delete_job(name=job.name)
    wait_until(lambda: jobs.is_gone(job))
    assert emulator.faults.consumed["stuck"] == 1


def test_a_cancelled_job_is_stuck_for_a_time(emulator: Emulator, jobs: BatchJobs) -> None:
    put(emulator, Fault("job.stuck_cancelling", name="for a time", seconds=3))
    job = jobs.create("sleep 600")
    jobs.client.cancel_job(name=job.name)
    assert jobs.get(job).status.state == State.CANCELLATION_IN_PROGRESS
    assert jobs.wait(job).status.state == State.CANCELLED
    assert emulator.faults.consumed["for a time"] == 1


def states(jobs: BatchJobs, job: Job) -> list[str]:
    return [TaskState(task.status.state).name for task in jobs.tasks(job)]


def test_a_failed_task_stops_its_siblings_on_request(emulator: Emulator, jobs: BatchJobs) -> None:
    put(emulator, Fault("job.stop_siblings", name="all"))
    job = jobs.run("[ $BATCH_TASK_INDEX != 0 ] || { sleep 0.3; exit 5; }; sleep 600", tasks=4, parallelism=2)
    assert job.status.state == State.FAILED
    assert states(jobs, job) == ["FAILED", "FAILED", "UNEXECUTED", "UNEXECUTED"]
    assert (jobs.exit_codes(job, 0), jobs.exit_codes(job, 1)) == ([5], [143])
    assert dict(job.status.task_groups["group0"].counts) == {"FAILED": 2, "UNEXECUTED": 2}
    assert emulator.faults.consumed["all"] == 1


def test_a_sibling_that_was_stopped_is_not_tried_again(emulator: Emulator, jobs: BatchJobs) -> None:
    put(emulator, Fault("job.stop_siblings", name="no retry"))
    policy = LifecyclePolicy(action="RETRY_TASK", action_condition={"exit_codes": [143]})
    text = "[ $BATCH_TASK_INDEX != 0 ] || { sleep 0.3; exit 5; }; sleep 600"
    job = jobs.run(text, tasks=2, max_retry_count=2, lifecycle_policies=[policy])
    assert job.status.state == State.FAILED and jobs.exit_codes(job, 1) == [143]
    assert emulator.faults.consumed["no retry"] == 1


def test_siblings_that_run_are_spared_on_request(emulator: Emulator, jobs: BatchJobs) -> None:
    put(emulator, Fault("job.stop_siblings", name="waiting", spares_running=True))
    job = jobs.run("[ $BATCH_TASK_INDEX != 0 ] || exit 5; sleep 2", tasks=4, parallelism=2)
    assert states(jobs, job) == ["FAILED", "SUCCEEDED", "UNEXECUTED", "UNEXECUTED"]
    assert emulator.faults.consumed["waiting"] == 1


def test_without_the_fault_siblings_go_on(emulator: Emulator, jobs: BatchJobs) -> None:
    job = jobs.run("[ $BATCH_TASK_INDEX != 0 ] || exit 5", tasks=3, parallelism=1)
    assert states(jobs, job) == ["FAILED", "SUCCEEDED", "SUCCEEDED"]


def test_the_last_task_has_no_siblings_to_stop(emulator: Emulator, jobs: BatchJobs) -> None:
    put(emulator, Fault("job.stop_siblings", name="none"))
    assert jobs.run("exit 5").status.state == State.FAILED
    assert emulator.faults.consumed["none"] == 0


def test_a_rule_for_a_label_leaves_other_jobs_alone(emulator: Emulator, jobs: BatchJobs) -> None:
    put(emulator, Fault("job.refused", name="marked", labels={"kind": "m*"}))
    assert jobs.run().status.state == State.SUCCEEDED
    assert jobs.run(labels={"kind": "marked"}).status.state == State.FAILED
    assert emulator.faults.consumed["marked"] == 1


def test_faults_are_switched_on_and_off_while_jobs_come(emulator: Emulator, jobs: BatchJobs) -> None:
    ends = []
    for rules in ((), (Fault("job.refused", name="on and off"),), ()):
        emulator.faults.set(Faults(rules))
        ends.append(jobs.run().status.state)
    assert ends == [State.SUCCEEDED, State.FAILED, State.SUCCEEDED]
    assert emulator.faults.consumed["on and off"] == 1
