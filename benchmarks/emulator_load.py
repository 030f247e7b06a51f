"""How much the emulator carries: tasks a second, one array of thousands of tasks, CPU of a call to Batch.

`python -m benchmarks.emulator_load` measures these alone, without the environments that the other rows compare.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import secrets
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import cloudpickle
import grpc
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport

from covalent_parallel_plugin.batch import runner_archive
from covalent_parallel_plugin.electron.call import Call
from covalent_parallel_plugin.electron.outcome import read_outcome
from covalent_parallel_plugin.protocol.envelope import CALL, VALUE, Part, envelope_chunks, seal_envelope
from covalent_parallel_plugin.protocol.environment import (
    ENV_BUCKET,
    ENV_CALL_ID,
    ENV_FOLDER,
    ENV_KEY,
    ENV_RUNNER,
    ENV_TIME_LIMIT,
)
from covalent_parallel_plugin.protocol.identity import CallIdentity, task_binding
from covalent_parallel_plugin.protocol.object_names import call_name, outcome_name

from .environments import clean_environment
from .tables import Line, Table

WARM = "forked from a warm process"
STARTED = "a process each"
WHOLE = "whole answers"
MASKED = "with a field mask"
PARENT = "projects/benchmark/locations/us-east1"
BUCKET = "covalent"
LABEL = "covalent-server"
JOBS = 2000
TASKS = 400
ARRAY_TASKS = 10_000
AT_ONCE = 16
PAGE_SIZE = 1000
ENDED = (batch_v1.JobStatus.State.SUCCEEDED, batch_v1.JobStatus.State.FAILED)
ARRAY_SECONDS = 3600.0
POLL_SECONDS = 0.2
STOP_SECONDS = 60
# Of an array so many outcomes are looked at, more or less
CHECKED = 100
GET_MASK = "name,uid,status,labels,create_time"
LIST_MASK = "jobs.name,jobs.uid,jobs.status,jobs.labels,jobs.create_time,next_page_token"


def nothing() -> None:
    """The electron."""


@dataclass(frozen=True)
class Server:
    """An emulator in a process of its own."""

    process: subprocess.Popen[str]
    storage: str
    client: batch_v1.BatchServiceClient

    def cpu_seconds(self) -> float:
        """User and system time of the process, without its tasks (Linux)."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            words = file.read().rpartition(")")[2].split()
        return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        """Peak of the resident set, in 10^6 bytes (Linux)."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024 / 1e6

    def put(self, name: str, data: bytes) -> None:
        """Write an object."""
        path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={quote(name, safe='')}"
        request = urllib.request.Request(self.storage + path, data, method="POST")
        urllib.request.urlopen(request, timeout=60).close()

    def get(self, name: str) -> bytes:
        """Read an object."""
        path = f"/storage/v1/b/{BUCKET}/o/{quote(name, safe='')}?alt=media"
        with urllib.request.urlopen(self.storage + path, timeout=60) as answer:
            data: bytes = answer.read()
        return data


@contextmanager
def serving(*, warm: bool, tasks_at_once: int, queue_seconds: float = 0.05) -> Iterator[Server]:
    """Start an emulator; jobs are QUEUED for so long."""
    options = {"warm": warm, "tasks_at_once": tasks_at_once, "queue_seconds": queue_seconds}
    command = [sys.executable, "-m", "benchmarks.emulator_load", "--serve", json.dumps(options)]
    process = subprocess.Popen(
        command, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        variables = json.loads(process.stdout.readline())
        with grpc.insecure_channel(
            variables["BATCH_EMULATOR_HOST"], [("grpc.max_receive_message_length", 64 << 20)]
        ) as channel:
            client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
            yield Server(process, variables["STORAGE_EMULATOR_HOST"], client)
    finally:
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serve(options: dict[str, object]) -> None:
    """Be the emulator until the standard input ends."""
    from covalent_parallel_plugin.emulator import Emulator, ProcessRuntime, Timing

    from .fork_runtime import ForkRuntime

    timing = Timing(queue_seconds=float(str(options["queue_seconds"])))
    runtime = ForkRuntime() if options["warm"] else ProcessRuntime()
    with Emulator(runtime=runtime, timing=timing, tasks_at_once=int(str(options["tasks_at_once"]))) as emulator:
        print(json.dumps(emulator.environment), flush=True)
        sys.stdin.read()


def job_of(tasks: int, variables: dict[str, str], at_once: int = 1) -> batch_v1.Job:
    """The job that this plugin's dispatcher makes, in what counts here: its command and its environment."""
    container = batch_v1.Runnable.Container(
        image_uri="python:3.11-slim", entrypoint="python3", commands=runner_archive.command()
    )
    spec = batch_v1.TaskSpec(
        runnables=[batch_v1.Runnable(container=container)], environment=batch_v1.Environment(variables=variables)
    )
    group = batch_v1.TaskGroup(task_spec=spec, task_count=tasks, parallelism=at_once)
    return batch_v1.Job(task_groups=[group], labels={LABEL: "benchmark"})


