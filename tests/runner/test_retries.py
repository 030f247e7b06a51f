"""What is tried again and what is not: exceptions on request, notices to stop, kills from outside, double delivery."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.electron.outcome import read_streams
from covalent_parallel_plugin.protocol.envelope import EXCEPTION, KILLED, PARTIAL, REFUSED, VALUE
from covalent_parallel_plugin.protocol.environment import ENV_KEY, ENV_TIME_LIMIT
from covalent_parallel_plugin.protocol.exit_codes import (
    EXIT_DELIVERED,
    EXIT_RETRY_EXCEPTION,
    EXIT_RUNNER_FAILED,
    EXIT_TERMINATED,
)
from covalent_parallel_plugin.protocol.identity import task_binding
from covalent_parallel_plugin.protocol.object_names import partial_name

cloudpickle.register_pickle_by_value(sys.modules[__name__])

RETRIED = {"retry_exceptions": True, "retries": 2}


def partial(task: Any, attempt: int) -> tuple[str, str] | None:
    """Stdout and stderr that an attempt left behind, None if it left nothing."""
    data = task.object(partial_name(task.identity.folder, 0, attempt))
    if data is None:
        return None
    return read_streams(io.BytesIO(data), task.identity.key, task_binding(PARTIAL, task.identity.call_id))


def names(task: Any) -> list[str]:
    return sorted(
        name.removeprefix(f"{task.identity.folder}/") for name in task.store.names(f"{task.identity.folder}/")
    )


def runs(pid: int) -> bool:
    """Whether a process exists that is not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until_ended(pid: int) -> bool:
    for _ in range(1200):
        if not runs(pid):
            return True
        time.sleep(0.05)
    return False


def raises() -> None:
    print("attempt", os.environ["BATCH_TASK_RETRY_ATTEMPT"])
    print("warned", file=sys.stderr)
    raise ValueError("again")


def leaves() -> None:
    print("attempt", os.environ["BATCH_TASK_RETRY_ATTEMPT"])
    print("warned", file=sys.stderr)
    os._exit(3)


def is_killed() -> None:
    print("attempt", os.environ["BATCH_TASK_RETRY_ATTEMPT"])
    print("warned", file=sys.stderr)
    os.kill(os.getpid(), signal.SIGKILL)


def cannot_be_pickled() -> object:
    print("attempt", os.environ["BATCH_TASK_RETRY_ATTEMPT"])
    print("warned", file=sys.stderr)
    return threading.Lock()


@pytest.mark.parametrize(
    ("electron", "kind"),
    [
        (raises, EXCEPTION),
        (cannot_be_pickled, EXCEPTION),
        (leaves, KILLED),
        (is_killed, KILLED),
    ],
)
def test_with_retry_exceptions_only_the_last_attempt_delivers(make_task: Any, electron: Any, kind: str) -> None:
    task = make_task(electron, settings=RETRIED)
    for attempt in (0, 1):
        ended = task.run(BATCH_TASK_RETRY_ATTEMPT=str(attempt))
        assert ended.status == EXIT_RETRY_EXCEPTION
        assert f"attempt {attempt + 1} of 3" in ended.stderr
        assert task.outcome() is None
        assert partial(task, attempt) == (f"attempt {attempt}\n", "warned\n")
    assert task.run(BATCH_TASK_RETRY_ATTEMPT="2").status == EXIT_DELIVERED
    outcome = task.outcome()
    assert (outcome.kind, outcome.attempt, outcome.stdout) == (kind, 2, "attempt 2\n")
    assert names(task) == ["attempt-0/partial-0", "attempt-1/partial-0", "call", "outcome-0"]
    assert task.left_on_the_machine == [task.runner_on_the_machine.name]


@pytest.mark.parametrize("attempt", ["0", "1"])
def test_with_retry_exceptions_a_run_past_the_time_limit_is_tried_again(make_task: Any, attempt: str) -> None:
    task = make_task(lambda: time.sleep(60), settings={"retry_exceptions": True, "retries": 1, "time_limit": 0.5})
    ended = task.run(BATCH_TASK_RETRY_ATTEMPT=attempt)
    if attempt == "0":
        assert (ended.status, task.outcome()) == (EXIT_RETRY_EXCEPTION, None)
    else:
        assert (ended.status, task.outcome().reason) == (EXIT_DELIVERED, "time_limit")


def test_a_value_is_delivered_by_whichever_attempt_has_it(make_task: Any) -> None:
    task = make_task(lambda: 7, settings=RETRIED)
    assert task.run(BATCH_TASK_RETRY_ATTEMPT="1").status == EXIT_DELIVERED
    assert (task.outcome().kind, task.outcome().attempt) == (VALUE, 1)
    assert names(task) == ["call", "outcome-0"]


@pytest.mark.parametrize("settings", [{"retries": 3}, {"retries": 0, "retry_exceptions": True}, {"retries": 0}])
def test_an_exception_is_final_where_no_retry_was_asked_for(make_task: Any, settings: dict[str, Any]) -> None:
    task = make_task(raises, settings=settings)
    assert task.run().status == EXIT_DELIVERED
    assert task.outcome().kind == EXCEPTION
    assert names(task) == ["call", "outcome-0"]


def test_a_refusal_is_never_tried_again(make_task: Any) -> None:
    missing = make_task(b"cno_such_module_anywhere\nf\n.", settings=RETRIED)
    wrong_python = make_task(raises, settings=RETRIED, call={"python": "3.7.1"})
    for task in (missing, wrong_python):
        assert task.run(BATCH_TASK_RETRY_ATTEMPT="0").status == EXIT_DELIVERED
        assert task.outcome().kind == REFUSED
        assert names(task) == ["call", "outcome-0"]


