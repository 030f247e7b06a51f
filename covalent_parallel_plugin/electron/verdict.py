"""From what is known of an ended job to what the user is told: pure, a truth table.

The outcome wins over the job's state, the job's state over its events: a task that succeeded on its third attempt
still has the exit codes of the first two among its events.
"""

from __future__ import annotations

import builtins
import re
import signal
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..batch import job_watch
from ..batch.error_hints import recognise_last
from ..batch.failure_message import Place, message
from ..cloud.batch import JobStatus, TaskStatus
from ..errors import (
    ElectronError,
    ImageError,
    JobCancelledError,
    JobError,
    MachineLostError,
    NoCapacityError,
    NoOutcomeError,
    OutcomeError,
    RemoteTraceback,
    SchedulingError,
    TaskKilledError,
    TaskRefusedError,
    TimeLimitError,
)
from ..protocol.envelope import REFUSED, VALUE
from ..protocol.exit_codes import (
    EXIT_BAD_DIGEST,
    EXIT_BUCKET_UNREADABLE,
    EXIT_NO_CALL,
    EXIT_NOT_DELIVERED,
    EXIT_RETRY_EXCEPTION,
    EXIT_RUNNER_FAILED,
    EXIT_WRONG_PYTHON,
)
from ..settings import Settings
from .call import Call
from .outcome import Outcome, Raised

# What an exit code says and what to do, from https://cloud.google.com/batch/docs/troubleshooting#reserved-exit-codes,
# from the shell's and container engines' conventions, and from this package's own (protocol.exit_codes)
EXIT_CODES = {
    50000: ("the task failed for a reason that Batch does not classify", "Look at the job's page."),
    50001: ("its Spot machine was preempted", "Raise `retries`, set spot_fallback=True, or use spot=False."),
    50002: ("its machine stopped reporting to Batch", "Raise `retries`; if it always happens, raise `memory`."),
    50003: ("its machine rebooted while it ran", "Raise `retries`."),
    50004: ("machine and task did not respond any more", "Run it again; if it always happens, raise `memory`."),
    50005: ("the task ran past its maximum time", "Raise `time_limit`."),
    50006: ("its machine was recreated while it ran", "Raise `retries`."),
    125: (
        "the container could not be started: its image could not be pulled, or a secret, a volume or one of"
        " container_options could not be used",
        "The last lines of its output say which. For an image: check container_image_uri, and that the service account"
        " may read it.",
    ),
    126: ("the container's command could not be executed", "Use an image whose `python3` is a program."),
    127: ("the container has no `python3`", "Use an image with Python, such as python:3.11-slim."),
    137: ("the container was killed, most often for want of memory", "Raise `memory`."),
    143: ("the task was asked to stop, and no other attempt followed", "Raise `retries`, or run it again."),
    EXIT_BAD_DIGEST: (
        "what lay in the bucket was not what the job had been made for: it was changed on its way",
        "Find out who else writes to the bucket.",
    ),
    EXIT_NO_CALL: (
        "the call, or the runner, was not in the bucket any more when the task started",
        "Find out who else deletes objects there, or which lifecycle rule of the bucket does.",
    ),
    EXIT_BUCKET_UNREADABLE: (
        "the task could not read the bucket",
        "Give its service account (service_account_email) roles/storage.objectViewer on it.",
    ),
    EXIT_RUNNER_FAILED: ("the runner failed", "This is a defect of covalent-parallel-plugin: please report it."),
    EXIT_NOT_DELIVERED: (
        "the task could not write its outcome to the bucket",
        "Give its service account (service_account_email) roles/storage.objectCreator on it.",
    ),
    EXIT_RETRY_EXCEPTION: ("its last attempt failed", "Look at its output."),
    EXIT_WRONG_PYTHON: ("the image's Python is too old", "Use an image with the Python of this workflow."),
}
MACHINE_LOST_CODES = (50001, 50002, 50003, 50004, 50006)
IMAGE_CODES = (125, 126, 127)
CANCELLED_STATES = ("CANCELLED", "CANCELLATION_IN_PROGRESS", "DELETION_IN_PROGRESS")
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
    """What is known once a job is watched no longer.

    Attributes:
        job: its last status, None if it was never seen.
        task: its task's, where that was asked for; None if Batch lists none.
        outcome: what the task reported, the error if that was refused, or None.
        reason: why the watch ended, where it was not the job's own end (`watch.GONE`, ...).
        stdout, stderr: output of an attempt that was taken away.
        lines: the last ones of the log, read where nothing else came.
    """

    job: JobStatus | None
    task: TaskStatus | None = None
    outcome: Outcome | OutcomeError | None = None
    reason: str = ""
    stdout: str = ""
    stderr: str = ""
    lines: Sequence[str] = ()


