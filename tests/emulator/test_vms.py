"""VMs as a model: who gets one, when, for how long, and what it would cost; on a clock of its own, then with tasks."""

from __future__ import annotations

import heapq
import itertools
import json
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from batch_jobs import PARENT, PREEMPTED, BatchJobs, State, batch_jobs, event_texts, wait_until
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport
from test_command import Foreground

from covalent_parallel_plugin.emulator import Emulator, Fault, Faults
from covalent_parallel_plugin.emulator.execution.scheduled_job import ScheduledJob
from covalent_parallel_plugin.emulator.execution.vm_pool import VmModel, VmPool
from covalent_parallel_plugin.emulator.execution.vm_times import billed_seconds
from covalent_parallel_plugin.emulator.model.job import Job, RetryRule, Task
from covalent_parallel_plugin.emulator.model.runtime_interface import Command
from covalent_parallel_plugin.emulator.model.task_plan import Step, TaskPlan
from covalent_parallel_plugin.emulator.project.machine_types import tasks_per_vm, vcpus_of

QUOTA = "CODE_GCE_QUOTA_EXCEEDED"


class Model:
    """A pool on a clock that goes on only when told to; jobs are scheduled as soon as they are admitted."""

    def __init__(self, machines: VmModel) -> None:
        self.now = 0.0
        self.ready: list[str] = []
        self.refused: list[str] = []
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.pool = VmPool(
            machines,
            self._later,
            lambda: self.now,
            lambda entry: self.ready.append(entry.plan.uid),
            lambda entry: self.refused.append(entry.plan.uid),
        )

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._calls, (self.now + seconds, next(self._numbers), call))

    def go_to(self, moment: float) -> None:
        while self._calls and self._calls[0][0] <= moment:
            self.now, _, call = heapq.heappop(self._calls)
            call()
        self.now = moment

    def admit(
        self, uid: str, tasks: int = 1, *, parallelism: int = 100, per_vm: int = 1, image: str = "i", retries: int = 0
    ) -> ScheduledJob:
        job = Job(uid, task_count=tasks, parallelism=parallelism, retry=RetryRule(retries), now=self.now)
        steps = (Step(Command(image=image)),)
        plan = TaskPlan("p", uid, uid, "us-east1-b", tasks, steps, tasks_per_vm=per_vm)
        entry = ScheduledJob(job, plan)
        self.pool.admit(entry, lambda entry: entry.job.schedule(self.now))
        return entry

    def start(self, entry: ScheduledJob) -> Task:
        assert self.pool.has_room(entry)
        task = entry.job.assign(self.pool.instance(entry), self.now)
        self.pool.assign(entry, task.index)
        entry.job.run(task, self.now)
        return task

    def finish(self, entry: ScheduledJob, task: Task, exit_code: int = 0) -> None:
        entry.job.finish(task, exit_code, self.now)
        self.pool.release(entry, task.index)

    def count(self, name: str) -> float:
        return self.pool.counts()[name]


def state(entry: ScheduledJob) -> str:
    return entry.job.state.name


def vm_of(task: Task) -> str:
    return task.instance.rpartition("-")[2]


def test_a_vm_takes_tasks_once_it_has_booted_and_pulled_the_image() -> None:
    model = Model(VmModel(boot_seconds=60, pull_seconds=20))
    entry = model.admit("a")
    model.go_to(79)
    assert (state(entry), model.pool.has_room(entry)) == ("SCHEDULED", False)
    model.go_to(80)
    assert model.ready == ["a"] and vm_of(model.start(entry)) == "0000"


def test_a_job_without_a_container_pulls_nothing() -> None:
    model = Model(VmModel(boot_seconds=60, pull_seconds=20))
    entry = model.admit("a", image="")
    model.go_to(60)
    assert model.pool.has_room(entry)


@pytest.mark.parametrize(
    ("tasks", "parallelism", "per_vm", "vms"),
    [(10, 4, 1, 4), (10, 4, 2, 2), (10, 5, 2, 3), (3, 100, 1, 3), (1, 1, 20, 1)],
)
def test_a_job_gets_as_many_vms_as_its_parallel_tasks_need(tasks: int, parallelism: int, per_vm: int, vms: int) -> None:
    model = Model(VmModel())
    model.admit("a", tasks, parallelism=parallelism, per_vm=per_vm)
    assert model.count("vms") == vms


