"""From what is known of an ended job to what the user is told: pure, a truth table.

The outcome wins over the job's state, the job's state over its events: a task that succeeded on its third attempt
still has the exit codes of the first two among its events.
"""

from __future__ import annotations

import builtins
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from .. import wire
from ..cloud.batch import JobStatus, TaskStatus
from ..errors import (
    ElectronError,
    JobCancelledError,
    JobError,
    NoOutcomeError,
    OutcomeError,
    ParallelError,
    RemoteTraceback,
    TaskKilledError,
    TaskRefusedError,
    TimeLimitError,
)
from ..settings import Settings
from .call import Call
from .outcome import Outcome, Raised

# What an exit code says, from https://cloud.google.com/batch/docs/troubleshooting#reserved-exit-codes, from the shell
# and container conventions, and from this package's own (wire.EXIT_*)
EXIT_CODES = {
    50000: "the task failed for a reason that Batch does not classify",
    50001: "the Spot machine was preempted: raise `retries`, or use spot=False",
    50002: "the machine stopped reporting to Batch: raise `retries`",
    50003: "the machine rebooted while the task ran: raise `retries`",
    50004: "machine and task did not respond any more",
    50005: "the task ran past its maximum time: raise `time_limit`",
    50006: "the machine was recreated while the task ran: raise `retries`",
    125: "the container could not be started, most often because its image could not be pulled: check"
    " container_image_uri, and that the service account may read it",
    126: "the container's command could not be executed: the image needs a `python3`",
    127: "the container has no `python3`: use an image with Python, such as python:3.11-slim",
    137: "the container was killed, most often for want of memory: raise `memory`",
    143: "the task was asked to stop",
    wire.EXIT_BAD_DIGEST: "what lay in the bucket was not what the job had been made for: it was changed on its way",
    wire.EXIT_NO_CALL: "the call was not in the bucket any more when the task started",
    wire.EXIT_BUCKET_UNREADABLE: "the task could not read the bucket: give its service account"
    " (service_account_email) roles/storage.objectViewer on it",
    wire.EXIT_RUNNER_FAILED: "the runner failed: this is a defect of covalent-parallel-plugin",
    wire.EXIT_NOT_DELIVERED: "the task could not write its outcome to the bucket: give its service account"
    " (service_account_email) roles/storage.objectCreator on it",
    wire.EXIT_WRONG_PYTHON: "the image's Python is too old: use one with the Python of this workflow",
}
TAIL_LINES = 20
# Above this part of the memory asked for, a kill is put down to memory although the kernel's count was not readable
LIKELY_OUT_OF_MEMORY = 0.7


@dataclass(frozen=True)
class Value:
    """The electron returned."""

    outcome: Outcome


@dataclass(frozen=True)
class Failure:
    """The electron did not return: the error, and what belongs on its streams."""

    error: Exception
    stdout: str
    stderr: str


Verdict = Value | Failure


@dataclass(frozen=True)
class Findings:
    """What is known once a job has ended.

    `outcome` is what the task reported, the error if that was refused, or None; `job` is None if it vanished, and
    `lines` are the last ones of its log, read where no outcome came.
    """

    job: JobStatus | None
    task: TaskStatus | None = None
    outcome: Outcome | OutcomeError | None = None
    lines: Sequence[str] = ()


def verdict(call: Call, settings: Settings, job_name: str, found: Findings) -> Verdict:
    """What the user is told."""
    outcome = found.outcome
    if not isinstance(outcome, Outcome):
        error = _without_outcome(call, settings, job_name, found)
        return Failure(error, "", f"{error}\n")
    if outcome.kind == wire.VALUE:
        return Value(outcome)
    if outcome.raised is not None:
        return Failure(exception_of(outcome.raised), outcome.stdout, _joined(outcome.stderr, outcome.raised.traceback))
    ended = _refused(call, outcome) if outcome.kind == wire.REFUSED else _killed(call, settings, outcome)
    return Failure(
        ended, outcome.stdout, _joined(outcome.stderr, f"{ended}\nJob: {console_address(settings, job_name)}\n")
    )


