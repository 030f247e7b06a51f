"""Background runnables: beside the following ones, and ended when those are done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import BatchJobs, batch_jobs, output, run_json, script, wait_until

from covalent_parallel_plugin.emulator import Emulator, Faults, Timing
from covalent_parallel_plugin.emulator.faults.fault import Fault


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(timing=Timing(0.0, 0.0, grace_seconds=0.5)) as running:
        yield running


@pytest.fixture
def jobs(emulator: Emulator) -> Iterator[BatchJobs]:
    with batch_jobs(emulator) as made:
        yield made


def background(text: str, **fields: Any) -> dict[str, Any]:
    return script(text, background=True, **fields)


def test_a_background_runnable_serves_the_following_ones(jobs: BatchJobs, emulator: Emulator, tmp_path: Path) -> None:
    server = background(
        f"echo serving; cd {tmp_path}; until [ -e asked ]; do sleep 0.05; done; touch answered; sleep 600"
    )
    client = script(f"cd {tmp_path}; touch asked; until [ -e answered ]; do sleep 0.05; done; echo answered")
    job = run_json(jobs, server, client)
    assert job.status.state.name == "SUCCEEDED"
    assert sorted(output(emulator, job)) == ["answered", "serving"]
    assert jobs.exit_codes(job) == []


def test_it_is_told_to_end_and_what_it_says_then_is_in_the_log(jobs: BatchJobs, emulator: Emulator) -> None:
    server = background("trap 'echo told; exit 3' TERM; echo up; while :; do sleep 0.1; done")
    job = run_json(jobs, server, script("sleep 0.5"))
    assert (job.status.state.name, output(emulator, job)) == ("SUCCEEDED", ["up", "told"])


def test_one_that_does_not_listen_is_killed(jobs: BatchJobs, emulator: Emulator, tmp_path: Path) -> None:
    stubborn = background(f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done")
    job = run_json(jobs, stubborn, script(f"until [ -s {tmp_path}/pid ]; do sleep 0.05; done"))
    assert job.status.state.name == "SUCCEEDED"
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_one_that_ends_soon_afterwards_is_let_end(tmp_path: Path) -> None:
    with Emulator(timing=Timing(0.0, 0.0, grace_seconds=60)) as emulator, batch_jobs(emulator) as jobs:
        watcher = background(f"until [ -e {tmp_path}/done ]; do sleep 0.02; done; echo saw it")
        assert output(emulator, run_json(jobs, watcher, script(f"touch {tmp_path}/done"))) == ["saw it"]


@pytest.mark.parametrize("text", ["exit 3", "kill -9 $$", "#!/no/such/interpreter"])
def test_how_it_ends_is_no_failure(jobs: BatchJobs, emulator: Emulator, text: str) -> None:
    job = run_json(jobs, background(text), script("sleep 0.2; echo foreground"))
    assert job.status.state.name == "SUCCEEDED" and output(emulator, job)[-1] == "foreground"


def test_it_goes_on_after_a_failure_until_what_always_runs_is_done(jobs: BatchJobs, emulator: Emulator) -> None:
    server = background("while :; do sleep 0.05; done & echo $! > $HOME/pid; wait")
    up = script("until [ -s $HOME/pid ]; do sleep 0.05; done; exit 4")
    always = script("kill -0 $(cat $HOME/pid) && echo still there", alwaysRun=True)
    job = run_json(jobs, server, up, script("echo skipped"), always)
    assert (jobs.exit_codes(job), output(emulator, job)) == ([4], ["still there"])


def test_after_a_failure_only_those_start_that_always_run(jobs: BatchJobs, emulator: Emulator, tmp_path: Path) -> None:
    always = background(f"echo always; touch {tmp_path}/up; sleep 600", alwaysRun=True)
    wait = script(f"until [ -e {tmp_path}/up ]; do sleep 0.05; done", alwaysRun=True)
    job = run_json(jobs, script("exit 4"), background("echo not always; sleep 600"), always, wait)
    assert (jobs.exit_codes(job), output(emulator, job)) == ([4], ["always"])


def test_its_timeout_ends_it_and_not_the_task(jobs: BatchJobs, emulator: Emulator) -> None:
    told = background("trap 'echo told; exit 3' TERM; while :; do sleep 0.05; done", timeout="0.3s")
    job = run_json(jobs, told, script("sleep 1; echo foreground"))
    assert (job.status.state.name, output(emulator, job)) == ("SUCCEEDED", ["told", "foreground"])


def test_a_timeout_in_the_foreground_fails_the_task_beside_one_in_the_background(jobs: BatchJobs) -> None:
    job = run_json(jobs, background("sleep 600"), script("exec sleep 600", timeout="0.3s"))
    assert (job.status.state.name, jobs.exit_codes(job)) == ("FAILED", [50005])


def test_a_timeout_whose_status_is_ignored_lets_the_task_go_on(jobs: BatchJobs, emulator: Emulator) -> None:
    job = run_json(jobs, script("exec sleep 600", timeout="0.3s", ignoreExitStatus=True), script("echo on"))
    assert (job.status.state.name, output(emulator, job)) == ("SUCCEEDED", ["on"])


def test_the_tasks_time_is_up_for_both(jobs: BatchJobs, emulator: Emulator, tmp_path: Path) -> None:
    server = background(f"echo $$ > {tmp_path}/pid; exec sleep 600")
    job = run_json(
        jobs, server, script("exec sleep 600"), script("echo no", alwaysRun=True), spec={"maxRunDuration": "0.5s"}
    )
    assert (jobs.exit_codes(job), output(emulator, job)) == ([50005], [])
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_the_tasks_time_is_not_up_while_only_the_background_ends(jobs: BatchJobs) -> None:
    stubborn = background("trap '' TERM; while :; do sleep 0.1; done")
    job = run_json(jobs, stubborn, script("exit 0"), spec={"maxRunDuration": "0.6s"})
    assert job.status.state.name == "SUCCEEDED"


def test_a_task_of_background_runnables_alone_ends(jobs: BatchJobs, emulator: Emulator) -> None:
    assert run_json(jobs, background("sleep 600"), background("sleep 600")).status.state.name == "SUCCEEDED"


def test_cancelling_ends_both(jobs: BatchJobs, emulator: Emulator) -> None:
    told = "trap 'echo told; exit 3' TERM; echo up; while :; do sleep 0.05; done"
    job = jobs.create_from_json(background(told), script(told))
    wait_until(lambda: output(emulator, job) == ["up"] * 2)
    jobs.client.cancel_job(name=job.name)
    assert jobs.wait(job).status.state.name == "CANCELLED"
    assert output(emulator, job) == ["up"] * 2 + ["told"] * 2


def test_it_runs_on_while_its_task_waits_at_a_barrier(jobs: BatchJobs, emulator: Emulator, tmp_path: Path) -> None:
    server = background("while :; do sleep 0.05; done & echo $! > $HOME/pid; wait")
    up = script("until [ -s $HOME/pid ]; do sleep 0.05; done; [ $BATCH_TASK_INDEX = 0 ] || sleep 1")
    job = run_json(jobs, server, up, {"barrier": {}}, script("kill -0 $(cat $HOME/pid) && echo there"), taskCount=2)
    assert (job.status.state.name, output(emulator, job)) == ("SUCCEEDED", ["there"] * 2)


def test_its_attempt_is_preempted_while_only_it_runs() -> None:
    faults = Faults((Fault("attempt.preempt", after_seconds=2, notice_seconds=0.1),))
    with Emulator(timing=Timing(0.0, 0.0, grace_seconds=60), faults=faults) as emulator, batch_jobs(emulator) as jobs:
        assert jobs.exit_codes(run_json(jobs, background("sleep 600"), script("exit 0"))) == [50001]
