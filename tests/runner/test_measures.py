"""What a task measures of its attempt: its times, what it took, and the machine it ran on."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from itertools import pairwise
from typing import Any

import pytest
from metadata_server import MACHINE, MetadataServer

from covalent_parallel_plugin.batch import trace_ends
from covalent_parallel_plugin.batch.attempt_times import MEASURED
from covalent_parallel_plugin.runner.machine_data import machine_of

TOLD = {"type": "n2-standard-8", "zone": "us-east1-b", "instance": "7053562236394893043", "spot": True}


def test_times_are_in_order_from_the_start_of_the_process_on(make_task: Any) -> None:
    def electron() -> float:
        time.sleep(0.2)
        return time.time()

    task = make_task(electron)
    before = time.time()
    task.run()
    after = time.time()
    times = task.outcome().measured.times
    seen = [times[name] for name in MEASURED if name in times]
    assert set(MEASURED) - set(times) == {"installed"}
    # The kernel counts a process's start in hundredths of a second.
    assert before - 0.02 <= seen[0] and seen[-1] <= after
    assert all(first <= second for first, second in pairwise(seen))
    assert times["ran_to"] - times["ran_from"] >= 0.2


@pytest.mark.parametrize(
    ("electron", "end"),
    [
        (lambda: 1, trace_ends.VALUE),
        (lambda: 1 / 0, trace_ends.EXCEPTION),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), trace_ends.KILLED),
        (lambda: os._exit(3), trace_ends.KILLED),
        (lambda: time.sleep(60), trace_ends.TIME_LIMIT),
    ],
)
def test_each_ending_has_what_was_measured(make_task: Any, electron: Any, end: str) -> None:
    task = make_task(electron, settings={"time_limit": 5 if end == trace_ends.TIME_LIMIT else 60, "retries": 0})
    task.run()
    measured = task.outcome().measured
    assert measured.end == end
    assert measured.attempt == 0
    assert set(MEASURED) - set(measured.times) == {"installed"}
    assert measured.peak_memory_bytes > 2**20
    assert measured.cpu_seconds is not None


def test_the_time_of_processors_is_counted(make_task: Any) -> None:
    def electron() -> None:
        until = time.process_time() + 0.5
        while time.process_time() < until:
            pass

    task = make_task(electron)
    task.run()
    assert task.outcome().measured.cpu_seconds >= 0.5


def test_an_electron_that_changes_the_clock_of_its_process_does_not_change_its_times(make_task: Any) -> None:
    def electron() -> None:
        time.time = lambda: 5.0  # type: ignore[assignment]

    task = make_task(electron)
    task.run()
    times = task.outcome().measured.times
    assert times["ran_to"] >= times["ran_from"] > 1e9


def test_an_electron_that_never_began_has_no_times_of_its_own(make_task: Any) -> None:
    task = make_task(b"not a pickle")
    task.run()
    times = task.outcome().measured.times
    assert not {"ran_from", "ran_to"} & set(times)
    assert {"began", "fetched", "delivered"} <= set(times)


def test_a_task_that_runs_for_a_while_knows_its_machine(make_task: Any) -> None:
    with MetadataServer() as server:
        task = make_task(time.sleep, 3)
        task.run(GCE_METADATA_HOST=server.address)
    assert task.outcome().measured.machine == TOLD


def test_a_short_electron_asks_nobody(make_task: Any) -> None:
    with MetadataServer() as server:
        task = make_task(lambda: 1)
        task.run(GCE_METADATA_HOST=server.address)
    assert task.outcome().measured.machine == {}
    assert server.asked == []


def test_an_electron_ends_although_the_metadata_server_does_not_answer(make_task: Any) -> None:
    with MetadataServer(seconds=60) as server:
        task = make_task(time.sleep, 1)
        begun = time.monotonic()
        ended = task.run(GCE_METADATA_HOST=server.address)
        assert time.monotonic() - begun < 30
    assert ended.status == 0
    assert ended.stderr.strip().endswith("returned") or "Traceback" not in ended.stderr
    assert task.outcome().measured.machine == {}


def test_a_machine_is_what_its_metadata_say() -> None:
    with MetadataServer() as server:
        assert machine_of(server.address) == TOLD
    assert "refused" not in server.asked


def test_a_machine_without_a_number_has_its_name() -> None:
    with MetadataServer({key: value for key, value in MACHINE.items() if key != "id"}) as server:
        assert machine_of(server.address)["instance"] == "a-name"


@pytest.mark.parametrize("values", [{}, dict.fromkeys(MACHINE, ""), dict.fromkeys(MACHINE, "\xff")])
def test_what_metadata_do_not_say_is_not_known(values: dict[str, str]) -> None:
    with MetadataServer(values) as server:
        assert set(machine_of(server.address)) <= set(TOLD)


def test_metadata_are_asked_for_no_longer_than_allowed() -> None:
    with MetadataServer(seconds=0.4) as server:
        begun = time.monotonic()
        found = machine_of(server.address, seconds=1.0)
        # Two requests end in a second, and the third is given up in the middle.
        assert time.monotonic() - begun < 30
    assert len(found) < len(TOLD)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nowhere.invalid", "", "a b", "127.0.0.1:port"])
def test_where_no_metadata_are_nothing_is_known(host: str) -> None:
    assert machine_of(host) == {}


def test_a_server_that_says_something_else_is_not_believed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        host = f"127.0.0.1:{listening.getsockname()[1]}"

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"what?\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        assert machine_of(host, seconds=5) == {}
        thread.join(120)
