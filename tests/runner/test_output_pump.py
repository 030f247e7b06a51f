"""The task's own output when nobody reads it, or not fast enough: clock, notices, ending and outcome go on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.protocol.envelope import EXCEPTION, KILLED, VALUE
from covalent_parallel_plugin.protocol.exit_codes import EXIT_DELIVERED, EXIT_RETRY_EXCEPTION, EXIT_TERMINATED
from covalent_parallel_plugin.runner.output_capture import (
    READ_BYTES,
    READS_PER_TURN,
    WAITING_BYTES,
    ShownStream,
    Stream,
)

cloudpickle.register_pickle_by_value(sys.modules[__name__])

WAIT_SECONDS = 120
MEGABYTE = 2**20


def status_of_an_unread(process: subprocess.Popen[bytes]) -> int:
    """The exit status of a task whose streams are never read."""
    try:
        return process.wait(WAIT_SECONDS)
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()


def floods(*descriptors: int, seconds: float = 60) -> Any:
    """An electron that prints without end."""

    def electron() -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for descriptor in descriptors:
                os.write(descriptor, b"y" * 65536)

    return electron


@pytest.mark.parametrize("descriptors", [(1,), (2,), (1, 2)])
def test_the_time_limit_holds_for_an_electron_whose_output_nobody_reads(make_task: Any, descriptors: Any) -> None:
    task = make_task(floods(*descriptors), settings={"time_limit": 1})
    assert status_of_an_unread(task.start()) == EXIT_DELIVERED
    assert (task.outcome().kind, task.outcome().reason) == (KILLED, "time_limit")


def test_the_time_limit_holds_where_several_processes_print_without_end(make_task: Any) -> None:
    def electron() -> None:
        for _ in range(4):
            subprocess.Popen(["yes", "x" * 4000], stderr=subprocess.STDOUT)
        time.sleep(60)

    task = make_task(electron, settings={"time_limit": 1})
    assert status_of_an_unread(task.start()) == EXIT_DELIVERED
    assert task.outcome().reason == "time_limit"


def test_a_notice_to_stop_reaches_an_electron_whose_output_nobody_reads(make_task: Any, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def electron() -> None:
        begun.touch()
        while True:
            os.write(1, b"y" * 65536)

    task = make_task(electron)
    process = task.start()
    end = time.monotonic() + WAIT_SECONDS
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.terminate()
    assert status_of_an_unread(process) == EXIT_TERMINATED


@pytest.mark.parametrize("ending", ["value", "exception", "kill"])
def test_an_outcome_is_delivered_although_nobody_reads_the_tasks_streams(make_task: Any, ending: str) -> None:
    def electron() -> int:
        for descriptor in (1, 2):
            os.write(descriptor, b"#" * (6 * MEGABYTE))
        if ending == "exception":
            raise ValueError
        if ending == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return 3

    task = make_task(electron)
    assert status_of_an_unread(task.start()) == EXIT_DELIVERED
    outcome = task.outcome()
    assert outcome.kind == {"value": VALUE, "exception": EXCEPTION, "kill": KILLED}[ending]
    assert outcome.stdout.count("#") == outcome.stderr.count("#") == 2 * MEGABYTE


def test_an_attempt_that_is_to_be_tried_again_says_so_in_vain(make_task: Any) -> None:
    def electron() -> None:
        os.write(2, b"y" * (6 * MEGABYTE))
        raise ValueError

    task = make_task(electron, settings={"retries": 1, "retry_exceptions": True})
    assert status_of_an_unread(task.start(BATCH_TASK_RETRY_ATTEMPT="0")) == EXIT_RETRY_EXCEPTION


def test_processes_left_behind_that_print_without_end_hold_no_outcome_back(make_task: Any) -> None:
    def electron() -> list[int]:
        return [subprocess.Popen(["yes", "x" * 4000], start_new_session=True).pid for _ in range(4)]

    task = make_task(electron)
    process = task.start()
    try:
        process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == EXIT_DELIVERED
        left = cloudpickle.loads(task.outcome().pickle)
    finally:
        process.kill()
    for pid in left:
        # Written to a pipe that has no reader any more
        assert not (Path("/proc") / str(pid) / "fd" / "1").exists()


def test_what_is_not_shown_is_counted(tmp_path: Path) -> None:
    read, write = os.pipe()
    shown = ShownStream(write)
    sent = 3 * WAITING_BYTES
    for _ in range(sent // READ_BYTES):
        shown.write(b"#" * READ_BYTES)
    seen = b""
    os.set_blocking(read, False)
    while shown.flush():
        seen += os.read(read, READ_BYTES)
    shown.write(b"the end\n")
    seen += os.read(read, READ_BYTES)
    os.close(read)
    os.close(write)
    (left_out,) = re.findall(rb"covalent-parallel: (\d+) bytes of output are not shown here", seen)
    assert seen.count(b"#") + int(left_out) == sent
    assert seen.endswith(b"\nthe end\n")


def test_what_still_waits_at_the_end_is_counted(tmp_path: Path) -> None:
    read, write = os.pipe()
    shown = ShownStream(write)
    shown.write(b"z" * MEGABYTE)
    # There is room for a message, and no more.
    seen = os.read(read, 4096)
    shown.give_up()
    assert not shown.flush()
    seen += os.read(read, MEGABYTE)
    os.close(read)
    os.close(write)
    (left_out,) = re.findall(rb"covalent-parallel: (\d+) bytes of output are not shown here", seen)
    assert seen.count(b"z") + int(left_out) == MEGABYTE


def test_a_turn_reads_all_that_a_full_pipe_holds_and_no_endless_one(tmp_path: Path) -> None:
    read = os.open("/dev/zero", os.O_RDONLY)
    with (tmp_path / "spool").open("wb", 0) as spool, open(os.devnull, "wb") as shown:
        assert Stream(read, spool, shown.fileno()).pump()
        assert spool.tell() == READ_BYTES * READS_PER_TURN > MEGABYTE
    os.close(read)


@pytest.mark.parametrize("tail", [b"", b" 1", b" x\n", b" " + b"1" * 5000 + b"\n"])
def test_what_only_begins_like_a_mark_is_output(tmp_path: Path, tail: bytes) -> None:
    data = b"before\0mark" + tail + b"y" * (3 * READ_BYTES)
    (tmp_path / "printed").write_bytes(data)
    read = os.open(tmp_path / "printed", os.O_RDONLY)
    with (tmp_path / "spool").open("wb", 0) as spool, open(os.devnull, "wb") as shown:
        stream = Stream(read, spool, shown.fileno(), b"\0mark")
        assert not stream.pump()
        assert (tmp_path / "spool").read_bytes() == data
        assert stream.spans() == {}
    os.close(read)