def verdict(call: Call, settings: Settings, job_name: str, found: Findings) -> Verdict:
    """What the user is told."""
    place = Place(call, settings, job_name, found.job, found.task)
    outcome = found.outcome
    if not isinstance(outcome, Outcome):
        kind, what, remedy = _without_outcome(settings, found)
        output = found.stdout + found.stderr
        error = kind(message(place, what, remedy, output, found.lines))
        told = message(place, what, remedy, lines=() if output else found.lines)
        return Failure(error, found.stdout, joined(found.stderr, f"{told}\n"))
    if outcome.kind == VALUE:
        return Value(outcome)
    if outcome.raised is not None:
        text = joined(outcome.raised.traceback, f"{place.addresses()}\n")
        return Failure(exception_of(outcome.raised), outcome.stdout, joined(outcome.stderr, text))
    kind, what, remedy = _reported(settings, outcome)
    # Whoever reports its failure has delivered an outcome: Batch calls that a success.
    is_success = any(known is not None and known.state == "SUCCEEDED" for known in (found.job, found.task))
    place = replace(place, quotes_batch=not is_success)
    error = kind(message(place, what, remedy, outcome.stdout + outcome.stderr))
    return Failure(error, outcome.stdout, joined(outcome.stderr, f"{message(place, what, remedy)}\n"))


def settings_for_another_run(ended: Verdict, settings: Settings) -> Settings | None:
    """On standard machines, if that was asked for and all attempts on Spot machines were lost; else None."""
    if not (isinstance(ended, Failure) and isinstance(ended.error, MachineLostError)):
        return None
    return replace(settings, spot=False) if settings.spot and settings.spot_fallback else None


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
        traceback.format_exception_only(error)
    except Exception:
        # A class that will not be made from its own `args`, such as some of the Unicode errors, or from others' in such
        # a way that it cannot be printed, such as a SyntaxError
        return remote
    if isinstance(error, ImportError):
        error.name = raised.import_name
    error.__cause__ = RemoteTraceback(raised.traceback)
    return error


# The error's class, what happened, and what to do
Told = tuple[type[JobError | OutcomeError], str, str]

NO_OUTCOME: Told = (
    NoOutcomeError,
    "left no outcome in the bucket, although its task succeeded.",
    "Find out what else deletes objects under its prefix; or the image runs another program than the job asks for.",
)
# "... with exit code 125.", in the words of a task's event or of a job's that repeats it
_CODE_IN_TEXT = re.compile(r"\bexit code (\d{1,5})\b")


def _reported(settings: Settings, outcome: Outcome) -> Told:
    """Of an outcome that is neither a value nor an exception."""
    if outcome.kind == REFUSED:
        return TaskRefusedError, f"was not run: {outcome.message}", ""
    peak = outcome.peak_memory_bytes / 2**20
    used = f"its memory peaked at {peak:.0f} MB of the {settings.memory} MB asked for"
    if outcome.reason == "time_limit":
        return (
            TimeLimitError,
            f"was ended after its time_limit of {settings.time_limit:g} s; its stderr shows where it stood.",
            "Raise `time_limit`, or make it shorter.",
        )
    if outcome.signal is None:
        return (
            TaskKilledError,
            f"left the interpreter with exit status {outcome.exit_status} before it returned; {used}.",
            "Look for os._exit or a library that calls exit().",
        )
    name = _signal_name(outcome.signal)
    if outcome.signal != signal.SIGKILL:
        return (
            TaskKilledError,
            f"was ended by {name}: a crash in native code, or a signal sent to it; {used}.",
            "Its stderr shows Python's own trace of it.",
        )
    code = f"{name}, exit code {128 + outcome.signal}"
    if outcome.out_of_memory_kills:
        return TaskKilledError, f"was killed for want of memory ({code}): {used}.", "Raise `memory`."
    if peak >= LIKELY_OUT_OF_MEMORY * settings.memory:
        return TaskKilledError, f"was killed ({code}), most likely for want of memory: {used}.", "Raise `memory`."
    return (
        TaskKilledError,
        f"was killed ({code}); {used}, so unless it started other processes it was not for want of memory.",
        "Look for what sends signals in its code, or raise `memory`.",
    )


