"""Each way in which an electron can end becomes an outcome; run in a bare environment, without this project."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.protocol.envelope import KILLED, VALUE
from covalent_parallel_plugin.protocol.exit_codes import EXIT_DELIVERED
from covalent_parallel_plugin.protocol.object_names import stream_name

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def loaded(outcome: Any) -> Any:
    return cloudpickle.loads(outcome.pickle)


def runs(pid: int) -> bool:
    """Whether a process exists that is not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_value_arrives_with_its_text_and_both_streams(make_task: Any) -> None:
    def electron(a: int, *, b: int) -> int:
        print("out")
        print("err", file=sys.stderr)
        return a + b

    task = make_task(electron, 1, b=2)
    assert task.run().status == EXIT_DELIVERED
    outcome = task.outcome()
    assert (outcome.kind, loaded(outcome), outcome.shown) == (VALUE, 3, "3")
    assert (outcome.stdout, outcome.stderr) == ("out\n", "err\n")


def test_neither_covalent_nor_this_project_is_loaded_or_to_be_found(make_task: Any) -> None:
    def electron() -> list[str]:
        import importlib.util

        wanted = ("covalent", "google", "covalent_parallel_plugin", "requests")
        return [name for name in wanted if name in sys.modules or importlib.util.find_spec(name)]

    task = make_task(electron)
    task.run()
    assert loaded(task.outcome()) == []


def test_the_tasks_own_streams_show_the_output_too(make_task: Any) -> None:
    task = make_task(lambda: print("seen by Batch"))
    assert task.run().stdout == b"seen by Batch\n"


def test_an_exception_arrives_with_type_message_arguments_and_line(make_task: Any) -> None:
    def electron() -> None:
        raise KeyError("missing", 7)

    task = make_task(electron)
    assert task.run().status == EXIT_DELIVERED
    raised = task.outcome().raised
    assert (raised.full_name, raised.message, raised.arguments) == ("KeyError", "('missing', 7)", ("missing", 7))
    assert 'raise KeyError("missing", 7)' in raised.traceback
    assert f'File "{__file__}", line {electron.__code__.co_firstlineno + 1}, in electron' in raised.traceback


def test_the_runners_own_frames_are_not_in_the_traceback(make_task: Any) -> None:
    def electron() -> None:
        raise ValueError

    task = make_task(electron)
    task.run()
    assert task.outcome().raised.traceback.count('  File "') == 1


def test_an_exception_brings_its_chain_of_causes(make_task: Any) -> None:
    def electron() -> None:
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError as error:
            raise RuntimeError("after step 7") from error

    task = make_task(electron)
    task.run()
    text = task.outcome().raised.traceback
    assert text.index("ZeroDivisionError: division by zero") < text.index("direct cause") < text.index("after step 7")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_exception_that_ends_interpreters_is_an_outcome_too(make_task: Any, error: type[BaseException]) -> None:
    def electron() -> None:
        raise error(3)

    task = make_task(electron)
    assert task.run().status == EXIT_DELIVERED
    assert task.outcome().raised.type_name == error.__name__


def test_a_value_that_cannot_be_pickled_is_an_exception_that_names_its_type(make_task: Any) -> None:
    def electron() -> object:
        import threading

        return threading.Lock()

    task = make_task(electron)
    task.run()
    raised = task.outcome().raised
    assert raised.type_name == "TypeError"
    assert "_thread.lock" in raised.message
    assert "electron_main.py" not in raised.traceback


def test_a_generator_is_refused_with_the_remedy(make_task: Any) -> None:
    def electron() -> object:
        return (number for number in range(3))

    task = make_task(electron)
    task.run()
    assert "Return list(...) of it." in task.outcome().raised.message


def test_what_a_forked_copy_returns_is_not_the_value(make_task: Any) -> None:
    def electron() -> object:
        import time

        if os.fork() == 0:
            time.sleep(0.3)
            return "the copy"
        return "the original"

    task = make_task(electron)
    task.run()
    assert cloudpickle.loads(task.outcome().pickle) == "the original"


