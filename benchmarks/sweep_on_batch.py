"""A sweep on the emulator's Batch, its tasks in containers: what a task, its machine and the client cost.

`python -m benchmarks.sweep_on_batch --image IMAGE [ROW ...]`; IMAGE is one that is here and has `true` and `sleep`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .tables import Bound, Line, Table

OURS, BARE, JOBS = "sweep", "bare container", "a job per task"
ROWS = ("start", "requests", "rows", "machines")
LIMIT_SECONDS = 3600
POLL_SECONDS = 5
# The command, which reports how many requests it sent over HTTP
PROGRAM = """
import atexit, sys
from urllib3.connectionpool import HTTPConnectionPool
sent, urlopen = [0], HTTPConnectionPool.urlopen
def counted(*words, **options):
    sent[0] += 1
    return urlopen(*words, **options)
HTTPConnectionPool.urlopen = counted
path = sys.argv.pop(1)
atexit.register(lambda: open(path, "w").write(str(sent[0])))
from covalent_parallel_plugin.cli import main
main()
"""


class Services:
    """An emulator whose tasks are containers, in a process of its own."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables

    def counts(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.variables['STORAGE_EMULATOR_HOST']}/_emulator/counts") as answer:
            counts: dict[str, Any] = json.load(answer)
        return counts

    def settle(self) -> None:
        """Wait until no machine is left."""
        until = time.monotonic() + 60
        seconds = -1.0
        while time.monotonic() < until and self.counts().get("vm_seconds", 0) != seconds:
            seconds = self.counts().get("vm_seconds", 0)
            time.sleep(0.5)


@contextlib.contextmanager
def emulator(*options: str) -> Iterator[Services]:
    engine = next(name for name in ("podman", "docker") if shutil.which(name))
    with tempfile.TemporaryDirectory() as name:
        env_file = Path(name, "env")
        code = "from covalent_parallel_plugin.cli import main; main()"
        words = [sys.executable, "-c", code, "emulator", "--runtime", engine, "--quiet", "--env-file", str(env_file)]
        words += ["--storage-port=0", "--batch-port=0", "--logging-port=0"]
        with subprocess.Popen([*words, *options], stdout=subprocess.DEVNULL) as process:
            try:
                until = time.monotonic() + 60
                while not env_file.exists():
                    if process.poll() is not None or time.monotonic() > until:
                        raise RuntimeError("the emulator did not start")
                    time.sleep(0.05)
                yield Services(dict(line.split("=", 1) for line in env_file.read_text().splitlines()))
            finally:
                process.send_signal(signal.SIGTERM)