def exception_of(raised: Raised) -> Exception:
    """The exception to raise here: the same builtin class where it is one, else ElectronError.

    No class but a builtin is looked up, and no constructor of anyone else's is called.
    """
    remote = ElectronError(raised.full_name, raised.message, raised.traceback)
    known = getattr(builtins, raised.type_name, None) if raised.module == "builtins" else None
    if not (isinstance(known, type) and issubclass(known, Exception)) or raised.arguments is None:
        return remote
    if issubclass(known, StopIteration):
        # No coroutine can raise it: Python makes a RuntimeError of it
        return remote
    try:
        error = known(*raised.arguments)
    except Exception:
        # A class that will not be made from its own `args`, such as some of the Unicode errors
        return remote
    error.__cause__ = RemoteTraceback(raised.traceback)
    return error


def console_address(settings: Settings, job_name: str) -> str:
    """The job's page in Google's console."""
    name = job_name.rsplit("/", 1)[-1]
    return (
        f"https://console.cloud.google.com/batch/jobsDetail/regions/{settings.region}/jobs/{name}/details"
        f"?project={settings.project_id}"
    )


def _refused(call: Call, outcome: Outcome) -> ParallelError:
    return TaskRefusedError(f"{call} was not run: {outcome.message}")


def _killed(call: Call, settings: Settings, outcome: Outcome) -> JobError:
    peak = outcome.peak_memory_bytes / 2**20
    used = f"its memory peaked at {peak:.0f} MB of the {settings.memory} MB asked for"
    if outcome.reason == "time_limit":
        return TimeLimitError(
            f"{call} was ended after its time_limit of {settings.time_limit:g} s; its stderr shows where it stood."
            " Raise `time_limit`, or make it shorter."
        )
    if outcome.signal is None:
        return TaskKilledError(
            f"{call} left the interpreter with exit status {outcome.exit_status} before it returned; {used}."
            " Look for os._exit or a library that calls exit()."
        )
    name = _signal_name(outcome.signal)
    if outcome.signal == signal.SIGKILL:
        if outcome.out_of_memory_kills:
            return TaskKilledError(f"{call} was killed for want of memory ({name}): {used}. Raise `memory`.")
        if peak >= LIKELY_OUT_OF_MEMORY * settings.memory:
            return TaskKilledError(
                f"{call} was killed ({name}), most likely for want of memory: {used}. Raise `memory`."
            )
        return TaskKilledError(
            f"{call} was killed ({name}); {used}, so unless it started other processes it was not for want of memory:"
            " look for what sends signals in its code, or raise `memory`."
        )
    return TaskKilledError(
        f"{call} was ended by {name}: a crash in native code, or a signal sent to it; {used}."
        " Its stderr shows Python's own trace of it."
    )


def _without_outcome(call: Call, settings: Settings, job_name: str, found: Findings) -> ParallelError:
    where = f"Job: {console_address(settings, job_name)}"
    lines = [f"  {line}" for line in found.lines[-TAIL_LINES:]]
    tail = "\n".join(["Last lines of its output:", *lines, where]) if lines else where
    if isinstance(found.outcome, OutcomeError):
        return OutcomeError(f"{call}: {found.outcome}\n{tail}")
    if found.job is None:
        return JobCancelledError(f"{call}: its job is gone from Batch: somebody deleted it.\n{tail}")
    if found.job.state in ("CANCELLED", "CANCELLATION_IN_PROGRESS", "DELETION_IN_PROGRESS"):
        return JobCancelledError(f"{call}: its job was cancelled or deleted by somebody else.\n{tail}")
    if found.job.state == "SUCCEEDED":
        return NoOutcomeError(
            f"{call}: its job succeeded, and no outcome is in the bucket: something else deletes objects under its"
            f" prefix, or the image runs another program than the job asks for.\n{tail}"
        )
    return _failed(call, found, tail)


def _failed(call: Call, found: Findings, tail: str) -> JobError:
    code = found.task.exit_code if found.task is not None else None
    events = [*(found.task.events if found.task else ()), *(found.job.events if found.job else ())]
    said = f'\nBatch says: "{events[-1].description}"' if events else ""
    if code is None:
        return NoOutcomeError(f"{call}: its job failed before the electron could start.{said}\n{tail}")
    meaning = EXIT_CODES.get(code, "which none of Batch, the container or this package explains")
    text = f"{call}: its task ended with exit code {code}: {meaning}.{said}\n{tail}"
    return TimeLimitError(text) if code == 50005 else NoOutcomeError(text)


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name}, signal {number}"
    except ValueError:
        return f"signal {number}"


def _joined(first: str, second: str) -> str:
    return first if not second else f"{first}\n{second}" if first and not first.endswith("\n") else first + second
