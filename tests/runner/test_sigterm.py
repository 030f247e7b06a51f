"""SIGTERM reaches the electron, which may save what it has; its output, its exit status or its value come back."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.electron.outcome import read_streams
from covalent_parallel_plugin.protocol.envelope import PARTIAL, VALUE
from covalent_parallel_plugin.protocol.exit_codes import EXIT_DELIVERED, EXIT_TERMINATED

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def terminated(task: Any) -> int:
    """Send SIGTERM to the task once its electron has printed a line; returns its exit status."""
    process = task.start()
    process.stdout.readline()
    process.terminate()
    process.communicate(timeout=60)
    return int(process.returncode)


def partial(task: Any) -> tuple[str, str]:
    address = task.identity.task()
    data = task.object(address.partial_name(0))
    return read_streams(io.BytesIO(data), task.identity.key, address.binding(PARTIAL))


@pytest.mark.parametrize("status", [0, 3])
def test_a_handler_saves_a_checkpoint_and_its_output_and_exit_status_come_back(
    make_task: Any, tmp_path: Path, status: int
) -> None:
    def electron(checkpoint: str) -> None:
        def save(number: int, frame: object) -> None:
            time.sleep(1)
            with open(checkpoint, "w") as file:
                file.write("step 7")
            # Not print(), which the signal may have come amid
            os.write(1, b"saved\n")
            sys.exit(status)

        signal.signal(signal.SIGTERM, save)
        print("begun")
        time.sleep(60)

    task = make_task(electron, str(tmp_path / "checkpoint"))
    assert terminated(task) == EXIT_TERMINATED
    assert (tmp_path / "checkpoint").read_text() == "step 7"
    stdout, stderr = partial(task)
    assert stdout == "begun\nsaved\n"
    assert f"it answered SIGTERM with exit status {status}" in stderr
    assert task.outcome() is None


def test_an_exception_that_a_handler_raises_is_not_the_electrons_outcome(make_task: Any) -> None:
    def electron() -> None:
        def raises(number: int, frame: object) -> None:
            raise RuntimeError("preempted")

        signal.signal(signal.SIGTERM, raises)
        print("begun")
        time.sleep(60)

    task = make_task(electron)
    assert terminated(task) == EXIT_TERMINATED
    assert task.outcome() is None


def test_a_value_that_is_returned_after_sigterm_is_delivered(make_task: Any) -> None:
    def electron() -> str:
        asked: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
        print("begun")
        while not asked:
            time.sleep(0.05)
        return "whole"

    task = make_task(electron)
    assert terminated(task) == EXIT_DELIVERED
    outcome = task.outcome()
    assert (outcome.kind, cloudpickle.loads(outcome.pickle)) == (VALUE, "whole")


def test_a_value_that_was_there_before_sigterm_is_delivered(make_task: Any) -> None:
    def electron() -> str:
        import atexit

        def at_end() -> None:
            print("ending")
            time.sleep(60)

        atexit.register(at_end)
        return "whole"

    task = make_task(electron)
    assert terminated(task) == EXIT_DELIVERED
    assert cloudpickle.loads(task.outcome().pickle) == "whole"
    assert "cut off by signal 15" in task.outcome().stderr


def test_only_the_electron_itself_gets_the_signal(make_task: Any) -> None:
    def electron() -> None:
        import subprocess

        helper = subprocess.Popen(["sleep", "60"])

        def save(number: int, frame: object) -> None:
            time.sleep(0.5)
            os.write(1, b"helper runs\n" if helper.poll() is None else b"helper was ended\n")
            os._exit(5)

        signal.signal(signal.SIGTERM, save)
        print("begun")
        time.sleep(60)

    task = make_task(electron)
    assert terminated(task) == EXIT_TERMINATED
    stdout, stderr = partial(task)
    assert stdout == "begun\nhelper runs\n"
    assert "exit status 5" in stderr
