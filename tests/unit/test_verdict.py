"""What the user is told of each ending: the whole table."""

from __future__ import annotations

import itertools
import signal
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from covalent_parallel_plugin import errors
from covalent_parallel_plugin.batch import job_watch
from covalent_parallel_plugin.batch.job_verdict import EXIT_CODES
from covalent_parallel_plugin.cloud.batch import Event, JobStatus, TaskStatus
from covalent_parallel_plugin.electron.call import Call
from covalent_parallel_plugin.electron.outcome import Outcome, Raised
from covalent_parallel_plugin.electron.verdict import (
    ElectronEvidence,
    Failure,
    Value,
    exception_of,
    spot_fallback_settings,
    verdict,
)
from covalent_parallel_plugin.protocol import exit_codes
from covalent_parallel_plugin.protocol.envelope import EXCEPTION, KILLED, REFUSED, VALUE
from covalent_parallel_plugin.protocol.exit_codes import EXIT_DELIVERED
from covalent_parallel_plugin.settings import Settings

CALL = Call("d", 7, "train", "3.11.7", "0.240.0")
SETTINGS = Settings(bucket_name="some-bucket", project_id="my-project", time_limit=9, queue_limit=600)
JOB_NAME = "projects/my-project/locations/us-east1/jobs/covalent-d-7"
JOB_ADDRESS = (
    "https://console.cloud.google.com/batch/jobsDetail/regions/us-east1/jobs/covalent-d-7/details?project=my-project"
)
LOGS_ADDRESS = "https://console.cloud.google.com/logs/query;query=labels.job_uid%3D%22uid-1%22?project=my-project"
ELECTRON = "electron 'train' (node 7 of dispatch d)"
RAISED = Raised("KeyError", "builtins", "'x'", ("x",), "Traceback ...\nKeyError: 'x'\n")
STATES = [
    "STATE_UNSPECIFIED",
    "QUEUED",
    "SCHEDULED",
    "RUNNING",
    "SUCCEEDED",
    "FAILED",
    "CANCELLED",
    "CANCELLATION_IN_PROGRESS",
    "DELETION_IN_PROGRESS",
    "A_STATE_OF_TOMORROW",
]
TASK_STATES = ["PENDING", "ASSIGNED", "RUNNING", "FAILED", "SUCCEEDED", "UNEXECUTED", "A_STATE_OF_TOMORROW"]
LOST = (50001, 50002, 50003, 50004, 50006)
# FACTS of Batch (its reserved exit codes) and of containers
FOREIGN_CODES = (50000, *LOST, 50005, 125, 126, 127, 137, 143)
QUOTA = (
    "VM in Managed Instance Group meets error: Batch Error: code - CODE_GCE_QUOTA_EXCEEDED, description - error count"
    " is 1, latest message example: Quota 'N2_CPUS' exceeded. Limit: 24.0 in region us-east1."
)


def outcome(kind: str, **fields: Any) -> Outcome:
    return Outcome(kind, "out\n", "err\n", **fields)


def job(state: str, *events: str) -> JobStatus:
    return JobStatus(JOB_NAME, "uid-1", state, events=[Event(text, float(at)) for at, text in enumerate(events)])


def task(code: int | None, text: str = "Task state is updated", state: str = "FAILED") -> TaskStatus:
    return TaskStatus(0, state, [Event(text, 1.0, code)])


def told(**found: Any) -> Any:
    return verdict(CALL, SETTINGS, JOB_NAME, ElectronEvidence(**{"job": job("FAILED"), **found}))