def test_what_c_code_prints_is_kept(make_task: Any) -> None:
    def electron() -> None:
        import ctypes

        ctypes.CDLL(None).printf(b"from C\n")

    task = make_task(electron)
    task.run()
    assert task.outcome().stdout == "from C\n"


def test_leaving_the_interpreter_is_told_with_status_and_last_line(make_task: Any) -> None:
    def electron() -> None:
        print("the last line")
        os._exit(7)

    task = make_task(electron)
    assert task.run().status == EXIT_DELIVERED
    outcome = task.outcome()
    assert (outcome.kind, outcome.exit_status, outcome.signal) == (KILLED, 7, None)
    assert outcome.stdout == "the last line\n"


def test_a_kill_is_told_with_the_last_line(make_task: Any) -> None:
    def electron() -> None:
        print("the last line")
        os.kill(os.getpid(), signal.SIGKILL)

    task = make_task(electron)
    assert task.run().status == EXIT_DELIVERED
    outcome = task.outcome()
    assert (outcome.kind, outcome.signal, outcome.stdout) == (KILLED, signal.SIGKILL, "the last line\n")


def test_a_segfault_is_told_with_pythons_trace_of_it(make_task: Any) -> None:
    def crashes() -> None:
        import ctypes

        ctypes.string_at(0)

    task = make_task(crashes)
    assert task.run().status == EXIT_DELIVERED
    outcome = task.outcome()
    assert (outcome.kind, outcome.signal) == (KILLED, signal.SIGSEGV)
    assert "Segmentation fault" in outcome.stderr
    assert "in crashes" in outcome.stderr


def test_a_run_past_the_time_limit_is_told_with_its_stack(make_task: Any) -> None:
    def sleeps_on() -> None:
        print("asleep")
        time.sleep(60)

    task = make_task(sleeps_on, settings={"time_limit": 4})
    assert task.run().status == EXIT_DELIVERED
    outcome = task.outcome()
    assert (outcome.kind, outcome.reason, outcome.stdout) == (KILLED, "time_limit", "asleep\n")
    assert "in sleeps_on" in outcome.stderr


def test_an_electron_that_ignores_signals_is_ended_at_the_time_limit(make_task: Any) -> None:
    def stubborn() -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(60)

    task = make_task(stubborn, settings={"time_limit": 0.5})
    task.run()
    assert task.outcome().reason == "time_limit"


@pytest.mark.parametrize("own_session", [False, True])
def test_a_process_left_behind_does_not_hold_the_task_back(make_task: Any, own_session: bool) -> None:
    def electron() -> int:
        return subprocess.Popen(["sleep", "45"], start_new_session=own_session).pid

    task = make_task(electron)
    process = task.start()
    try:
        # What holds the task's own streams open is none of ours: only the process itself is waited for.
        assert process.wait(120) == EXIT_DELIVERED
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()
    left = loaded(task.outcome())
    if own_session:
        os.kill(left, signal.SIGKILL)
    else:
        assert not runs(left)


def test_of_long_output_the_first_and_the_last_megabyte_are_kept(make_task: Any) -> None:
    def electron() -> None:
        for letter in "abc":
            sys.stdout.write(letter * 2**20)

    task = make_task(electron)
    task.run()
    text = task.outcome().stdout
    assert text == "a" * 2**20 + f"\n... {2**20} bytes left out ...\n" + "c" * 2**20


def test_all_of_a_long_output_stays_in_the_bucket_with_keep_objects(make_task: Any) -> None:
    task = make_task(lambda: sys.stderr.write("x" * (3 * 2**20)), settings={"keep_objects": True})
    task.run()
    assert task.object(stream_name(task.identity.folder, 0, "stderr")) == b"x" * (3 * 2**20)


def test_output_that_is_no_text_arrives_readable(make_task: Any) -> None:
    task = make_task(lambda: os.write(1, b"\xff\xfe ok\n"))
    task.run()
    assert task.outcome().stdout == "\ufffd\ufffd ok\n"
