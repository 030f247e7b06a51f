"""SIGTERM reaches the electron, which may save what it has; its output, its exit status or its value come back."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.electron.outcome import read_streams
from covalent_parallel_plugin.protocol.envelope import PARTIAL, VALUE
from covalent_parallel_plugin.protocol.exit_codes import EXIT_DELIVERED, EXIT_TERMINATED
from covalent_parallel_plugin.runner.left_behind import running_processes

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


def save_by_asyncio(checkpoint: str) -> str:
    import asyncio

    async def run() -> str:
        asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
        print("begun")
        await asked.wait()
        return "whole"

    value = asyncio.run(run())
    Path(checkpoint).write_text("saved")
    return value


def save_by_a_trainer(checkpoint: str) -> str:
    """As libraries of training do: the handler notes the signal, and the loop saves and stops between two steps."""

    class Trainer:
        def __init__(self) -> None:
            self.before = signal.signal(signal.SIGTERM, self.note)
            self.has_to_stop = False

        def note(self, number: int, frame: object) -> None:
            self.has_to_stop = True
            if callable(self.before):
                self.before(number, frame)

        def fit(self) -> str:
            while not self.has_to_stop:
                time.sleep(0.01)
            Path(checkpoint).write_text("saved")
            signal.signal(signal.SIGTERM, self.before)
            return "whole"

    trainer = Trainer()
    print("begun")
    return trainer.fit()


@pytest.mark.parametrize("electron", [save_by_asyncio, save_by_a_trainer])
def test_handlers_of_asyncio_and_of_libraries_are_called(make_task: Any, tmp_path: Path, electron: Any) -> None:
    task = make_task(electron, str(tmp_path / "checkpoint"))
    assert terminated(task) == EXIT_DELIVERED
    assert (tmp_path / "checkpoint").read_text() == "saved"
    assert cloudpickle.loads(task.outcome().pickle) == "whole"


def raise_error(number: int, frame: object) -> None:
    raise RuntimeError("no room for the checkpoint")


def raise_interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt("asked to stop")


@pytest.mark.parametrize(("handler", "line"), [
    (raise_error, "RuntimeError: no room for the checkpoint"),
    (raise_interrupt, "KeyboardInterrupt: asked to stop"),
])  # fmt: skip
def test_what_a_handler_raises_is_shown(make_task: Any, handler: Any, line: str) -> None:
    def electron() -> None:
        signal.signal(signal.SIGTERM, handler)
        print("begun")
        time.sleep(60)

    task = make_task(electron)
    assert terminated(task) == EXIT_TERMINATED
    stderr = partial(task)[1]
    assert "in electron\n" in stderr and line in stderr
    assert "it answered SIGTERM with exit status 1" in stderr


def sleeps() -> None:
    time.sleep(60)


def waits_for_a_program() -> None:
    import subprocess

    subprocess.run(["sleep", "60"], check=True)


def waits_for_a_pool() -> None:
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(time.sleep, [60, 60])


def exits(number: int, frame: object) -> None:
    os.write(1, b"saved\n")
    sys.exit(0)


@pytest.mark.parametrize("wait", [sleeps, waits_for_a_program, waits_for_a_pool])
@pytest.mark.parametrize("handler", [None, exits])
def test_wherever_it_stands_it_ends_and_leaves_no_process(make_task: Any, wait: Any, handler: Any) -> None:
    def electron() -> None:
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)
        print(os.getpid())
        wait()

    task = make_task(electron)
    assert terminated(task) == EXIT_TERMINATED
    stdout, stderr = partial(task)
    group, *rest = stdout.splitlines()
    # Workers of a pool that ends are sent SIGTERM too, and have their electron's handler.
    assert set(rest) == ({"saved"} if handler else set())
    assert ("exit status 0" in stderr) == (handler is not None)
    # What was killed may take a moment to be gone.
    for _ in range(600):
        if running_processes(int(group)) == ():
            break
        time.sleep(0.1)
    assert running_processes(int(group)) == ()


def block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def compute() -> None:
    signal.signal(signal.SIGTERM, exits)
    print("computing")
    sum(range(10**15))


def save_for_ever() -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: time.sleep(600))


def test_one_that_does_not_end_in_time_is_killed_where_it_stands(make_task: Any) -> None:
    def electron(prepare: Any) -> None:
        print("begun")
        prepare()
        print("waits")
        time.sleep(600)

    tasks = [make_task(electron, prepare) for prepare in (block, compute, save_for_ever)]
    processes = [task.start() for task in tasks]
    for process in processes:
        process.stdout.readline()
        process.stdout.readline()
    time.sleep(0.5)
    for process in processes:
        process.terminate()
    for task, process in zip(tasks, processes, strict=True):
        process.communicate(timeout=120)
        assert process.returncode == EXIT_TERMINATED
        stdout, stderr = partial(task)
        assert stdout.startswith("begun\n")
        assert "it had not ended in time after SIGTERM, and was killed" in stderr
        assert "most recent call first" in stderr


def test_one_that_has_not_begun_ends_at_once(make_task: Any) -> None:
    """By an ending of its own: on the first process of a container SIGTERM has no effect without a handler."""
    task = make_task(lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as storage:
        process = task.start(STORAGE_EMULATOR_HOST=f"http://127.0.0.1:{storage.getsockname()[1]}")
        storage.settimeout(60)
        with storage.accept()[0]:
            # Of whoever waits for an answer
            process.terminate()
            process.communicate(timeout=60)
    assert process.returncode == EXIT_TERMINATED
