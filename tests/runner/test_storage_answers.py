"""Odd answers of Cloud Storage to each request of a task: the outcome arrives, or the exit status says why."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
from answering_storage import Oddity, OddStorage, body, drop, stall, status, trickle, trickle_body

from covalent_parallel_plugin.protocol.environment import ENV_BUCKET, ENV_RUNNER, STORAGE_EMULATOR_HOST
from covalent_parallel_plugin.protocol.exit_codes import (
    EXIT_BAD_RUNNER,
    EXIT_BUCKET_UNREACHABLE,
    EXIT_BUCKET_UNREADABLE,
    EXIT_DELIVERED,
    EXIT_NO_CALL,
    EXIT_NO_RUNNER,
)
from covalent_parallel_plugin.runner.bucket_http import BucketClient, BucketError

if TYPE_CHECKING:
    from conftest import Task

    from covalent_parallel_plugin.cloud.storage import ObjectStore
    from covalent_parallel_plugin.emulator import Emulator

cloudpickle.register_pickle_by_value(sys.modules[__name__])

# What the requests of a task's are: a method, and a part of the path
REQUESTS = {"runner": ("GET", "covalent-parallel-runner"), "call": ("GET", "call"), "outcome": ("POST", "")}
STATUSES = [*(int(code) for code in HTTPStatus if code > 200), 299, 399, 499, 599]
AT_ONCE = 8
FETCHING = """
import sys
from covalent_parallel_plugin.runner import bootstrap
sys.stdout.buffer.write(bootstrap.fetched("name", sys.argv[1], patience=float(sys.argv[2]), most_seconds=1.5))
"""

# What a process of the same number in another container is writing meanwhile
BESIDE = """
import os, sys
from pathlib import Path
from covalent_parallel_plugin.runner import bootstrap
folder = bootstrap.private_folder()
beside = Path(folder, "%s.zip.%d" % (sys.argv[1], os.getpid()))
beside.write_text("half")
print(Path(bootstrap.archive(folder, sys.argv[1])).read_text(), beside.read_text())
"""


def ended_status(task: Task, request: str, oddity: Oddity, times: int = 1) -> int:
    method, part = REQUESTS[request]
    with OddStorage(task.services[STORAGE_EMULATOR_HOST], oddity, method, part, times) as storage:
        ended = task.run(**{STORAGE_EMULATOR_HOST: storage.url})
        assert storage.seen > 1, ended.stderr
        return ended.status


def three() -> int:
    return 3


@pytest.mark.parametrize("request_name", REQUESTS)
def test_any_status_once_costs_no_outcome(make_task: Any, tmp_path: Path, request_name: str) -> None:
    def run(code: int) -> tuple[int, Any]:
        task: Task = replace(make_task(three), machine=tmp_path / str(code))
        ended = ended_status(task, request_name, status(code))
        outcome = task.outcome()
        return ended, outcome and cloudpickle.loads(outcome.pickle)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = dict(zip(STATUSES, threads.map(run, STATUSES), strict=True))
    assert found == dict.fromkeys(STATUSES, (EXIT_DELIVERED, 3))


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("oddity", [drop, body(b"", 10), body(b"half", 1000)], ids=["drop", "empty", "half"])
def test_a_connection_that_breaks_costs_no_outcome(make_task: Any, request_name: str, oddity: Oddity) -> None:
    task = make_task(three)
    assert ended_status(task, request_name, oddity) == EXIT_DELIVERED
    assert cloudpickle.loads(task.outcome().pickle) == 3


def test_a_runner_that_arrives_changed_is_fetched_again(make_task: Any) -> None:
    assert ended_status(make_task(three), "runner", body(b"changed"), times=3) == EXIT_DELIVERED


@pytest.mark.parametrize(
    ("request_name", "oddity", "expected"),
    [
        ("runner", body(b"changed"), EXIT_BAD_RUNNER),
        ("runner", body(b""), EXIT_BAD_RUNNER),
        ("runner", status(404), EXIT_NO_RUNNER),
        ("runner", status(401), EXIT_BUCKET_UNREADABLE),
        ("runner", status(403), EXIT_BUCKET_UNREADABLE),
        ("runner", status(400), EXIT_BUCKET_UNREACHABLE),
        ("call", status(404), EXIT_NO_CALL),
        ("call", status(401), EXIT_BUCKET_UNREADABLE),
        ("call", status(403), EXIT_BUCKET_UNREADABLE),
        ("call", status(400), EXIT_BUCKET_UNREACHABLE),
    ],
)
def test_an_answer_that_stays_odd_has_an_exit_status_of_its_own(
    make_task: Any, request_name: str, oddity: Oddity, expected: int
) -> None:
    task = make_task(three)
    assert ended_status(task, request_name, oddity, times=1000) == expected
    assert task.outcome() is None


def test_a_large_outcome_that_is_refused_before_it_has_arrived_is_offered_again(make_task: Any) -> None:
    task = make_task(lambda: b"x" * 20_000_000)
    assert ended_status(task, "outcome", status(403, reads_first=False)) == EXIT_DELIVERED
    assert len(cloudpickle.loads(task.outcome().pickle)) == 20_000_000


@pytest.mark.parametrize("oddity", [stall, trickle, trickle_body])
def test_a_runner_that_trickles_is_given_up_and_fetched_again(
    store: ObjectStore, emulator: Emulator, oddity: Oddity
) -> None:
    store.put("name", b"the runner")
    with OddStorage(emulator.environment[STORAGE_EMULATOR_HOST], oddity) as storage:
        ended = fetching(storage.url, b"the runner", 30)
        assert (ended.returncode, ended.stdout) == (0, b"the runner"), ended.stderr
        assert storage.seen > 1


def test_patience_with_the_runners_storage_ends(emulator: Emulator) -> None:
    with OddStorage(emulator.environment[STORAGE_EMULATOR_HOST], stall, times=1000) as storage:
        ended = fetching(storage.url, b"the runner", 1)
    assert ended.returncode == EXIT_BUCKET_UNREACHABLE
    assert b"not here within 1.5 seconds" in ended.stderr


def fetching(url: str, expected: bytes, patience: float) -> subprocess.CompletedProcess[bytes]:
    digest = hashlib.sha256(expected).hexdigest()
    return subprocess.run(
        [sys.executable, "-c", FETCHING, digest, str(patience)],
        env={**os.environ, STORAGE_EMULATOR_HOST: url, ENV_BUCKET: "covalent"},
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_containers_that_share_a_folder_do_not_write_into_the_same_file(store: ObjectStore, tmp_path: Path) -> None:
    content = b"the runner"
    digest, name = hashlib.sha256(content).hexdigest(), f"beside/{tmp_path.name}"
    assert store.put(name, content)
    ended = subprocess.run(
        [sys.executable, "-c", BESIDE, digest],
        env={**os.environ, "HOME": str(tmp_path), ENV_BUCKET: "covalent", ENV_RUNNER: name},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, b"the runner half\n"), ended.stderr


class Clock:
    """Time that passes in pauses only."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(
    ("code", "is_write", "least", "most"),
    [
        (503, False, 90, 140),
        (429, True, 90, 140),
        (403, False, 2, 6),
        (404, False, 2, 6),
        (403, True, 40, 80),
        (410, True, 40, 80),
        (412, True, 40, 80),
    ],
)
def test_patience_with_an_answer_is_bounded(
    emulator: Emulator, code: int, is_write: bool, least: float, most: float
) -> None:
    clock = Clock()
    method = "POST" if is_write else "GET"
    with OddStorage(emulator.environment[STORAGE_EMULATOR_HOST], status(code), method, times=1000) as storage:
        bucket = BucketClient("covalent", storage.url, clock.sleep, clock)
        with pytest.raises(BucketError) as raised:
            if is_write:
                bucket.put("refused", 4, lambda: [b"text"])
            else:
                bucket.get("refused", io.BytesIO())
        bucket.close()
    assert (raised.value.status, raised.value.is_write) == (code, is_write)
    assert least < clock.seconds < most


