"""Faults of tasks' attempts: that they take place, and that they are counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_jobs import (
    LOST,
    PREEMPTED,
    REBOOTED,
    RECREATED,
    UNRESPONSIVE,
    BatchJobs,
    State,
    batch_jobs,
    event_texts,
    output,
    wait_until,
)
from google.cloud import batch_v1
from process_table import living_members

from covalent_parallel_plugin.emulator import Emulator, Fault, Faults, Timing


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    timing = Timing(queue_seconds=0.02, schedule_seconds=0.02, grace_seconds=0.3)
    with Emulator(storage_port=None, logging_port=None, timing=timing, tasks_at_once=4) as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator) -> Iterator[Emulator]:
    yield running
    running.faults.set(Faults())


@pytest.fixture
def jobs(emulator: Emulator) -> Iterator[BatchJobs]:
    with batch_jobs(emulator) as made:
        yield made


class Struck:
    """Rules put in force under a name of their own, with their counter from here on."""

    def __init__(self, emulator: Emulator, **fault: object) -> None:
        rule = Fault(**fault)  # type: ignore[arg-type]  # as a user would write them
        self._emulator = emulator
        self._title = rule.title
        self._before = emulator.faults.consumed.get(rule.title, 0)
        emulator.faults.set(Faults((rule,)))

    @property
    def count(self) -> int:
        return self._emulator.faults.consumed[self._title] - self._before


def retrying(*codes: int) -> dict[str, object]:
    condition = batch_v1.LifecyclePolicy.ActionCondition(exit_codes=codes)
    policy = batch_v1.LifecyclePolicy(action="RETRY_TASK", action_condition=condition)
    return {"max_retry_count": 3, "lifecycle_policies": [policy]}


def test_a_preempted_task_gets_sigterm_and_its_attempt_ends_with_50001(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.preempt", after_output="bega")
    job = jobs.run("trap 'echo told; exit 0' TERM; echo began; while :; do sleep 0.05; done")
    assert (job.status.state, jobs.exit_codes(job)) == (State.FAILED, [PREEMPTED])
    assert output(emulator, job) == ["began", "told"]
    assert struck.count == 1


def test_a_preempted_task_that_does_not_end_is_killed_after_its_notice(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.preempt", after_output="began", notice_seconds=0.2)
    job = jobs.run("trap '' TERM; echo $$ began; while :; do sleep 0.05; done")
    assert jobs.exit_codes(job) == [PREEMPTED]
    assert living_members(int(output(emulator, job)[0].split()[0])) == []
    assert struck.count == 1


def test_the_attempts_named_are_preempted_and_the_next_succeeds(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.preempt", attempt="0-1")
    job = jobs.run("[ $BATCH_TASK_RETRY_ATTEMPT = 2 ] || sleep 600", **retrying(PREEMPTED))
    assert (job.status.state, jobs.exit_codes(job)) == (State.SUCCEEDED, [PREEMPTED, PREEMPTED])
    assert struck.count == 2


def test_only_spot_jobs_are_preempted_on_request(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.preempt", provisioning="SPOT", before_run=True)
    ends = [jobs.run(provisioning=model).status.state for model in ("STANDARD", "SPOT")]
    assert ends == [State.SUCCEEDED, State.FAILED] and struck.count == 1


def test_a_preemption_before_the_run_never_shows_running(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.preempt", before_run=True)
    job = jobs.run("echo ran")
    assert jobs.way(job) == ["ASSIGNED", "FAILED"] and jobs.exit_codes(job) == [PREEMPTED]
    assert "from SCHEDULED to FAILED" in event_texts(job)
    assert output(emulator, job) == [] and struck.count == 1


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [
        ("attempt.lost", LOST),
        ("attempt.reboot", REBOOTED),
        ("attempt.unresponsive", UNRESPONSIVE),
        ("attempt.recreate", RECREATED),
    ],
)
def test_an_attempt_whose_vm_is_gone_is_killed_unwarned(
    emulator: Emulator, jobs: BatchJobs, kind: str, exit_code: int
) -> None:
    struck = Struck(emulator, kind=kind, attempt=0, after_output="began")
    text = (
        "trap 'echo told' TERM; echo $BATCH_TASK_RETRY_ATTEMPT $$ began; [ $BATCH_TASK_RETRY_ATTEMPT = 1 ] || sleep 600"
    )
    job = jobs.run(text, **retrying(exit_code))
    assert (job.status.state, jobs.exit_codes(job)) == (State.SUCCEEDED, [exit_code])
    lines = output(emulator, job)
    assert [line.split()[0] for line in lines] == ["0", "1"]
    assert living_members(int(lines[0].split()[1])) == [] and struck.count == 1


def test_a_lost_attempt_may_go_on_beside_the_next(emulator: Emulator, jobs: BatchJobs, tmp_path: Path) -> None:
    struck = Struck(emulator, kind="attempt.lost", attempt=0, goes_on=True)
    gate = tmp_path / "gate"
    text = f"if [ $BATCH_TASK_RETRY_ATTEMPT = 0 ]; then while [ ! -e {gate} ]; do sleep 0.05; done; echo late; fi"
    job = jobs.run(text, **retrying(LOST))
    assert (job.status.state, jobs.exit_codes(job)) == (State.SUCCEEDED, [LOST])
    assert output(emulator, job) == []
    gate.touch()
    wait_until(lambda: output(emulator, job) == ["late"])
    assert struck.count == 1


def test_what_goes_on_unseen_ends_when_the_job_is_deleted(emulator: Emulator, jobs: BatchJobs) -> None:
    Struck(emulator, kind="attempt.lost", goes_on=True, after_output="began")
    job = jobs.run("echo $$ began; sleep 600")
    group = int(output(emulator, job)[0].split()[0])
    assert living_members(group) != []
    jobs.client.delete_job(name=job.name)
    wait_until(lambda: living_members(group) == [])


def test_what_goes_on_unseen_ends_with_the_stand_in() -> None:
    rule = Fault("attempt.lost", goes_on=True, after_output="began")
    with Emulator(storage_port=None, logging_port=None, faults=Faults((rule,))) as emulator:
        with batch_jobs(emulator) as jobs:
            job = jobs.run("echo $$ began; sleep 600")
        group = int(output(emulator, job)[0].split()[0])
        assert living_members(group) != []
    assert living_members(group) == []


def test_two_copies_of_one_attempt_run_at_once(emulator: Emulator, jobs: BatchJobs, tmp_path: Path) -> None:
    struck = Struck(emulator, kind="attempt.twice", after_seconds=0.2)
    # each waits for the other: it ends only if both are there
    text = f"""mkdir {tmp_path}/a 2>/dev/null && me=a || me=b
    echo $me $BATCH_TASK_RETRY_ATTEMPT; touch {tmp_path}/$me.is
    while [ ! -e {tmp_path}/a.is ] || [ ! -e {tmp_path}/b.is ]; do sleep 0.05; done; [ $me = b ] || exit 9"""
    job = jobs.run(text)
    assert (job.status.state, jobs.exit_codes(job)) == (State.SUCCEEDED, [])
    assert output(emulator, job) == ["a 0", "b 0"] and struck.count == 1


def test_an_attempt_starts_anew_after_its_first_copy_was_killed(
    emulator: Emulator, jobs: BatchJobs, tmp_path: Path
) -> None:
    struck = Struck(emulator, kind="attempt.twice", concurrent=False, after_output="first")
    job = jobs.run(f"echo $BATCH_TASK_RETRY_ATTEMPT; mkdir {tmp_path}/a || exit 0; echo first; sleep 600")
    assert (job.status.state, jobs.way(job)) == (State.SUCCEEDED, ["ASSIGNED", "RUNNING", "SUCCEEDED"])
    assert [line for line in output(emulator, job) if line in ("0", "first")] == [
        "0",
        "first",
        "0",
    ] and struck.count == 1


def test_a_missing_image_never_starts_and_tells_why_only_in_the_log(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.no_image")
    job = jobs.run("echo ran")
    assert jobs.exit_codes(job) == [125]
    assert "manifest unknown" not in event_texts(job)
    assert any("manifest unknown" in line for line in output(emulator, job)) and "ran" not in output(emulator, job)
    assert struck.count == 1


def test_an_attempt_ends_with_any_exit_code(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.exit", exit_code=137)
    job = jobs.run("sleep 600")
    assert jobs.exit_codes(job) == [137] and struck.count == 1


def test_a_stuck_task_runs_nothing_until_the_job_is_cancelled(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.stuck")
    job = jobs.wait(jobs.create("echo ran"), lambda job: job.status.state == State.RUNNING)
    jobs.client.cancel_job(name=job.name)
    assert jobs.wait(job).status.state == State.CANCELLED
    assert output(emulator, job) == [] and struck.count == 1


@pytest.mark.parametrize(("exit_code", "lines", "codes"), [(None, ["ran"], []), (UNRESPONSIVE, [], [UNRESPONSIVE])])
def test_a_task_stuck_for_a_time_then_starts_or_fails(
    emulator: Emulator, jobs: BatchJobs, exit_code: int | None, lines: list[str], codes: list[int]
) -> None:
    struck = Struck(emulator, kind="attempt.stuck", seconds=0.2, exit_code=exit_code)
    job = jobs.run("echo ran")
    assert (output(emulator, job), jobs.exit_codes(job), struck.count) == (lines, codes, 1)


def test_an_ending_is_told_late(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.late", seconds=0.5)
    job = jobs.run("echo done")
    assert job.status.state == State.SUCCEEDED and struck.count == 1
    (printed,) = [record for record in emulator.logs.records() if record.labels.get("job_uid") == job.uid]
    told = jobs.task(job).status.status_events[-1].event_time.timestamp()
    assert told - printed.timestamp_ns / 1e9 >= 0.5


def test_an_attempt_that_ends_sooner_consumes_nothing(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.preempt", after_seconds=60, first=1)
    assert jobs.run().status.state == State.SUCCEEDED
    assert struck.count == 0


def test_an_attempt_that_prints_something_else_is_not_struck(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.lost", after_output="now")
    assert jobs.run("echo not yet; sleep 0.2").status.state == State.SUCCEEDED
    assert struck.count == 0


def test_one_task_of_an_array_is_struck_and_the_others_go_on(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.exit", exit_code=3, task=1)
    job = jobs.run("sleep 0.2", tasks=3)
    assert [jobs.exit_codes(job, index) for index in range(3)] == [[], [3], []] and struck.count == 1


def test_a_job_is_cancelled_within_a_preemptions_notice(emulator: Emulator, jobs: BatchJobs) -> None:
    struck = Struck(emulator, kind="attempt.preempt", after_output="began", notice_seconds=600)
    job = jobs.create("trap 'echo told' TERM; echo began; while :; do sleep 0.05; done")
    wait_until(lambda: "told" in output(emulator, job))
    jobs.client.cancel_job(name=job.name)
    assert jobs.wait(job).status.state == State.CANCELLED and struck.count == 1
