"""One lattice of electrons in a real Covalent server of its own: what it cost the server, and how fast it answered."""

from __future__ import annotations

import http.client
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import mean
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]  # Covalent brings it

from covalent_parallel_plugin.covalent_api.private_configuration import Value
from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer

from .environments import clean_environment
from .services import Services

BYTES_PER_MB = 1_000_000
WARM_UP_ELECTRONS = 8
# Both plugins' default
POLL_SECONDS = 5
# Where Covalent finds the executor that only sleeps
EXECUTORS_FOLDER = Path(__file__).with_name("executors")
SCRIPT = Path(__file__).with_name("covalent_lattice.py")

LATTICE_SECONDS = 600.0
LOOK_SECONDS = 1.0
# What an executor still does once its last electron has ended is its cost as well
SETTLE_SECONDS = 2.0
# A small page that the event loop itself answers: neither the database nor a thread is asked
ANSWERED_PATH = "/docs"
ANSWER_EVERY_SECONDS = 0.05
ANSWER_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Run:
    """One lattice in a fresh server.

    CPU is the server's and its children's; `own_cpu_seconds` is without the children. `electron_seconds` is how long an
    electron took on average, `answers` how long the server's answers did meanwhile if it was asked. `peak_mb` is None
    where the system does not tell it.
    """

    wall_seconds: float
    cpu_seconds: float
    own_cpu_seconds: float
    dispatch_cpu_seconds: float
    warm_up_cpu_seconds: float
    electron_seconds: float
    peak_mb: float | None
    answers: Sequence[float]


def measure(executor: str, electrons: int, services: Services, sleep_seconds: float, is_asked: bool = False) -> Run:
    """Start a server, warm it up with a small lattice and measure one of so many electrons.

    Raises:
        RuntimeError: the lattice could not be dispatched, failed, or took more than 10 minutes.
    """
    with _server(services, sleep_seconds) as server:
        process = psutil.Process(server.process_id)
        started = cpu_seconds(process)
        _await_end(server, _dispatch(server, executor, WARM_UP_ELECTRONS))
        time.sleep(SETTLE_SECONDS)
        began, before, own_before = time.monotonic(), cpu_seconds(process), _own_cpu_seconds(process)
        asking: AbstractContextManager[list[float]] = _answers(server) if is_asked else nullcontext([])
        with asking as answers:
            dispatch_id = _dispatch(server, executor, electrons)
            dispatched = cpu_seconds(process)
            _await_end(server, dispatch_id)
            ended = time.monotonic()
            time.sleep(SETTLE_SECONDS)
            after, own_after = cpu_seconds(process), _own_cpu_seconds(process)
        return Run(
            wall_seconds=ended - began,
            cpu_seconds=after - before,
            own_cpu_seconds=own_after - own_before,
            dispatch_cpu_seconds=dispatched - before,
            warm_up_cpu_seconds=before - started,
            electron_seconds=_electron_seconds(server, dispatch_id),
            peak_mb=_peak_mb(server.process_id),
            answers=answers,
        )


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process and of all that it started, ended ones included."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            # Ended since it was listed: its parent's times have it
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _own_cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def percentile(values: Sequence[float], part: float) -> float:
    """The value that so large a part of the values does not exceed."""
    return sorted(values)[math.ceil(part * len(values)) - 1]


@contextmanager
def _server(services: Services, sleep_seconds: float) -> Iterator[PrivateCovalentServer]:
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        ours: Mapping[str, Value] = {
            "project_id": "benchmark",
            "region": "us-east1",
            "bucket_name": services.new_bucket(),
            "container_image_uri": "stock:latest",
            "poll_freq": POLL_SECONDS,
            "cache_dir": f"{folder}/cache",
        }
        with PrivateCovalentServer(
            Path(folder, "home"),
            {**services.variables, "COVALENT_EXECUTOR_DIR": str(EXECUTORS_FOLDER)},
            configuration={"executors.gcpbatch": ours, "executors.sleeping": {"seconds": sleep_seconds}},
            inherited=clean_environment(),
        ) as server:
            yield server


def _dispatch(server: PrivateCovalentServer, executor: str, electrons: int) -> str:
    given = {"executor": executor, "electrons": electrons}
    client = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(given)],
        env=server.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LATTICE_SECONDS,
        check=False,
    )
    if client.returncode:
        raise RuntimeError(f"the lattice was not dispatched:\n{client.stderr[-5000:]}\n{server.log_tail()}")
    return client.stdout.strip()


def _await_end(server: PrivateCovalentServer, dispatch_id: str) -> None:
    deadline = time.monotonic() + LATTICE_SECONDS
    status = ""
    while time.monotonic() < deadline:
        answer = server.get_json(f"/api/v2/dispatches?dispatch_id={dispatch_id}&status_only=true", LATTICE_SECONDS)
        status = answer["dispatches"][0]["status"]
        if status == "COMPLETED":
            return
        if status in ("FAILED", "CANCELLED"):
            break
        time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"the lattice's status is {status} in the end:\n{server.log_tail()}")


def _electron_seconds(server: PrivateCovalentServer, dispatch_id: str) -> float:
    """How long an electron took, on average, from Covalent's handing it over to its end."""
    nodes = server.get_json(f"/api/v1/dispatches/{dispatch_id}/graph", LATTICE_SECONDS)["graph"]["nodes"]
    return mean(
        (datetime.fromisoformat(node["completed_at"]) - datetime.fromisoformat(node["started_at"])).total_seconds()
        for node in nodes
        if node["name"] == "nothing"
    )


@contextmanager
def _answers(server: PrivateCovalentServer) -> Iterator[list[float]]:
    """Ask the server every 50 ms on one connection; how long each answer took, in s."""
    answers: list[float] = []
    is_over = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=ANSWER_TIMEOUT_SECONDS)
        while not is_over.is_set():
            began = time.perf_counter()
            connection.request("GET", ANSWERED_PATH)
            connection.getresponse().read()
            answers.append(time.perf_counter() - began)
            is_over.wait(max(0.0, ANSWER_EVERY_SECONDS - answers[-1]))
        connection.close()

    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(ask)
        try:
            yield answers
        finally:
            is_over.set()
    asking.result()


def _peak_mb(process_id: int) -> float | None:
    """The peak of a process's resident set, in MB of 10^6 bytes; None where there is no /proc."""
    status = Path(f"/proc/{process_id}/status")
    if not status.exists():
        return None
    (peak,) = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(peak) * 1024 / BYTES_PER_MB
