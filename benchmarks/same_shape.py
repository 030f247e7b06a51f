"""Whether electrons of the same shape that arrive together should share a job: `python -m benchmarks.same_shape`.

The emulator's model of VMs tells what sharing would save; nothing in the package does it. Tasks only sleep, since what
is compared is what Batch does with them: when the last one has ended, and what VMs that takes. The electrons arrive as
Covalent starts them, and there are four ways to submit them: a job each; one array, made when the last one has arrived;
an array for each second's; an array for the first second's and, once its VMs have booted, one for all others.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport
from google.protobuf.duration_pb2 import Duration

from .services import running_services
from .tables import Line, Table

PARENT = "projects/benchmark/locations/us-east1"
ELECTRONS = 200
ELECTRON_SECONDS = 0.05
BOOT_SECONDS = 10.0
# Covalent starts 15 to 20 electrons a second
ELECTRONS_A_SECOND = 18
POLL_SECONDS = 0.5
MOST_SECONDS = 900.0
ENDED = (batch_v1.JobStatus.State.SUCCEEDED, batch_v1.JobStatus.State.FAILED)

ALONE = "a job each"
ONE = "one array"
BY_SECOND = "an array a second"
TWO = "two arrays"
# (seconds after the first, tasks) of each job
Arrivals = Sequence[tuple[float, int]]


@dataclass(frozen=True)
class Setting:
    """At most so many VMs (None: no limit), each of which takes so many tasks of a job at a time."""

    vms: int | None
    tasks_per_vm: int

    @property
    def title(self) -> str:
        vms = "any number of VMs" if self.vms is None else f"at most {self.vms} VMs"
        return f"{vms}, {self.tasks_per_vm} {'task' if self.tasks_per_vm == 1 else 'tasks'} on each"


SETTINGS = (Setting(16, 1), Setting(16, 4), Setting(None, 1), Setting(None, 4))


@dataclass(frozen=True)
class Ran:
    """What the jobs took: seconds from the first electron's arrival, and the emulator's counters."""

    makespan: float
    creating_seconds: float
    created: int
    vms: float
    vm_seconds: float
    billed_seconds: float


def arrivals(electrons: int) -> dict[str, Arrivals]:
    """The jobs of each way, for so many electrons."""
    last = (electrons - 1) / ELECTRONS_A_SECOND
    first = min(ELECTRONS_A_SECOND, electrons)
    return {
        ALONE: [(number / ELECTRONS_A_SECOND, 1) for number in range(electrons)],
        ONE: [(last, electrons)],
        BY_SECOND: [
            (min(second + 1.0, last), min(ELECTRONS_A_SECOND, electrons - begun))
            for second, begun in enumerate(range(0, electrons, ELECTRONS_A_SECOND))
        ],
        TWO: [(1.0, first), *([(max(1.0 + BOOT_SECONDS, last), electrons - first)] if electrons > first else [])],
    }


def job_of(tasks: int, tasks_per_vm: int, task_seconds: float) -> batch_v1.Job:
    """A job of tasks that sleep, as parallel as Batch will have it."""
    spec = batch_v1.TaskSpec(
        runnables=[batch_v1.Runnable(script=batch_v1.Runnable.Script(text=f"sleep {task_seconds}"))],
        max_run_duration=Duration(seconds=600),
    )
    group = batch_v1.TaskGroup(task_spec=spec, task_count=tasks, parallelism=tasks, task_count_per_node=tasks_per_vm)
    return batch_v1.Job(task_groups=[group])


def run(setting: Setting, jobs: Arrivals, task_seconds: float) -> Ran:
    """Submit the jobs to an emulator of their own, each at its time, and wait for the last one's end.

    Raises:
        RuntimeError: a job failed, or they took longer than 15 minutes.
    """
    machines = {"boot_seconds": BOOT_SECONDS, **({} if setting.vms is None else {"vms": setting.vms})}
    electrons = sum(tasks for _, tasks in jobs)
    with running_services({}, tasks_at_once=electrons, machines=machines) as services:
        with grpc.insecure_channel(services.variables["BATCH_EMULATOR_HOST"]) as channel:
            client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
            began, wall_began, creating = time.monotonic(), time.time(), 0.0
            for after, tasks in jobs:
                time.sleep(max(0.0, began + after - time.monotonic()))
                before = time.thread_time()
                client.create_job(parent=PARENT, job=job_of(tasks, setting.tasks_per_vm, task_seconds))
                creating += time.thread_time() - before
            ended = _until_ended(client, began + MOST_SECONDS)
        counts = services.counts()
    return Ran(
        makespan=max(batch_v1.Job.pb(job).update_time.ToMicroseconds() for job in ended) / 1e6 - wall_began,
        creating_seconds=creating,
        created=counts.batch["CreateJob"],
        vms=counts.tasks["vms"],
        vm_seconds=counts.tasks["vm_seconds"],
        billed_seconds=counts.tasks["vm_billed_seconds"],
    )


def _until_ended(client: batch_v1.BatchServiceClient, deadline: float) -> list[batch_v1.Job]:
    while True:
        jobs = list(client.list_jobs(parent=PARENT))
        failed = [job for job in jobs if job.status.state == batch_v1.JobStatus.State.FAILED]
        if failed:
            raise RuntimeError(f"{failed[0].name} failed: {failed[0].status}")
        if all(job.status.state in ENDED for job in jobs):
            return jobs
        if time.monotonic() > deadline:
            raise RuntimeError(f"the jobs took longer than {MOST_SECONDS:g} s")
        time.sleep(POLL_SECONDS)


def same_shape_table(
    electrons: int, electron_seconds: float, settings: Sequence[Setting], tell: Callable[[str], None]
) -> Table:
    """Every way under every setting; the ways of a setting run at the same time, since their tasks only sleep."""
    ways = arrivals(electrons)
    lines: list[Line] = []
    for setting in settings:
        tell(f"same shape: {setting.title}")
        with ThreadPoolExecutor(len(ways)) as pool:
            running = {way: pool.submit(run, setting, jobs, electron_seconds) for way, jobs in ways.items()}
            ran = {way: future.result() for way, future in running.items()}
        values: dict[str, Callable[[Ran], float]] = {
            "makespan, s": lambda one: one.makespan,
            "VMs started": lambda one: one.vms,
            "VM-seconds": lambda one: one.vm_seconds,
            "VM-seconds billed": lambda one: one.billed_seconds,
            "CreateJob": lambda one: one.created,
            "client's CPU for these, ms": lambda one: 1000 * one.creating_seconds,
        }
        lines += [
            Line(f"{setting.title}: {what}", {way: [value(one)] for way, one in ran.items()})
            for what, value in values.items()
        ]
    return Table(
        f"{electrons} electrons of {electron_seconds:g} s, {BOOT_SECONDS:g} s to boot",
        list(ways),
        (ONE, ALONE),
        lines,
    )


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m benchmarks.same_shape", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--electrons", type=int, default=ELECTRONS, metavar="N", help=f"[{ELECTRONS}]")
    parser.add_argument(
        "--seconds", type=float, default=ELECTRON_SECONDS, metavar="S", help=f"that each takes [{ELECTRON_SECONDS}]"
    )
    arguments = parser.parse_args(words)

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    print(same_shape_table(arguments.electrons, arguments.seconds, SETTINGS, tell).markdown())


if __name__ == "__main__":
    main()
