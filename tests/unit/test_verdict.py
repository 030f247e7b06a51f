"""What the user is told of each ending: the whole table."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from covalent_parallel_plugin import errors, wire
from covalent_parallel_plugin.cloud.batch import Event, JobStatus, TaskStatus
from covalent_parallel_plugin.dispatch.call import Call
from covalent_parallel_plugin.dispatch.outcome import Outcome, Raised
from covalent_parallel_plugin.dispatch.verdict import EXIT_CODES, Failure, Findings, Value, exception_of, verdict
from covalent_parallel_plugin.settings import Settings

CALL = Call("d", 7, "train", "3.11.7", "0.240.0")
SETTINGS = Settings(bucket_name="some-bucket", project_id="my-project", time_limit=9)
JOB_NAME = "projects/my-project/locations/us-east1/jobs/covalent-d-7"
ADDRESS = (
    "https://console.cloud.google.com/batch/jobsDetail/regions/us-east1/jobs/covalent-d-7/details?project=my-project"
)
RAISED = Raised("KeyError", "builtins", "'x'", ("x",), "Traceback ...\nKeyError: 'x'\n")
STATES = ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "CANCELLATION_IN_PROGRESS", "DELETION_IN_PROGRESS"]


def outcome(kind: str, **fields: Any) -> Outcome:
    return Outcome(kind, "out\n", "err\n", **fields)


def job(state: str, *events: str) -> JobStatus:
    return JobStatus(JOB_NAME, "uid", state, events=[Event(text, float(at)) for at, text in enumerate(events)])


def task(code: int | None, text: str = "Task state is updated") -> TaskStatus:
    return TaskStatus(0, "FAILED", [Event(text, 1.0, code)])


def told(**found: Any) -> Any:
    return verdict(CALL, SETTINGS, JOB_NAME, Findings(**{"job": job("FAILED"), **found}))


@pytest.mark.parametrize("state", STATES)
def test_a_value_wins_over_any_state_of_the_job(state: str) -> None:
    value = outcome(wire.VALUE, pickle=b"x")
    assert told(job=job(state), task=task(50001), outcome=value) == Value(value)


def test_a_value_wins_over_a_job_that_is_gone() -> None:
    assert isinstance(told(job=None, outcome=outcome(wire.VALUE)), Value)


KINDS_OF_OUTCOME = [
    (outcome(wire.EXCEPTION, raised=RAISED), KeyError, ["x"]),
    (outcome(wire.KILLED, signal=signal.SIGKILL), errors.TaskKilledError, ["SIGKILL", "512 MB"]),
    (outcome(wire.KILLED, signal=signal.SIGKILL, out_of_memory_kills=1), errors.TaskKilledError, ["Raise `memory`"]),
    (outcome(wire.KILLED, signal=signal.SIGSEGV), errors.TaskKilledError, ["SIGSEGV", "native code"]),
    (outcome(wire.KILLED, signal=64), errors.TaskKilledError, ["64"]),
    (outcome(wire.KILLED, signal=999), errors.TaskKilledError, ["signal 999"]),
    (outcome(wire.KILLED, exit_status=3), errors.TaskKilledError, ["exit status 3", "os._exit"]),
    (outcome(wire.KILLED, signal=9, reason="time_limit"), errors.TimeLimitError, ["time_limit of 9 s", "Raise"]),
    (outcome(wire.REFUSED, reason="wrong_python", message="use 3.11"), errors.TaskRefusedError, ["use 3.11"]),
]


@pytest.mark.parametrize(("reported", "kind", "said"), KINDS_OF_OUTCOME)
def test_a_reported_failure_has_its_error_and_both_streams(
    reported: Outcome, kind: type[Exception], said: list[str]
) -> None:
    failure = told(outcome=reported)
    assert type(failure.error) is kind
    assert all(part in str(failure.error) for part in said), failure.error
    assert failure.stdout == "out\n"
    assert failure.stderr.startswith("err\n")
    if isinstance(failure.error, errors.ParallelError):
        assert str(failure.error) in failure.stderr
        assert ADDRESS in failure.stderr


def test_the_traceback_is_on_the_electrons_stderr() -> None:
    failure = told(outcome=outcome(wire.EXCEPTION, raised=RAISED))
    assert failure.stderr == "err\n" + RAISED.traceback


WITHOUT_OUTCOME: list[tuple[dict[str, Any], type[Exception], list[str]]] = [
    ({"job": None}, errors.JobCancelledError, ["gone from Batch"]),
    ({"job": job("CANCELLED")}, errors.JobCancelledError, ["cancelled or deleted"]),
    ({"job": job("CANCELLATION_IN_PROGRESS")}, errors.JobCancelledError, ["cancelled or deleted"]),
    ({"job": job("DELETION_IN_PROGRESS")}, errors.JobCancelledError, ["cancelled or deleted"]),
    ({"job": job("SUCCEEDED"), "task": task(50001)}, errors.NoOutcomeError, ["succeeded", "no outcome"]),
    ({}, errors.NoOutcomeError, ["before the electron could start"]),
    ({"job": job("FAILED", "early", "CODE_MACHINE_TYPE_NOT_FOUND")}, errors.NoOutcomeError, ["CODE_MACHINE_TYPE"]),
    ({"task": task(50005)}, errors.TimeLimitError, ["50005", "time_limit"]),
    ({"task": task(50001, "preempted on zones/x")}, errors.NoOutcomeError, ["50001", "retries", "preempted on"]),
    ({"task": task(125)}, errors.NoOutcomeError, ["125", "container_image_uri"]),
    ({"task": task(137)}, errors.NoOutcomeError, ["137", "memory"]),
    ({"task": task(4)}, errors.NoOutcomeError, ["exit code 4"]),
    ({"outcome": errors.OutcomeError("the seal does not fit")}, errors.OutcomeError, ["the seal does not fit"]),
]


@pytest.mark.parametrize(("found", "kind", "said"), WITHOUT_OUTCOME)
def test_without_an_outcome_state_events_and_log_tell(
    found: dict[str, Any], kind: type[Exception], said: list[str]
) -> None:
    failure = told(**found, lines=["first line", "last line"])
    assert isinstance(failure, Failure)
    assert type(failure.error) is kind
    text = str(failure.error)
    for part in (*said, "electron 'train' (node 7 of dispatch d)", "last line", ADDRESS):
        assert part in text
    assert failure.stderr == f"{text}\n"


@pytest.mark.parametrize("code", EXIT_CODES)
def test_every_known_exit_code_is_explained(code: int) -> None:
    assert EXIT_CODES[code] in str(told(task=task(code)).error)


def test_every_exit_status_of_the_runner_is_explained() -> None:
    statuses = {value for name, value in vars(wire).items() if name.startswith("EXIT_")}
    assert statuses - {wire.EXIT_DELIVERED, wire.EXIT_RETRY_EXCEPTION} <= set(EXIT_CODES)


def test_a_long_log_is_cut_to_its_end() -> None:
    text = str(told(lines=[f"line {number}" for number in range(100)]).error)
    assert "line 99" in text
    assert "line 50\n" not in text


@pytest.mark.parametrize(
    ("raised", "kind", "arguments"),
    [
        (RAISED, KeyError, ("x",)),
        (Raised("OSError", "builtins", "", (2, "gone"), ""), FileNotFoundError, (2, "gone")),
        (Raised("ValueError", "builtins", "", (), ""), ValueError, ()),
        (Raised("StopIteration", "builtins", "1", (1,), ""), errors.ElectronError, None),
        (Raised("Diverged", "models", "no", ("no",), ""), errors.ElectronError, None),
        (Raised("KeyError", "models", "no", ("no",), ""), errors.ElectronError, None),
        (Raised("ValueError", "builtins", "no", None, ""), errors.ElectronError, None),
        (Raised("SystemExit", "builtins", "3", (3,), ""), errors.ElectronError, None),
        (Raised("KeyboardInterrupt", "builtins", "", (), ""), errors.ElectronError, None),
        (Raised("eval", "builtins", "", ("1/0",), ""), errors.ElectronError, None),
        (Raised("print", "builtins", "", ("x",), ""), errors.ElectronError, None),
        (Raised("UnicodeDecodeError", "builtins", "no", ("x",), ""), errors.ElectronError, None),
        (Raised("ExceptionGroup", "builtins", "no", ("x", 1), ""), errors.ElectronError, None),
    ],
)
def test_only_a_builtin_exception_is_raised_as_itself(
    raised: Raised, kind: type[Exception], arguments: tuple[object, ...] | None
) -> None:
    error = exception_of(raised)
    assert type(error) is kind
    if arguments is not None:
        assert error.args == arguments
        assert isinstance(error.__cause__, errors.RemoteTraceback)


def test_the_electrons_error_names_the_module_of_its_class() -> None:
    error = exception_of(Raised("Diverged", "models", "after 7", ("after 7",), "Traceback ..."))
    assert str(error) == "models.Diverged: after 7"
    assert isinstance(error, errors.ElectronError)
    assert error.remote_traceback == "Traceback ..."