# Every kind of outcome: how it ends, the error, and words that its message must have
OUTCOMES: dict[str, tuple[Outcome, type[Exception] | None, list[str]]] = {
    "value": (outcome(VALUE, pickle=b"x"), None, []),
    "value of a later attempt": (outcome(VALUE, pickle=b"x", attempt=2), None, []),
    "exception": (outcome(EXCEPTION, raised=RAISED), KeyError, ["x"]),
    "killed": (
        outcome(KILLED, signal=9, peak_memory_bytes=100 * 2**20),
        errors.TaskKilledError,
        ["SIGKILL", "exit code 137", "100 MB of the 512 MB asked for", "not for want of memory", "raise `memory`"],
    ),
    "out of memory": (
        outcome(KILLED, signal=9, out_of_memory_kills=1, peak_memory_bytes=500 * 2**20),
        errors.TaskKilledError,
        ["killed for want of memory", "exit code 137", "500 MB of the 512 MB asked for", "Raise `memory`"],
    ),
    "likely out of memory": (
        outcome(KILLED, signal=9, peak_memory_bytes=400 * 2**20),
        errors.TaskKilledError,
        ["most likely for want of memory", "exit code 137", "400 MB of the 512 MB", "Raise `memory`"],
    ),
    "segfault": (
        outcome(KILLED, signal=signal.SIGSEGV),
        errors.TaskKilledError,
        ["SIGSEGV", "native code", "Its stderr shows"],
    ),
    "real-time signal": (outcome(KILLED, signal=64), errors.TaskKilledError, ["64"]),
    "unknown signal": (outcome(KILLED, signal=99), errors.TaskKilledError, ["signal 99"]),
    "left": (
        outcome(KILLED, exit_status=3),
        errors.TaskKilledError,
        ["exit status 3", "before it returned", "Look for os._exit"],
    ),
    "left with neither": (outcome(KILLED), errors.TaskKilledError, ["exit status None"]),
    "time limit": (
        outcome(KILLED, signal=9, reason="time_limit"),
        errors.TimeLimitError,
        ["time_limit of 9 s", "stderr shows where", "Raise `time_limit`"],
    ),
    "refused": (
        outcome(REFUSED, reason="wrong_python", message="no. Use 3.11."),
        errors.TaskRefusedError,
        ["was not run", "Use 3.11."],
    ),
}
REASONS = ["", job_watch.GONE, job_watch.QUEUE_LIMIT, job_watch.OVERDUE, job_watch.OVER_BUDGET]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("state", [None, *STATES])
@pytest.mark.parametrize("kind", OUTCOMES)
def test_an_outcome_wins_over_whatever_else_is_known(kind: str, state: str | None, reason: str) -> None:
    reported, error, said = OUTCOMES[kind]
    for status, code in itertools.product([None, *TASK_STATES], [None, 0, 1, 50001, 137]):
        found = told(
            job=None if state is None else job(state, QUOTA, "with exit code 125."),
            task=None if status is None else task(code, state=status),
            outcome=reported,
            reason=reason,
            stdout="of an attempt before",
            lines=["of the log"],
        )
        if error is None:
            assert found == Value(reported)
            continue
        assert type(found.error) is error
        assert all(part in str(found.error) for part in said), found.error
        assert found.stdout == "out\n"
        assert found.stderr.startswith("err\n")
        assert JOB_ADDRESS in found.stderr
        assert (LOGS_ADDRESS in found.stderr) == (state is not None)
        if isinstance(found.error, errors.ParallelError):
            assert ELECTRON in str(found.error)
            assert JOB_ADDRESS in str(found.error)
            assert "  out\n  err\n" in str(found.error)
            assert found.stderr.count("  out") == 0, "the streams have the output as it is"


@pytest.mark.parametrize("kind", ["segfault", "left", "time limit", "refused"])
@pytest.mark.parametrize(
    ("state", "status"), [("SUCCEEDED", None), ("SUCCEEDED", "SUCCEEDED"), ("FAILED", "SUCCEEDED")]
)
def test_batchs_word_for_success_is_left_out_where_the_electron_reported_its_failure(
    kind: str, state: str, status: str | None
) -> None:
    found = told(
        job=job(state, f"Job state is set from RUNNING to {state}"),
        task=None if status is None else task(None, state=status),
        outcome=OUTCOMES[kind][0],
    )
    assert "Batch says" not in str(found.error) + found.stderr


def test_batchs_word_stays_where_it_tells_of_a_failure_too() -> None:
    found = told(job=job("FAILED", "it was lost"), outcome=OUTCOMES["segfault"][0])
    assert 'Batch says: "it was lost"' in str(found.error)


def expected_without_outcome(
    state: str | None, status: str | None, code: int | None, reason: str, events: tuple[str, ...]
) -> tuple[type[Exception], list[str]]:
    """The table, written a second time and in another way than the code's."""
    if reason == job_watch.QUEUE_LIMIT:
        why = "quota" if QUOTA in events and state is not None else "does not say why"
        return errors.NoCapacityError, ["queue_limit of 600 s", why]
    if reason == job_watch.OVERDUE:
        return errors.TimeLimitError, ["long after all its attempts", "run it again"]
    if reason == job_watch.OVER_BUDGET:
        return errors.BudgetError, ["was stopped", "raise `max_machine_hours`"]
    if reason == job_watch.GONE or state is None:
        return errors.JobCancelledError, ["deleted it, or it vanished", "Run it again"]
    if "CANCEL" in state or "DELETION" in state:
        return errors.JobCancelledError, ["somebody else cancelled or deleted", "Run it again"]
    if "SUCCEEDED" in (state, status):
        return errors.NoOutcomeError, ["no outcome", "succeeded", "Find out"]
    if code is None or status is None:
        if QUOTA in events:
            return errors.SchedulingError, ["could not start", "quota", "To do:"]
        if status == "FAILED":
            return errors.NoOutcomeError, ["no exit code", "job's page"]
        return errors.SchedulingError, ["could not start", "before a task ran", "job's page"]
    kinds: dict[int, type[Exception]] = {
        50005: errors.TimeLimitError,
        125: errors.ImageError,
        126: errors.ImageError,
        127: errors.ImageError,
        137: errors.TaskKilledError,
        **dict.fromkeys(LOST, errors.MachineLostError),
    }
    return kinds.get(code, errors.NoOutcomeError), [f"exit code {code}", *EXIT_CODES.get(code, ("none of Batch",))]