def _without_outcome(settings: Settings, found: Findings) -> Told:
    """Of a job from which no outcome came that can be used."""
    if isinstance(found.outcome, OutcomeError):
        return OutcomeError, f"has no usable outcome: {found.outcome}.", "Find out who else writes to the bucket."
    if found.reason == job_watch.QUEUE_LIMIT:
        return _waited_too_long(settings, found)
    if found.reason == job_watch.OVERDUE:
        return (
            TimeLimitError,
            "was given up: its job still runs long after all its attempts should have ended.",
            "The job was cancelled; run it again.",
        )
    if found.job is None or found.reason == job_watch.GONE:
        return JobCancelledError, "has no job any more: somebody deleted it, or it vanished.", "Run it again."
    if found.job.state in CANCELLED_STATES:
        return JobCancelledError, "was ended: somebody else cancelled or deleted its job.", "Run it again."
    if found.job.state == "SUCCEEDED":
        return NO_OUTCOME
    return _failed(found)


def _waited_too_long(settings: Settings, found: Findings) -> Told:
    events = found.job.events if found.job is not None else ()
    known = recognise_last(event.description for event in events)
    what = f"was given up after waiting for a machine for its queue_limit of {settings.queue_limit:g} s"
    if known is None:
        return NoCapacityError, f"{what}; Batch does not say why.", "Raise `queue_limit`, or ask for other machines."
    return NoCapacityError, f"{what}: {known[0].meaning}.", f"To do: {known[0].remedy}."


def _failed(found: Findings) -> Told:
    if found.task is not None and found.task.state == "SUCCEEDED":
        # Its events may hold the exit codes of earlier attempts: they mean nothing any more.
        return NO_OUTCOME
    code = _exit_code(found)
    events = [*(found.job.events if found.job else ()), *(found.task.events if found.task else ())]
    if code is None:
        known = recognise_last(event.description for event in events)
        if known is None and found.task is not None and found.task.state == "FAILED":
            return NoOutcomeError, "failed, and Batch gives no exit code.", "Look at the job's page and logs."
        if known is None:
            return SchedulingError, "could not start: its job failed before a task ran.", "Look at the job's page."
        return SchedulingError, f"could not start: {known[0].meaning}.", f"To do: {known[0].remedy}."
    kind: type[JobError] = NoOutcomeError
    if code == 50005:
        kind = TimeLimitError
    elif code in MACHINE_LOST_CODES:
        kind = MachineLostError
    elif code in IMAGE_CODES:
        kind = ImageError
    elif code == 128 + signal.SIGKILL:
        kind = TaskKilledError
    if 128 < code < 128 + 65 and code not in EXIT_CODES:
        return (
            TaskKilledError,
            f"ended with exit code {code}: its container was ended by {_signal_name(code - 128)}.",
            "",
        )
    unknown = ("which none of Batch, the container or this package explains", "Look at the job's page and logs.")
    meaning, remedy = EXIT_CODES.get(code, unknown)
    return kind, f"ended with exit code {code}: {meaning}.", remedy


def _exit_code(found: Findings) -> int | None:
    """The task's last one, or where Batch does not tell of the task any more, the one in the words of an event."""
    if found.task is not None and found.task.exit_code is not None:
        return found.task.exit_code
    for event in reversed(found.job.events if found.job is not None else ()):
        match = _CODE_IN_TEXT.search(event.description)
        if match:
            return int(match[1])
    return None


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name}, signal {number}"
    except ValueError:
        return f"signal {number}"


def joined(first: str, second: str) -> str:
    """Two texts, the second on a line of its own."""
    return first if not second else f"{first}\n{second}" if first and not first.endswith("\n") else first + second