def test_patience_begins_with_the_first_failure(emulator: Emulator) -> None:
    clock = Clock()

    def late(exchange: Any) -> None:
        clock.seconds += 1000
        status(503)(exchange)

    with OddStorage(emulator.environment[STORAGE_EMULATOR_HOST], late, "POST") as storage:
        bucket = BucketClient("covalent", storage.url, clock.sleep, clock, stall_seconds=2000)
        assert bucket.put(f"patience-{os.getpid()}", 4, lambda: [b"text"], once=False)
        bucket.close()


@pytest.mark.parametrize("oddity", [stall, trickle, trickle_body])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_stalls_is_given_up_and_sent_again(emulator: Emulator, oddity: Oddity, method: str) -> None:
    data = os.urandom(8_000_000)
    name = f"stalled-{os.getpid()}-{method}-{oddity.__name__}"
    with OddStorage(emulator.environment[STORAGE_EMULATOR_HOST], oddity, method) as storage:
        bucket = BucketClient("covalent", storage.url, stall_seconds=1.0)
        assert bucket.put(name, len(data), lambda: [data])
        found = io.BytesIO()
        assert bucket.get(name, found)
        bucket.close()
        assert storage.seen > 1
    assert found.getvalue() == data


def test_a_transfer_that_takes_its_time_is_not_given_up(emulator: Emulator) -> None:
    def slow(exchange: Any) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(15 * 32768))
        exchange.end_headers()
        for _ in range(15):
            exchange.storage.ending.wait(0.3)
            exchange.wfile.write(b"y" * 32768)

    with OddStorage(emulator.environment[STORAGE_EMULATOR_HOST], slow) as storage:
        bucket = BucketClient("covalent", storage.url, stall_seconds=3.0)
        found = io.BytesIO()
        bucket.get("slow", found)
        bucket.close()
        assert (len(found.getvalue()), storage.seen) == (15 * 32768, 1)


def test_an_outcome_that_is_there_already_is_delivered(emulator: Emulator) -> None:
    address = emulator.environment[STORAGE_EMULATOR_HOST]
    bucket = BucketClient("covalent", address)
    name = f"delivered-{os.getpid()}"
    assert bucket.put(name, 4, lambda: [b"text"])
    assert not bucket.put(name, 4, lambda: [b"else"])
    bucket.close()