def rows() -> Iterator[tuple[str | None, str | None, int | None, str, tuple[str, ...]]]:
    codes = [None, 0, 1, 4, 99999, -5, *FOREIGN_CODES, *EXIT_CODES]
    events = [(), ("Job state is set from QUEUED to SCHEDULED",), (QUOTA,), (QUOTA, "unheard of"), ("", "\n\x00")]
    yield from itertools.product([None, *STATES], [None, *TASK_STATES], codes, REASONS, events)


@pytest.mark.parametrize("lines", [[], ["first line", "last line"]], ids=["no log", "log"])
def test_the_whole_table_without_an_outcome(lines: list[str]) -> None:
    for state, status, code, reason, events in rows():
        row = (state, status, code, reason, events)
        found = told(
            job=None if state is None else job(state, *events),
            task=None if status is None else task(code, state=status),
            reason=reason,
            lines=lines,
        )
        kind, said = expected_without_outcome(*row)
        text = str(found.error)
        assert isinstance(found, Failure)
        assert type(found.error) is kind, (row, text)
        assert all(part in text for part in (*said, ELECTRON, JOB_ADDRESS, *lines)), (row, text)
        assert (LOGS_ADDRESS in text) == (state is not None), (row, text)
        last = "Task state is updated" if status is not None else (events[-1] if state is not None and events else "")
        assert (f'Batch says: "{last}"' in text) == bool(last), (row, text)
        assert found.stderr == f"{text}\n"
        assert found.stdout == ""


@pytest.mark.parametrize("state", [None, *STATES])
@pytest.mark.parametrize("reason", REASONS)
def test_a_refused_outcome_is_told_whatever_the_job(state: str | None, reason: str) -> None:
    for status, code in itertools.product([None, *TASK_STATES], [None, *EXIT_CODES]):
        found = told(
            job=None if state is None else job(state),
            task=None if status is None else task(code, state=status),
            outcome=errors.OutcomeError("the seal does not fit"),
            reason=reason,
            lines=["last line"],
        )
        assert type(found.error) is errors.OutcomeError
        for part in ("the seal does not fit", "who else writes to the bucket", ELECTRON, JOB_ADDRESS, "last line"):
            assert part in str(found.error)


@pytest.mark.parametrize("code", FOREIGN_CODES)
def test_every_reserved_exit_code_of_batch_and_containers_is_explained(code: int) -> None:
    assert code in EXIT_CODES
    meaning, remedy = EXIT_CODES[code]
    assert f"exit code {code}: {meaning}. {remedy}" in str(told(task=task(code)).error)


def test_every_exit_status_of_the_runner_is_explained() -> None:
    statuses = {value for name, value in vars(exit_codes).items() if name.startswith("EXIT_")}
    assert statuses - {EXIT_DELIVERED} <= set(EXIT_CODES)


def test_every_explanation_has_a_remedy_that_is_a_sentence() -> None:
    for meaning, remedy in EXIT_CODES.values():
        assert meaning[0].islower()
        assert remedy[0].isupper()
        assert remedy.endswith(".")


def test_the_last_exit_code_counts() -> None:
    attempts = TaskStatus(0, "FAILED", [Event("a", 1.0, 50001), Event("b", 2.0), Event("c", 3.0, 125)])
    found = told(task=attempts)
    assert type(found.error) is errors.ImageError
    assert 'Batch says: "c"' in str(found.error)


@pytest.mark.parametrize("asked", [None, TaskStatus(0, "FAILED"), TaskStatus(0, "RUNNING")])
def test_where_the_task_tells_no_exit_code_the_words_of_the_jobs_event_do(asked: TaskStatus | None) -> None:
    text = (
        "Job state is set from RUNNING to FAILED for job projects/1/locations/us-east1/jobs/j. Job failed due to task"
        ' failure. Specifically, task with index 0 failed due to the following task event: "Task state is updated from'
        ' RUNNING to FAILED on zones/us-east1-b/instances/9 with exit code 125."'
    )
    assert type(told(job=job("FAILED", "Job is created", text), task=asked).error) is errors.ImageError


