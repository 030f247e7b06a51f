"""From what is known of an electron whose job has ended to its value, or the error and the text of it: pure.

The outcome wins over the job's state, the job's state over its events: a task that succeeded on its third attempt
still has the exit codes of the first two among its events.
"""

from __future__ import annotations

import builtins
import signal
import traceback
from dataclasses import dataclass, replace

from ..batch.failure_message import FailureContext, format_failure
from ..batch.job_evidence import JobEvidence
from ..batch.job_verdict import Explanation, explain_job, join_text, signal_name
from ..errors import (
    ElectronError,
    JobError,
    MachineLostError,
    OutcomeError,
    ParallelError,
    RemoteTraceback,
    TaskKilledError,
    TaskRefusedError,
    TimeLimitError,
)
from ..protocol.envelope import REFUSED, VALUE
from ..settings import Settings
from .call import Call
from .outcome import Outcome, Raised

WHO_WRITES = "Find out who else writes to the bucket."
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
class ElectronEvidence(JobEvidence):
    """What is known of an electron once its job is watched no longer.

    Attributes:
        outcome: what the task reported, the error if that was refused, or None.
    """

    outcome: Outcome | OutcomeError | None = None


def verdict(call: Call, settings: Settings, job_name: str, found: ElectronEvidence) -> Verdict:
    """What is reported to the user."""
    context = FailureContext(str(call), settings, job_name, found.job, found.task)
    outcome = found.outcome
    if not isinstance(outcome, Outcome):
        kind: type[JobError | OutcomeError]
        if isinstance(outcome, OutcomeError):
            kind, what, remedy = OutcomeError, f"has no usable outcome: {outcome}.", WHO_WRITES
        else:
            kind, what, remedy = explain_job(settings, found)
        output = found.stdout + found.stderr
        error = kind(format_failure(context, what, remedy, output, found.lines))
        told = format_failure(context, what, remedy, lines=() if output else found.lines)
        return Failure(error, found.stdout, join_text(found.stderr, f"{told}\n"))
    if outcome.kind == VALUE:
        return Value(outcome)
    if outcome.raised is not None:
        text = join_text(outcome.raised.traceback, f"{context.addresses()}\n")
        return Failure(exception_of(outcome.raised), outcome.stdout, join_text(outcome.stderr, text))
    kind, what, remedy = _reported(settings, outcome)
    # Whoever reports its failure has delivered an outcome: Batch calls that a success.
    is_success = any(known is not None and known.state == "SUCCEEDED" for known in (found.job, found.task))
    context = replace(context, quotes_batch=not is_success)
    error = kind(format_failure(context, what, remedy, outcome.stdout + outcome.stderr))
    return Failure(error, outcome.stdout, join_text(outcome.stderr, f"{format_failure(context, what, remedy)}\n"))


def spot_fallback_settings(ended: Verdict, settings: Settings) -> Settings | None:
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


def _reported(settings: Settings, outcome: Outcome) -> Explanation:
    """The failure of an outcome that is neither a value nor an exception."""
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
            "Look for os._exit, for os.exec, or for a library that calls exit().",
        )
    name = signal_name(outcome.signal)
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


def with_location(failure: Failure, where: str) -> Failure:
    """The same failure with a sentence that says where the results are, in an error that is ours too."""
    error = failure.error
    if isinstance(error, ParallelError) and not isinstance(error, ElectronError):
        # Not a new one, since each class has a constructor of its own.
        error.args = (f"{error}\n{where}",)
    return replace(failure, stderr=join_text(failure.stderr, f"{where}\n"))