def test_a_notice_to_stop_writes_no_outcome_also_with_retry_exceptions(make_task: Any) -> None:
    def electron() -> None:
        print("halfway")
        print("warned", file=sys.stderr)
        time.sleep(60)

    task = make_task(electron, settings=RETRIED)
    process = task.start(BATCH_TASK_RETRY_ATTEMPT="2")
    assert process.stdout.readline() == b"halfway\n"
    assert process.stderr.readline() == b"warned\n"
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == EXIT_TERMINATED == 143
    assert partial(task, 2) == ("halfway\n", "warned\n")
    assert names(task) == ["attempt-2/partial-0", "call"]
    assert task.left_on_the_machine == [task.runner_on_the_machine.name]


def test_a_notice_to_stop_ends_an_electron_that_ignores_it(make_task: Any) -> None:
    def stubborn() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid())
        time.sleep(60)

    task = make_task(stubborn)
    process = task.start()
    pid = int(process.stdout.readline())
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == EXIT_TERMINATED
    assert until_ended(pid)


def test_several_notices_to_stop_are_one(make_task: Any) -> None:
    def electron() -> None:
        print("halfway")
        time.sleep(60)

    task = make_task(electron)
    process = task.start()
    process.stdout.readline()
    for _ in range(5):
        process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == EXIT_TERMINATED
    assert partial(task, 0) == ("halfway\n", "")


def test_an_electron_killed_from_outside_is_told_with_its_output(make_task: Any) -> None:
    def electron() -> None:
        print(os.getpid())
        time.sleep(60)

    task = make_task(electron)
    process = task.start()
    pid = int(process.stdout.readline())
    os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode == EXIT_DELIVERED
    outcome = task.outcome()
    assert (outcome.kind, outcome.signal, outcome.stdout) == (KILLED, signal.SIGKILL, f"{pid}\n")


def test_an_electron_dies_with_its_supervisor(make_task: Any) -> None:
    def electron() -> None:
        print(os.getpid())
        time.sleep(60)

    task = make_task(electron)
    process = task.start()
    pid = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert until_ended(pid)
    assert names(task) == ["call"]


@pytest.mark.parametrize("own_session", [False, True])
@pytest.mark.parametrize("ending", ["value", "kill", "terminate"])
def test_a_background_process_that_holds_the_streams_open_holds_no_ending_back(
    make_task: Any, own_session: bool, ending: str
) -> None:
    def electron() -> int:
        left = subprocess.Popen(["sleep", "45"], start_new_session=own_session).pid
        print(left)
        if ending != "value":
            time.sleep(60)
        return left

    task = make_task(electron)
    process = task.start()
    left = int(process.stdout.readline())
    try:
        if ending == "kill":
            child = int(Path(f"/proc/{left}/stat").read_text().rsplit(")", 1)[1].split()[1])
            os.kill(child, signal.SIGKILL)
        elif ending == "terminate":
            process.terminate()
        expected = EXIT_TERMINATED if ending == "terminate" else EXIT_DELIVERED
        assert process.wait(120) == expected
        if ending == "terminate":
            assert partial(task, 0) == (f"{left}\n", "")
        else:
            assert task.outcome().kind == (VALUE if ending == "value" else KILLED)
        if not own_session:
            assert until_ended(left)
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()
        if runs(left):
            os.kill(left, signal.SIGKILL)


def test_two_attempts_that_run_at_once_deliver_one_outcome_whole(make_task: Any) -> None:
    task = make_task(lambda: os.environ["BATCH_TASK_RETRY_ATTEMPT"] * 3_000_000)
    processes = [task.start(BATCH_TASK_RETRY_ATTEMPT=attempt) for attempt in "01"]
    errors = [process.communicate(timeout=60)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [EXIT_DELIVERED] * 2
    assert sum("delivered its outcome before" in text for text in errors) == 1
    outcome = task.outcome()
    assert cloudpickle.loads(outcome.pickle) == str(outcome.attempt) * 3_000_000


def test_an_attempt_that_comes_late_does_not_replace_an_outcome_with_a_failure(make_task: Any) -> None:
    def electron() -> str:
        if os.environ["BATCH_TASK_RETRY_ATTEMPT"] == "0":
            raise ValueError("late")
        return "right"

    task = make_task(electron)
    assert task.run(BATCH_TASK_RETRY_ATTEMPT="1").status == EXIT_DELIVERED
    assert task.run(BATCH_TASK_RETRY_ATTEMPT="0").status == EXIT_DELIVERED
    assert cloudpickle.loads(task.outcome().pickle) == "right"


@pytest.mark.parametrize("missing", [ENV_KEY, ENV_TIME_LIMIT])
def test_a_defect_of_the_runner_or_its_job_has_a_status_of_its_own(make_task: Any, missing: str) -> None:
    ended = make_task(len, []).run(**{missing: "no number at all"})
    assert ended.status == EXIT_RUNNER_FAILED
    assert "Traceback" in ended.stderr


def test_the_key_is_nowhere_in_what_a_task_writes(make_task: Any) -> None:
    def electron() -> None:
        print("halfway", os.environ, sys.argv, vars(sys.modules["__main__"]))
        raise ValueError("at the end")

    task = make_task(electron, settings={**RETRIED, "keep_objects": True})
    written = b""
    for attempt in "0122":
        ended = task.run(BATCH_TASK_RETRY_ATTEMPT=attempt)
        written += ended.stdout + ended.stderr.encode()
    for name in task.store.names(f"{task.identity.folder}/"):
        written += name.encode() + task.object(name)
    assert b"halfway" in written
    for form in (task.identity.key, task.identity.key.hex().encode(), repr(task.identity.key).encode()):
        assert form not in written