def test_output_of_an_attempt_that_was_taken_away_is_shown_before_the_log() -> None:
    found = told(task=task(50001), stdout="so far\n", stderr="warned", lines=["from the log"])
    assert (found.stdout, found.stderr.splitlines()[0]) == ("so far\n", "warned")
    assert "  so far\n  warned" in str(found.error)
    assert "from the log" not in str(found.error)


@pytest.mark.parametrize("code", [*FOREIGN_CODES, 1, None])
@pytest.mark.parametrize("spot", [True, False])
@pytest.mark.parametrize("fallback", [True, False])
def test_only_lost_spot_machines_lead_to_a_standard_one_and_only_if_asked(
    code: int | None, spot: bool, fallback: bool
) -> None:
    asked = Settings(bucket_name="some-bucket", project_id="my-project", spot=spot, spot_fallback=fallback, retries=2)
    found = verdict(CALL, asked, JOB_NAME, ElectronEvidence(job("FAILED"), task=task(code)))
    again = spot_fallback_settings(found, asked)
    if spot and fallback and code in LOST:
        assert again is not None
        assert (again.spot, again.retries, again.bucket_name) == (False, 2, "some-bucket")
        assert spot_fallback_settings(found, again) is None, "once"
    else:
        assert again is None


@pytest.mark.parametrize("kind", OUTCOMES)
def test_no_outcome_leads_to_another_run(kind: str) -> None:
    asked = Settings(bucket_name="some-bucket", project_id="my-project", spot=True, spot_fallback=True)
    found = verdict(CALL, asked, JOB_NAME, ElectronEvidence(job("FAILED"), task=task(50001), outcome=OUTCOMES[kind][0]))
    assert spot_fallback_settings(found, asked) is None


@pytest.mark.parametrize("state", [None, "CANCELLED", "DELETION_IN_PROGRESS", "SUCCEEDED"])
def test_no_other_ending_of_the_job_leads_to_another_run(state: str | None) -> None:
    asked = Settings(bucket_name="some-bucket", project_id="my-project", spot=True, spot_fallback=True)
    found = verdict(CALL, asked, JOB_NAME, ElectronEvidence(None if state is None else job(state), task=task(50001)))
    assert spot_fallback_settings(found, asked) is None


def test_the_traceback_is_on_the_electrons_stderr() -> None:
    failure = told(outcome=outcome(EXCEPTION, raised=RAISED))
    assert failure.stderr == f"err\n{RAISED.traceback}Job: {JOB_ADDRESS}\nLogs: {LOGS_ADDRESS}\n"


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
        (Raised("SyntaxError", "builtins", "no", ("x", "abcd"), ""), errors.ElectronError, None),
        (Raised("SyntaxError", "builtins", "no", ("no",), ""), SyntaxError, ("no",)),
        (Raised("__import__", "builtins", "", ("antigravity",), ""), errors.ElectronError, None),
        (Raised("open", "builtins", "", ("/etc/passwd",), ""), errors.ElectronError, None),
        (Raised("object", "builtins", "", (), ""), errors.ElectronError, None),
        (Raised("__doc__", "builtins", "", (), ""), errors.ElectronError, None),
        (Raised("", "builtins", "", (), ""), errors.ElectronError, None),
        (Raised("ValueError.__class__", "builtins", "", (), ""), errors.ElectronError, None),
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


ARGUMENTS: list[tuple[object, ...]] = [
    (),
    ("x",),
    (1,),
    (None,),
    (float("nan"),),
    (1, "x"),
    ("x", "abcd"),
    (2, "x", "file"),
    (2, "x", "file", 5, "other"),
    ("utf-8", "x", 0, 1, "why"),
    ("utf-8", "x", -(10**9), 10**9, "why"),
    ("x", 0, 10**30, "why"),
    tuple(range(50)),
    (10**4000,),
    ("x" * 10**6,),
    (True, False),
]


def builtin_exceptions() -> list[str]:
    import builtins

    return [name for name, entry in vars(builtins).items() if isinstance(entry, type) and issubclass(entry, Exception)]


@pytest.mark.parametrize("name", builtin_exceptions())
def test_every_builtin_exception_made_of_any_arguments_can_be_raised_and_printed(name: str) -> None:
    for arguments in ARGUMENTS:
        error = exception_of(Raised(name, "builtins", "m", arguments, "Traceback ..."))
        try:
            raise error
        except Exception as caught:
            assert "Traceback ..." in "".join(traceback.format_exception(caught)) or isinstance(
                caught, errors.ElectronError
            )
