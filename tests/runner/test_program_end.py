"""An electron ends as a program ends: what it leaves to the end is finished, and what is cut off is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from inspect import isfunction
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import ways_to_end

from covalent_parallel_plugin.protocol.cached_functions import carry_names_of_class_bodies
from covalent_parallel_plugin.protocol.envelope import VALUE
from covalent_parallel_plugin.protocol.exit_codes import EXIT_DELIVERED

cloudpickle.register_pickle_by_value(sys.modules[__name__])
cloudpickle.register_pickle_by_value(ways_to_end)
carry_names_of_class_bodies(cloudpickle)

WAYS = [way for way in vars(ways_to_end).values() if isfunction(way) and way.__module__ == ways_to_end.__name__]


def files(folder: Path) -> dict[str, bytes]:
    """The files below a folder, and the folders, which have no bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_an_electron_leaves_the_same_files_as_a_program(
    make_task: Any, tmp_path: Path, bare_python: Path, way: Callable[[str], None]
) -> None:
    for name in ("electron", "program"):
        (tmp_path / name).mkdir()
    task = make_task(way, str(tmp_path / "electron"))
    assert task.run().status == EXIT_DELIVERED
    script = tmp_path / "script.py"
    script.write_text(f"{Path(ways_to_end.__file__).read_text()}\n{way.__name__}({str(tmp_path / 'program')!r})\n")
    # Whatever it leaves behind has its streams, and is waited for with them.
    subprocess.run([bare_python, script], capture_output=True, timeout=60, check=False)
    assert files(tmp_path / "electron") == files(tmp_path / "program")
    assert task.left_on_the_machine == [task.runner_on_the_machine.name]


def test_there_are_twenty_ways() -> None:
    assert len(WAYS) >= 20


def test_what_is_printed_at_the_end_is_kept(make_task: Any) -> None:
    def electron() -> str:
        import atexit

        atexit.register(print, "goodbye")
        return "returned"

    task = make_task(electron)
    task.run()
    outcome = task.outcome()
    assert (outcome.kind, outcome.stdout, outcome.stderr) == (VALUE, "goodbye\n", "")


def test_what_it_put_into_builtins_modules_and_handlers_is_there_at_its_end(make_task: Any) -> None:
    def electron() -> str:
        import atexit
        import builtins
        import resource
        import warnings

        def prints(text: str) -> None:
            os.write(1, f"mine: {text}\n".encode())

        builtins.print = prints  # type: ignore[assignment]
        warnings.showwarning = lambda *given, **named: print("a warning")  # type: ignore[assignment]
        signal.signal(signal.SIGUSR1, lambda number, frame: print("a signal"))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (77, hard))
        atexit.register(lambda: os.kill(os.getpid(), signal.SIGUSR1))
        atexit.register(lambda: print(str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])))
        atexit.register(lambda: warnings.warn("w", stacklevel=1))
        return "returned"

    task = make_task(electron)
    task.run()
    assert task.outcome().stdout == "mine: a warning\nmine: 77\nmine: a signal\n"


def test_a_thread_that_does_not_end_is_cut_off_at_the_time_limit_and_named(make_task: Any) -> None:
    def works_on() -> None:
        time.sleep(60)

    def electron() -> str:
        threading.Thread(target=works_on).start()
        return "returned"

    task = make_task(electron, settings={"time_limit": 5})
    assert task.run().status == EXIT_DELIVERED
    outcome = task.outcome()
    assert (outcome.kind, cloudpickle.loads(outcome.pickle)) == (VALUE, "returned")
    assert "in works_on" in outcome.stderr
    assert "cut off at its time_limit of 5 s" in outcome.stderr


def test_an_exception_is_not_lost_to_an_end_that_hangs(make_task: Any) -> None:
    def electron() -> None:
        import atexit

        atexit.register(time.sleep, 60)
        raise KeyError("mine")

    task = make_task(electron, settings={"time_limit": 5})
    task.run()
    assert task.outcome().raised.full_name == "KeyError"
    assert "cut off at its time_limit of 5 s" in task.outcome().stderr


@pytest.mark.parametrize(("hook", "told"), [(lambda kind, *_: print(kind.__name__), "Posing\n"), (None, "")])
def test_an_exception_that_poses_as_another_is_told_to_its_hook_alone(make_task: Any, hook: Any, told: str) -> None:
    def electron() -> None:
        class Posing(ValueError):
            __class__ = property(lambda self: SystemExit)  # type: ignore[assignment]
            __traceback__ = property(lambda self: 1 // 0)  # type: ignore[assignment]

        if hook is not None:
            sys.excepthook = hook
        else:
            del sys.stderr
        raise Posing("mine")

    task = make_task(electron)
    task.run()
    assert (task.outcome().stdout, task.outcome().stderr) == (told, "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_at_the_end_leaves_the_value_and_is_named(make_task: Any, number: int) -> None:
    def electron() -> str:
        import atexit

        atexit.register(lambda: os.kill(os.getpid(), number))
        return "returned"

    task = make_task(electron)
    task.run()
    outcome = task.outcome()
    assert (outcome.kind, cloudpickle.loads(outcome.pickle)) == (VALUE, "returned")
    assert f"cut off by signal {number:d}" in outcome.stderr


def test_a_process_that_is_left_behind_is_named(make_task: Any) -> None:
    def electron() -> int:
        return subprocess.Popen(["sleep", "45"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid

    task = make_task(electron)
    task.run()
    outcome = task.outcome()
    assert f"were killed: {cloudpickle.loads(outcome.pickle)} (sleep 45)" in outcome.stderr