def test_tasks_share_a_vm_up_to_its_number_of_tasks() -> None:
    model = Model(VmModel())
    entry = model.admit("a", 4, per_vm=2)
    model.go_to(0)
    assert [vm_of(model.start(entry)) for _ in range(4)] == ["0000", "0000", "0001", "0001"]
    assert not model.pool.has_room(entry)


def test_a_vm_is_used_again_by_the_tasks_of_its_job() -> None:
    model = Model(VmModel(boot_seconds=60))
    entry = model.admit("a", 5, parallelism=1)
    model.go_to(60)
    for _ in range(5):
        task = model.start(entry)
        assert vm_of(task) == "0000"
        model.finish(entry, task)
    assert (state(entry), model.count("vms")) == ("SUCCEEDED", 1)


def test_a_vm_is_never_used_by_another_job() -> None:
    model = Model(VmModel())
    first = model.admit("a", 2, parallelism=1)
    model.go_to(0)
    second = model.admit("b")
    model.go_to(1)
    names = {model.start(first).instance, model.start(second).instance}
    assert names == {"zones/us-east1-b/instances/a-group0-0-0000", "zones/us-east1-b/instances/b-group0-0-0000"}


def test_a_job_beyond_the_quota_waits_in_queued_and_is_told_so_once() -> None:
    model = Model(VmModel(vms=1))
    first, second = model.admit("a"), model.admit("b")
    model.go_to(0)
    assert (state(second), model.refused) == ("QUEUED", ["b"])
    model.pool.rebalance(second)
    model.finish(first, model.start(first))
    model.go_to(1)
    assert (state(second), model.pool.has_room(second), model.refused) == ("SCHEDULED", True, ["b"])


def test_vms_that_become_free_go_to_the_jobs_that_came_first() -> None:
    model = Model(VmModel(vms=2))
    first, second, third = model.admit("a", 2), model.admit("b", 2), model.admit("c")
    model.go_to(0)
    tasks = [model.start(first) for _ in range(2)]
    model.finish(first, tasks[0])
    model.go_to(1)
    assert (state(second), state(third)) == ("SCHEDULED", "QUEUED")
    model.finish(first, tasks[1])
    model.go_to(2)
    assert state(third) == "QUEUED" and [vm_of(model.start(second)) for _ in range(2)] == ["0000", "0001"]


def test_the_quota_is_never_passed() -> None:
    model = Model(VmModel(vms=3, boot_seconds=10))
    entries = [model.admit(f"job-{number}", number % 4 + 1) for number in range(20)]
    for moment in range(0, 2000, 5):
        model.go_to(moment)
        for entry in entries:
            while model.pool.has_room(entry) and entry.job.has_startable:
                model.finish(entry, model.start(entry))
    assert {state(entry) for entry in entries} == {"SUCCEEDED"}
    assert model.count("vms_at_most") == 3


def test_a_vm_ends_when_its_job_has_nothing_left_to_start() -> None:
    model = Model(VmModel())
    entry = model.admit("a", 2)
    model.go_to(0)
    short, long = model.start(entry), model.start(entry)
    model.go_to(100)
    model.finish(entry, short)
    model.go_to(400)
    model.finish(entry, long)
    model.go_to(1000)
    assert model.count("vm_seconds") == 500


def test_a_task_that_is_tried_again_keeps_its_vm() -> None:
    model = Model(VmModel(boot_seconds=60))
    entry = model.admit("a", retries=1)
    model.go_to(60)
    model.finish(entry, model.start(entry), exit_code=1)
    assert vm_of(model.start(entry)) == "0000"


@pytest.mark.parametrize(("seconds", "billed"), [(0.0, 60), (59.9, 60), (60.0, 60), (60.1, 61), (3600.0, 3600)])
def test_a_vm_is_billed_by_the_second_and_a_minute_at_least(seconds: float, billed: int) -> None:
    assert billed_seconds(seconds) == billed


def test_a_vm_counts_from_the_start_of_its_boot_while_it_lives() -> None:
    model = Model(VmModel(boot_seconds=90))
    model.admit("a")
    model.go_to(70.5)
    assert model.pool.counts() == {"vms": 1, "vms_at_most": 1, "vm_seconds": 70.5, "vm_billed_seconds": 71}


def test_a_lost_vm_names_its_other_tasks_and_another_is_booted_for_them() -> None:
    model = Model(VmModel(boot_seconds=60))
    entry = model.admit("a", 3, parallelism=2, per_vm=2, retries=1)
    model.go_to(60)
    first, second = model.start(entry), model.start(entry)
    assert model.pool.fail_vm(entry, first.index) == [second.index]
    for task in (first, second):
        model.finish(entry, task, PREEMPTED)
    assert not model.pool.has_room(entry)
    model.go_to(120)
    assert [vm_of(model.start(entry)) for _ in range(2)] == ["0001", "0001"]
    assert model.count("vms") == 2