@dataclass(frozen=True)
class Staged:
    """An electron that does nothing, in the bucket."""

    variables: dict[str, str]
    folder: str
    call_id: str
    key: bytes

    def check(self, server: Server, task: int) -> None:
        """Raise RuntimeError unless a task has delivered a value."""
        outcome = read_outcome(
            io.BytesIO(server.get(outcome_name(self.folder, task))),
            CallIdentity(self.call_id, self.key, self.folder).task(task),
        )
        if outcome.kind != VALUE:
            raise RuntimeError(f"task {task} delivered no value: {outcome}")


def staged(server: Server) -> Staged:
    """Put the electron and the runner into the bucket."""
    key, call_id = secrets.token_bytes(32), secrets.token_hex(8)
    call = Call(str(uuid.uuid4()), 0, "nothing", platform.python_version(), "")
    # the tasks do not have this module
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    pickles: dict[str, Part] = {"function": cloudpickle.dumps(nothing)}
    start = seal_envelope(call.header(call_id), pickles, key, task_binding(CALL, call_id))
    folder = call.folder(call_id)
    server.put(call_name(folder), b"".join(envelope_chunks(start, pickles)))
    runner = runner_archive.runner_archive()
    server.put(runner.object_name, runner.data)
    variables = {
        ENV_BUCKET: BUCKET,
        ENV_FOLDER: folder,
        ENV_CALL_ID: call_id,
        ENV_KEY: key.hex(),
        ENV_TIME_LIMIT: "60.0",
        ENV_RUNNER: runner.object_name,
    }
    return Staged(variables, folder, call_id, key)