def run_sweep(
    services: Services, image: str, tasks: int, words: str, more: str = "", resources: str = ""
) -> tuple[float, int]:
    """Run a sweep of so many tasks; return its wall time in s and how many requests the client sent over HTTP.

    Raises:
        RuntimeError: not all tasks are done.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bench.yaml").write_text(
            f"name: bench{uuid.uuid4().hex[:8]}\nimage: {image}\nentrypoint: [{words}]\ncommand: []\n"
            f"parameters: {{i: {{start: 0, stop: {tasks}}}}}\n"
            "resources: {project_id: local, bucket_name: covalent, vcpus: 1, memory: 64,"
            f" poll_freq: {POLL_SECONDS}{resources}}}\n{more}"
        )
        own = {"XDG_STATE_HOME": f"{name}/state", "COVALENT_CONFIG_DIR": name}
        environment = {**os.environ, **services.variables, **own}
        began = time.perf_counter()
        command = [sys.executable, "-c", PROGRAM, f"{name}/sent", "sweep", "run", "bench.yaml", "--out", "out", "--yes"]
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS
        )
        wall = time.perf_counter() - began
        if ended.returncode:
            raise RuntimeError(ended.stdout[-2000:] + ended.stderr[-2000:])
        return wall, int(Path(name, "sent").read_text())


def start_table(image: str) -> Table:
    """A task that does nothing, one after the other; the first ones, of a machine that is prepared, are left out."""
    engine = next(name for name in ("podman", "docker") if shutil.which(name))
    few, many = 5, 30
    with emulator("--tasks", "1") as services:
        walls = {count: run_sweep(services, image, count, "'true'")[0] for count in (few, many)}
    bare = [engine, "run", "--rm", "--network=host", "--entrypoint=true", image]
    began = time.perf_counter()
    for _ in range(many - few):
        subprocess.run(bare, check=True, capture_output=True)
    theirs = (time.perf_counter() - began) / (many - few)
    ours = (walls[many] - walls[few]) / (many - few)
    line = Line("a task that does nothing: s", {OURS: [ours], BARE: [theirs]}, Bound(4, is_ratio=True))
    return Table("A task on Batch", (OURS, BARE), (OURS, BARE), (line,))


def requests_table(image: str, tasks: int) -> Table:
    """Requests of a whole sweep, its machines' and the client's, with no output files."""
    with emulator() as services:
        before = services.counts()
        wall, client = run_sweep(services, image, tasks, "'true'", "max_parallel: 8\n")
        after = services.counts()
    calls = sum(after["batch_calls"].values()) - sum(before["batch_calls"].values())
    stored = sum(count - before.get(kind, 0) for kind, count in after.items() if kind.startswith("objects."))
    lists = after.get("objects.list", 0)
    print(f"{tasks} tasks took {wall:.0f} s; {lists} lists", file=sys.stderr)
    lines = (
        Line("calls to Batch per task", {OURS: [calls / tasks]}, Bound(0.02)),
        Line("storage requests of the machines per task", {OURS: [(stored - client) / tasks]}, Bound(2.1)),
        Line("storage requests of the client", {OURS: [client]}, Bound(20 + tasks / 50)),
    )
    return Table(f"Requests of {tasks:,} tasks, asked every {POLL_SECONDS} s", (OURS,), (OURS, OURS), lines)


def rows_table(tasks: int) -> Table:
    """The rows of outcomes that are all there."""
    from covalent_parallel_plugin.cloud.storage import ObjectStore
    from covalent_parallel_plugin.emulator import Emulator
    from covalent_parallel_plugin.protocol.sweep_identity import SweepIdentity
    from covalent_parallel_plugin.protocol.sweep_objects import sweep_folder
    from covalent_parallel_plugin.sweep.batch.rows import RowReader

    with Emulator(batch_port=None, logging_port=None) as services:
        os.environ.update(services.environment)
        store = ObjectStore.shared("local", "covalent")
        identity = SweepIdentity("0123456789ab", bytes(32), sweep_folder("rows", "0123456789ab"))
        _write_rows(store, identity, tasks)
        before = services.request_counts.get("objects.list", 0)
        began = time.perf_counter()
        found = len(RowReader(store, identity, 0).read())
        seconds = time.perf_counter() - began
        lists = services.request_counts["objects.list"] - before
    if found != tasks:
        raise RuntimeError(f"{found} rows of {tasks} were read")
    lines = (
        Line("lists", {OURS: [lists]}, Bound(12)),
        Line("s", {OURS: [seconds]}, Bound(10)),
    )
    return Table(f"The rows of {tasks:,} tasks", (OURS,), (OURS, OURS), lines)


def _write_rows(store: Any, identity: Any, tasks: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from covalent_parallel_plugin.protocol.sweep_row import row_metadata

    def write(index: int) -> None:
        address = identity.task(0, index)
        fields: dict[str, object] = {
            **{"index": index, "key": "0" * 64, "name": f"i={index}", "round": 0, "attempt": 0, "token": "0" * 16},
            **{"status": "done", "exit": 0, "signal": None, "seconds": 1.0, "machine": "m", "started": 1.0},
            **{"ended": 2.0, "reason": "", "stdout_bytes": 3, "stderr_bytes": 0, "files": 0, "file_bytes": 0},
        }
        blob = store._bucket.blob(address.outcome_name)
        blob.metadata = row_metadata(address, fields, {"accuracy": 0.5}, {"stdout": "ok\n", "stderr": ""})
        blob.upload_from_string(b"body")

    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(write, range(tasks)):
            pass


def machines_table(image: str, tasks: int) -> Table:
    """VM-seconds under a model of VMs: as many jobs as tasks, or one sweep."""
    options = ("--vms", "8", "--boot", "10", "--pull", "5", "--tasks", "8")
    ours = []
    for shared in ("", ", machine_type: e2-standard-4"):
        with emulator(*options) as services:
            run_sweep(services, image, tasks, "sleep, '2'", "max_parallel: 8\n", shared)
            services.settle()
            ours.append(services.counts()["vm_seconds"])
    with emulator(*options) as services:
        _run_jobs(services, image, tasks)
        services.settle()
        theirs = services.counts()["vm_seconds"]
    title = f"VM-seconds of {tasks} tasks of 2 s, 8 at a time"
    lines = (
        Line(title, {OURS: ours[:1], JOBS: [theirs]}, Bound(1 / 3, is_ratio=True)),
        Line("the same where 4 share a machine", {OURS: ours[1:], JOBS: [theirs]}, Bound(1 / 3, is_ratio=True)),
    )
    return Table("8 VMs, 10 s of boot, 5 s of pull", (OURS, JOBS), (OURS, JOBS), lines)


def _run_jobs(services: Services, image: str, tasks: int) -> None:
    import grpc
    from google.cloud import batch_v1
    from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport

    container = batch_v1.Runnable.Container(image_uri=image, entrypoint="sleep", commands=["2"])
    spec = batch_v1.TaskSpec(runnables=[batch_v1.Runnable(container=container)])
    job = batch_v1.Job(task_groups=[batch_v1.TaskGroup(task_spec=spec)])
    with grpc.insecure_channel(services.variables["BATCH_EMULATOR_HOST"]) as channel:
        client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
        for number in range(tasks):
            client.create_job(parent="projects/local/locations/us-east1", job=job, job_id=f"task-{number}")
        until = time.monotonic() + LIMIT_SECONDS
        while services.counts()["tasks"] < tasks:
            if time.monotonic() > until:
                raise RuntimeError("the jobs do not end")
            time.sleep(1)


def main(words: Sequence[str] | None = None) -> None:
    """Measure the rows that are asked for, and print their tables."""
    parser = argparse.ArgumentParser("python -m benchmarks.sweep_on_batch", description=__doc__)
    parser.add_argument("--image", required=True, help="one that is here and has `true` and `sleep`")
    parser.add_argument("--tasks", type=int, default=1000, help="of the row `requests`")
    parser.add_argument("rows", nargs="*", choices=ROWS, default=ROWS)
    given = parser.parse_args(words)
    tables = {
        "start": lambda: start_table(given.image),
        "requests": lambda: requests_table(given.image, given.tasks),
        "rows": lambda: rows_table(10_000),
        "machines": lambda: machines_table(given.image, 100),
    }
    for row in given.rows:
        print(tables[row]().markdown(), flush=True)


if __name__ == "__main__":
    main()