def test_a_vm_that_boots_for_a_cancelled_job_ends() -> None:
    model = Model(VmModel(vms=1, boot_seconds=60))
    first, second = model.admit("a"), model.admit("b")
    first.job.request_cancel(10)
    model.go_to(10)
    model.pool.rebalance(first)
    model.go_to(70)
    assert model.ready == ["b"] and model.pool.has_room(second)


def test_a_cancelled_job_that_waits_for_quota_gets_no_vm() -> None:
    model = Model(VmModel(vms=1))
    first, second, third = model.admit("a"), model.admit("b"), model.admit("c")
    model.go_to(0)
    second.job.request_cancel(0)
    model.pool.rebalance(second)
    model.finish(first, model.start(first))
    model.go_to(1)
    assert model.pool.has_room(third) and model.count("vms") == 2


@pytest.mark.parametrize(
    ("machine", "vcpus"),
    [
        ("n2-standard-8", 8),
        ("e2-medium", 2),
        ("g1-small", 1),
        ("c3-standard-176-lssd", 176),
        ("n2-custom-6-3072", 6),
        ("custom-4-5120-ext", 4),
        ("a2-highgpu-2g", 24),
        ("a2-megagpu-16g", 96),
        ("a3-highgpu-8g", 208),
        ("g2-standard-12", 12),
        ("something", None),
        ("", None),
    ],
)
def test_a_machine_types_name_tells_its_vcpus(machine: str, vcpus: int | None) -> None:
    assert vcpus_of(machine) == vcpus


@pytest.mark.parametrize(
    ("machine", "cpu_milli", "per_node", "tasks"),
    [
        ("n2-standard-8", 2000, 0, 4),
        ("n2-standard-8", 16000, 0, 1),
        ("n2-standard-64", 1000, 0, 20),
        ("n2-standard-8", 2000, 1, 1),
        ("", 2000, 0, 1),
        ("", 500, 0, 4),
        ("", 3000, 0, 1),
        ("", 64000, 0, 1),
    ],
)
def test_vcpus_or_the_jobs_own_number_say_how_many_tasks_share_a_vm(
    machine: str, cpu_milli: int, per_node: int, tasks: int
) -> None:
    assert tasks_per_vm(machine, cpu_milli, per_node) == tasks


@pytest.mark.parametrize("wrong", [{"vms": 0}, {"boot_seconds": -1}, {"pull_seconds": float("nan")}])
def test_a_wrong_model_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VmModel(**wrong)  # type: ignore[arg-type]


# with tasks