def array_seconds(server: Server, tasks: int, at_once: int) -> float:
    """Run an array of electrons to its end. Raises RuntimeError where one failed, or it takes too long."""
    electron = staged(server)
    job = job_of(tasks, electron.variables, at_once)
    began = time.monotonic()
    made = server.client.create_job(parent=PARENT, job=job)
    while made.status.state not in ENDED:
        if time.monotonic() > began + ARRAY_SECONDS:
            raise RuntimeError(f"the array did not end within {ARRAY_SECONDS:g} s: {made.status}")
        time.sleep(POLL_SECONDS)
        made = server.client.get_job(name=made.name)
    if made.status.state != batch_v1.JobStatus.State.SUCCEEDED:
        raise RuntimeError(f"the array failed: {made.status}")
    seconds = time.monotonic() - began
    for task in range(0, tasks, max(1, tasks // CHECKED)):
        electron.check(server, task)
    return seconds


def tasks_table(tasks: int, array_tasks: int, rounds: int, tell: Callable[[str], None]) -> Table:
    """Run arrays with either runtime in turns, then one long array with the warm one."""
    rates: dict[str, list[float]] = {WARM: [], STARTED: []}
    cpu: dict[str, list[float]] = {WARM: [], STARTED: []}
    peaks: dict[str, list[float]] = {WARM: []}
    makespans: dict[str, list[float]] = {WARM: []}
    for number in range(rounds):
        for name in rates:
            tell(f"{tasks} tasks, {name}, {number + 1} of {rounds}")
            with serving(warm=name == WARM, tasks_at_once=AT_ONCE) as server:
                array_seconds(server, 2, 2)
                before = server.cpu_seconds()
                rates[name].append(tasks / array_seconds(server, tasks, AT_ONCE))
                cpu[name].append(1000 * (server.cpu_seconds() - before) / tasks)
    tell(f"array of {array_tasks} tasks")
    with serving(warm=True, tasks_at_once=AT_ONCE) as server:
        makespans[WARM].append(array_seconds(server, array_tasks, AT_ONCE))
        peaks[WARM].append(server.peak_mb())
    return Table(
        f"The emulator's tasks: an electron that does nothing, {AT_ONCE} at a time",
        list(rates),
        (WARM, STARTED),
        [
            Line(f"tasks a second, of {tasks}", rates),
            Line("emulator's CPU per task, ms", cpu),
            Line(f"array of {array_tasks} tasks, s", makespans),
            Line("emulator's peak memory then, MB", peaks),
        ],
    )


def calls_table(jobs: int, rounds: int, tell: Callable[[str], None]) -> Table:
    """Make so many jobs of one task, which stay QUEUED, and look at them by one and by the page."""
    made: dict[str, list[float]] = {WHOLE: []}
    got: dict[str, list[float]] = {WHOLE: [], MASKED: []}
    listed: dict[str, list[float]] = {WHOLE: [], MASKED: []}
    with serving(warm=False, tasks_at_once=1, queue_seconds=3600) as server:
        names: list[str] = []

        def per_call(calls: int, act: Callable[[], None]) -> float:
            before = server.cpu_seconds()
            act()
            return 1000 * (server.cpu_seconds() - before) / calls

        def create() -> None:
            job = job_of(1, {f"COVALENT_PARALLEL_{number}": "x" * 40 for number in range(8)})
            for _ in range(jobs):
                names.append(server.client.create_job(parent=PARENT, job=job).name)

        def get(metadata: Sequence[tuple[str, str]]) -> None:
            for name in names:
                server.client.get_job(name=name, metadata=metadata)

        def list_all(metadata: Sequence[tuple[str, str]]) -> None:
            request = batch_v1.ListJobsRequest(
                parent=PARENT, filter=f'labels."{LABEL}"="benchmark"', page_size=PAGE_SIZE
            )
            found = sum(1 for _ in server.client.list_jobs(request, metadata=metadata))
            if found != len(names):
                raise RuntimeError(f"{found} of {len(names)} jobs were listed")

        tell(f"CreateJob, {jobs} times")
        made[WHOLE].append(per_call(jobs, create))
        for number in range(rounds):
            tell(f"GetJob and ListJobs of {jobs} jobs, {number + 1} of {rounds}")
            for name, get_mask, list_mask in ((WHOLE, "*", "*"), (MASKED, GET_MASK, LIST_MASK)):
                fields = [("x-goog-fieldmask", get_mask)]
                got[name].append(per_call(len(names), lambda fields=fields: get(fields)))  # type: ignore[misc]
                fields = [("x-goog-fieldmask", list_mask)]
                listed[name].append(per_call(1, lambda fields=fields: list_all(fields)))  # type: ignore[misc]
    return Table(
        f"Calls to the emulator's Batch, {jobs} jobs",
        [MASKED, WHOLE],
        (MASKED, WHOLE),
        [
            Line("emulator's CPU per CreateJob, ms", made),
            Line("emulator's CPU per GetJob, ms", got),
            Line(f"emulator's CPU to list all, pages of {PAGE_SIZE}, ms", listed),
        ],
    )


def main(words: Sequence[str] | None = None) -> None:
    """Measure both tables, or be the emulator that is measured."""
    parser = argparse.ArgumentParser("python -m benchmarks.emulator_load", description=__doc__)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--tasks", type=int, default=TASKS, metavar="N", help=f"tasks in each round [{TASKS}]")
    parser.add_argument("--array", type=int, default=ARRAY_TASKS, metavar="N", help=f"tasks [{ARRAY_TASKS}]")
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help=f"jobs [{JOBS}]")
    parser.add_argument("--rounds", type=int, default=3, metavar="R", help="rounds, of which medians are shown [3]")
    arguments = parser.parse_args(words)
    if arguments.serve is not None:
        serve(json.loads(arguments.serve))
        return

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    print(calls_table(arguments.jobs, arguments.rounds, tell).markdown(), flush=True)
    print(f"\n{tasks_table(arguments.tasks, arguments.array, arguments.rounds, tell).markdown()}")


if __name__ == "__main__":
    main()
