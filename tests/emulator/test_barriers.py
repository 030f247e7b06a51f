"""Barriers: tasks of a job that wait for one another between two runnables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_jobs import BatchJobs, batch_jobs, event_texts, output, run_json, script, wait_until
from google.api_core import exceptions
from google.cloud import batch_v1

from covalent_parallel_plugin.emulator import Emulator, Faults, Timing, VmModel
from covalent_parallel_plugin.emulator.execution.barriers import Arrival, Barriers
from covalent_parallel_plugin.emulator.faults.fault import Fault

BARRIER = {"barrier": {"name": "all-are-there"}}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    # fewer places than a job has tasks
    with Emulator(timing=Timing(0.0, 0.0), tasks_at_once=2) as running:
        yield running


@pytest.fixture
def jobs(emulator: Emulator) -> Iterator[BatchJobs]:
    with batch_jobs(emulator) as made:
        yield made


def state(job: batch_v1.Job) -> str:
    return job.status.state.name


def test_no_task_passes_before_the_last_one_is_there(jobs: BatchJobs, emulator: Emulator) -> None:
    job = run_json(jobs, script("echo before"), BARRIER, script("echo after"), taskCount=4)
    assert state(job) == "SUCCEEDED"
    assert output(emulator, job) == ["before"] * 4 + ["after"] * 4


def test_tasks_of_one_barrier_run_side_by_side_afterwards(jobs: BatchJobs, tmp_path: Path) -> None:
    meet = f"cd {tmp_path}; touch $BATCH_TASK_INDEX; until [ -e 0 ] && [ -e 1 ] && [ -e 2 ]; do sleep 0.05; done"
    assert state(run_json(jobs, BARRIER, script(meet), taskCount=3, taskCountPerNode=2)) == "SUCCEEDED"


def test_each_barrier_is_one_of_its_own(jobs: BatchJobs, emulator: Emulator) -> None:
    steps = [BARRIER, script("echo 1"), BARRIER, script("echo 2"), {"barrier": {}}, script("echo 3")]
    job = run_json(jobs, *steps, taskCount=3)
    assert (state(job), output(emulator, job)) == ("SUCCEEDED", ["1"] * 3 + ["2"] * 3 + ["3"] * 3)


def test_one_task_passes_a_barrier_by_itself(jobs: BatchJobs) -> None:
    assert state(run_json(jobs, BARRIER, script("exit 0"))) == "SUCCEEDED"


def test_others_are_not_left_waiting_for_a_task_that_fails_before(jobs: BatchJobs, emulator: Emulator) -> None:
    job = run_json(jobs, script("exit $((BATCH_TASK_INDEX == 1 ? 7 : 0))"), BARRIER, script("echo after"), taskCount=3)
    assert state(job) == "FAILED"
    assert [jobs.exit_codes(job, index) for index in range(3)] == [[1], [7], [1]]
    why = "the barrier 'all-are-there' (runnable 1) waits for all 3 tasks, and task 1 has ended without passing it"
    assert output(emulator, job) == [why] * 2


def test_what_always_runs_does_so_after_a_barrier_that_broke(jobs: BatchJobs, emulator: Emulator) -> None:
    always = script("echo always", alwaysRun=True)
    job = run_json(jobs, script("exit $BATCH_TASK_INDEX"), BARRIER, script("echo after"), always, taskCount=2)
    assert (state(job), Counter(output(emulator, job))["always"]) == ("FAILED", 2)
    assert "after" not in output(emulator, job)


def test_a_barrier_whose_exit_status_is_ignored_is_passed_when_it_breaks(jobs: BatchJobs, emulator: Emulator) -> None:
    barrier = {**BARRIER, "ignoreExitStatus": True}
    job = run_json(jobs, script("exit $BATCH_TASK_INDEX"), barrier, script("echo after"), taskCount=2)
    assert (jobs.task(job, 0).status.state.name, output(emulator, job)[-1]) == ("SUCCEEDED", "after")


def test_others_wait_for_a_task_that_is_tried_again(jobs: BatchJobs, emulator: Emulator) -> None:
    first = "exit $((BATCH_TASK_INDEX == 1 && BATCH_TASK_RETRY_ATTEMPT < 2 ? 7 : 0))"
    job = run_json(jobs, script(first), BARRIER, script("echo after"), taskCount=3, spec={"maxRetryCount": 2})
    assert (state(job), output(emulator, job)) == ("SUCCEEDED", ["after"] * 3)
    assert jobs.exit_codes(job, 1) == [7, 7] and jobs.exit_codes(job, 0) == []


def test_a_task_that_is_tried_again_passes_a_barrier_that_is_open(jobs: BatchJobs, emulator: Emulator) -> None:
    after = "echo after; exit $((BATCH_TASK_INDEX == 1 && BATCH_TASK_RETRY_ATTEMPT < 1 ? 7 : 0))"
    job = run_json(jobs, BARRIER, script(after), taskCount=2, spec={"maxRetryCount": 1})
    assert (state(job), output(emulator, job)) == ("SUCCEEDED", ["after"] * 3)


def test_time_is_up_at_a_barrier_too(jobs: BatchJobs) -> None:
    spec = {"maxRunDuration": "0.5s"}
    job = run_json(jobs, script("[ $BATCH_TASK_INDEX = 0 ] || exec sleep 600"), BARRIER, taskCount=2, spec=spec)
    assert [jobs.exit_codes(job, index) for index in range(2)] == [[50005], [50005]]


def test_a_barrier_has_a_timeout_of_its_own(jobs: BatchJobs, tmp_path: Path) -> None:
    slow = f"[ $BATCH_TASK_INDEX = 1 ] || until [ -e {tmp_path}/ended ]; do sleep 0.05; done"
    ended = script(f"touch {tmp_path}/ended", alwaysRun=True)
    job = run_json(jobs, script(slow), {**BARRIER, "timeout": "0.3s"}, ended, taskCount=2)
    assert (state(job), jobs.exit_codes(job, 1)) == ("FAILED", [50005])
    assert jobs.exit_codes(job, 0) == [1], "it is not left waiting for the other"


def test_a_job_that_waits_at_a_barrier_can_be_cancelled(jobs: BatchJobs, emulator: Emulator) -> None:
    wait = script("echo up; [ $BATCH_TASK_INDEX = 0 ] || exec sleep 600")
    job = jobs.create_from_json(wait, BARRIER, taskCount=2)
    wait_until(lambda: output(emulator, job) == ["up"] * 2)
    jobs.client.cancel_job(name=job.name)
    assert state(jobs.wait(job)) == "CANCELLED"


def test_jobs_take_turns_while_one_waits_at_its_barrier(jobs: BatchJobs, tmp_path: Path) -> None:
    held = script(f"[ $BATCH_TASK_INDEX != 2 ] || until [ -e {tmp_path}/go ]; do sleep 0.05; done")
    waiting = jobs.create_from_json(held, BARRIER, taskCount=3)
    assert state(run_json(jobs, script(f"touch {tmp_path}/go"))) == "SUCCEEDED"
    assert state(jobs.wait(waiting)) == "SUCCEEDED"


@pytest.mark.parametrize("group", [{"taskCount": 3, "parallelism": 2}, {"taskCount": 5001}])
def test_a_barrier_is_refused_where_not_all_tasks_may_run_at_a_time(jobs: BatchJobs, group: dict[str, int]) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=f"waits for all {group['taskCount']} tasks, and parallelism"):
        jobs.create_from_json(BARRIER, script("exit 0"), **group)


def test_parallelism_counts_against_the_environments_of_tasks(jobs: BatchJobs) -> None:
    environments = [{"variables": {"X": "1"}}, {"variables": {"X": "2"}}]
    with pytest.raises(exceptions.InvalidArgument, match="waits for all 2 tasks"):
        jobs.create_from_json(BARRIER, taskEnvironments=environments, parallelism=1)


def test_a_task_whose_vm_is_lost_at_the_barrier_is_waited_for_again(tmp_path: Path) -> None:
    faults = Faults((Fault("attempt.lost", task=0, attempt=0, after_seconds=0.3),))
    with Emulator(timing=Timing(0.0, 0.0), faults=faults) as emulator, batch_jobs(emulator) as jobs:
        first = f"""cd {tmp_path}; case $BATCH_TASK_INDEX-$BATCH_TASK_RETRY_ATTEMPT in
            0-1) touch again; until [ -e near ]; do sleep 0.05; done; sleep 1; echo came ;;
            1-*) until [ -e again ]; do sleep 0.05; done; touch near ;;
        esac"""
        job = run_json(jobs, script(first), BARRIER, script("echo after"), taskCount=2, spec={"maxRetryCount": 1})
        assert (state(job), jobs.exit_codes(job, 0)) == ("SUCCEEDED", [50002])
        assert output(emulator, job) == ["came", "after", "after"]


def test_tasks_on_more_vms_than_there_are_do_not_wait_for_ever() -> None:
    with Emulator(timing=Timing(0.0, 0.0), machines=VmModel(vms=2)) as emulator, batch_jobs(emulator) as jobs:
        ended = run_json(jobs, BARRIER, taskCount=5, taskCountPerNode=2)
        assert state(ended) == "FAILED" and "they need 3 VMs at a time" in event_texts(ended)
        assert state(run_json(jobs, BARRIER, taskCount=4, taskCountPerNode=2)) == "SUCCEEDED"


def test_an_emulator_stops_while_tasks_wait() -> None:
    with Emulator(timing=Timing(0.0, 0.0, grace_seconds=0.2)) as emulator, batch_jobs(emulator) as jobs:
        job = jobs.create_from_json(
            script("echo up; [ $BATCH_TASK_INDEX = 0 ] || exec sleep 600"), BARRIER, taskCount=2
        )
        wait_until(lambda: output(emulator, job) == ["up"] * 2)
    assert emulator.counts["tasks"] == 0


def test_an_attempt_that_left_does_not_count() -> None:
    barriers, passed = Barriers(2), []
    first = Arrival(0, lambda why_not: passed.append(("first", why_not)))
    barriers.reach(1, "", first)
    barriers.leave(first)
    barriers.reach(1, "", Arrival(1, lambda why_not: passed.append(("other", why_not))))
    assert passed == [] and barriers.waiting == {1}
    barriers.reach(1, "", Arrival(0, lambda why_not: passed.append(("again", why_not))))
    assert passed == [("other", ""), ("again", "")]


def test_two_attempts_of_one_task_count_once() -> None:
    barriers, passed = Barriers(2), []
    for _ in range(2):
        barriers.reach(0, "", Arrival(0, passed.append))
    assert passed == []
    barriers.task_ended(1)
    assert len(passed) == 2 and all("task 1 has ended without passing it" in why_not for why_not in passed)