class _Started:
    """Starts emulators with VMs, and ends them."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __call__(self, *faults: Fault, **machines: float) -> tuple[Emulator, BatchJobs]:
        model = VmModel(**machines)  # type: ignore[arg-type]
        emulator = self._stack.enter_context(Emulator(machines=model, faults=Faults(faults)))
        return emulator, self._stack.enter_context(batch_jobs(emulator))

    def __enter__(self) -> _Started:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


@pytest.fixture
def start() -> Iterator[_Started]:
    with _Started() as started:
        yield started


def test_task_events_name_the_vm_and_tasks_take_turns_on_it(start: _Started) -> None:
    emulator, jobs = start(vms=1, boot_seconds=0.05)
    job = jobs.run(tasks=3)
    instances = {event.description.split(" on ")[1].split()[0].rstrip(".") for task in jobs.tasks(job)
                 for event in task.status.status_events}  # fmt: skip
    assert instances == {f"zones/us-east1-b/instances/{job.uid}-group0-0-0000"}
    assert emulator.counts["vms"] == 1


def test_a_job_is_scheduled_and_its_tasks_wait_while_its_vm_boots(start: _Started) -> None:
    emulator, jobs = start(boot_seconds=600)
    job = jobs.wait(jobs.create(), lambda job: job.status.state == State.SCHEDULED)
    assert dict(job.status.task_groups["group0"].counts) == {"PENDING": 1}
    assert emulator.counts["vms"] == 1


def test_a_job_beyond_the_quota_has_the_event_and_runs_in_the_end(start: _Started, tmp_path: Path) -> None:
    emulator, jobs = start(vms=1)
    first = jobs.create(f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
    jobs.wait(first, lambda job: job.status.state == State.RUNNING)
    second = jobs.create()
    waiting = jobs.wait(second, lambda job: QUOTA in event_texts(job))
    assert waiting.status.state == State.QUEUED
    (tmp_path / "go").touch()
    assert jobs.wait(second).status.state == State.SUCCEEDED
    assert jobs.wait(first).status.state == State.SUCCEEDED
    assert emulator.counts["vms_at_most"] == 1


def test_a_job_that_waits_for_a_vm_can_be_cancelled_and_deleted(start: _Started) -> None:
    _, jobs = start(vms=1)
    first = jobs.create("sleep 600")
    jobs.wait(first, lambda job: job.status.state == State.RUNNING)
    second, third = jobs.create(), jobs.create()
    jobs.client.cancel_job(name=second.name)
    assert jobs.wait(second).status.state == State.CANCELLED
    jobs.client.delete_job(name=first.name)
    assert jobs.wait(third).status.state == State.SUCCEEDED


def test_as_many_tasks_share_a_vm_as_the_job_says(start: _Started) -> None:
    emulator, jobs = start()
    script = batch_v1.Runnable(script=batch_v1.Runnable.Script(text="sleep 0.3"))
    group = batch_v1.TaskGroup(
        task_spec=batch_v1.TaskSpec(runnables=[script]), task_count=8, parallelism=8, task_count_per_node=4
    )
    jobs.wait(jobs.client.create_job(parent=PARENT, job=batch_v1.Job(task_groups=[group])))
    assert emulator.counts["vms"] == 2


def test_a_preempted_vm_takes_all_its_tasks_which_go_on_elsewhere(start: _Started, tmp_path: Path) -> None:
    _, jobs = start(Fault("attempt.preempt", task=0, attempt=0, after_output="both", notice_seconds=0.1))
    # Each waits for the other one to come too
    text = f"""cd {tmp_path}; touch $BATCH_TASK_INDEX-$BATCH_TASK_RETRY_ATTEMPT
        until [ -e 0-$BATCH_TASK_RETRY_ATTEMPT -a -e 1-$BATCH_TASK_RETRY_ATTEMPT ]; do sleep 0.05; done
        [ $BATCH_TASK_RETRY_ATTEMPT = 1 ] || {{ echo both; sleep 600; }}"""
    script = batch_v1.Runnable(script=batch_v1.Runnable.Script(text=text))
    group = batch_v1.TaskGroup(
        task_spec=batch_v1.TaskSpec(runnables=[script], max_retry_count=1), task_count=2, task_count_per_node=2
    )
    job = jobs.wait(jobs.client.create_job(parent=PARENT, job=batch_v1.Job(task_groups=[group])))
    assert job.status.state == State.SUCCEEDED
    assert [jobs.exit_codes(job, index) for index in range(2)] == [[PREEMPTED], [PREEMPTED]]
    last = [task.status.status_events[-1].description for task in jobs.tasks(job)]
    assert all("-group0-0-0001." in text for text in last)


def test_a_job_that_is_refused_gives_its_vm_back(start: _Started) -> None:
    emulator, jobs = start(Fault("job.refused", job="bad"), vms=1, boot_seconds=60)
    bad = jobs.run(job_id="bad")
    assert bad.status.state == State.FAILED
    jobs.create()
    wait_until(lambda: emulator.counts["vms"] == 2)


def test_the_counters_can_be_read_while_it_runs(start: _Started) -> None:
    emulator, jobs = start(boot_seconds=600)
    jobs.create()
    wait_until(lambda: emulator.counts["vms"] == 1)
    with urllib.request.urlopen(emulator.environment["STORAGE_EMULATOR_HOST"] + "/_emulator/counts") as answer:
        counts = json.load(answer)
    assert (counts["vms"], counts["vms_at_most"], counts["vm_billed_seconds"]) == (1, 1, 60)
    assert (counts["attempts"], counts["batch_calls"]) == (0, {"CreateJob": 1})


def test_the_command_prints_the_vms_at_its_end() -> None:
    running = Foreground("--vms", "2", "--boot", "0.05", "--pull", "0.05")
    with grpc.insecure_channel(running.variables()["BATCH_EMULATOR_HOST"]) as channel:
        jobs = BatchJobs(batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel)))
        jobs.run()
    status, output, _ = running.end(signal.SIGTERM)
    assert status == 0
    assert "vms 1" in output and "vm_billed_seconds 60" in output and "CreateJob 1" in output
