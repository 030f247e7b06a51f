"""From what is known of an ended job to its owner's report: pure, a truth table.

The job's state wins over its events: a task that succeeded on its third attempt still has the exit codes of the first
two among its events.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping

from ..errors import (
    BudgetError,
    ImageError,
    JobCancelledError,
    JobError,
    MachineLostError,
    NoCapacityError,
    NoOutcomeError,
    OutcomeError,
    SchedulingError,
    TaskKilledError,
    TimeLimitError,
)
from ..protocol import exit_codes
from ..protocol.environment import for_google
from ..settings import Settings
from . import job_watch
from .error_hints import find_last_hint
from .job_evidence import JobEvidence

# What an exit code says and what to do, from https://cloud.google.com/batch/docs/troubleshooting#reserved-exit-codes,
# from the shell's and container engines' conventions, and from this package's own (protocol.exit_codes)
EXIT_CODES = {
    # Of Python itself: the runner ends with others.
    1: (
        "its Python ended before it had come to the runner, or could not start",
        "The last lines of its output say why: see PYTHONPATH, PYTHONHOME and other such variables in `environment`,"
        " and the sitecustomize module of the image.",
    ),
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
    127: ("the container has no `python3`", "Leave container_image_uri out, or use an image with Python."),
    137: ("the container was killed, most often for want of memory", "Raise `memory`."),
    143: ("the task was asked to stop, and no other attempt followed", "Raise `retries`, or run it again."),
    exit_codes.EXIT_BAD_DIGEST: (
        "the call in the bucket was not the one that had been sealed: it was changed there or on its way",
        "Find out who else writes to the bucket.",
    ),
    exit_codes.EXIT_NO_CALL: (
        "the call was not in the bucket any more when the task started",
        "Find out who else deletes objects there, or which lifecycle rule of the bucket does.",
    ),
    exit_codes.EXIT_BUCKET_UNREACHABLE: (
        "the task could not reach the bucket, or got no proper answer, for two minutes",
        "Run it again; if it always happens, see that its network lets it reach Cloud Storage (external_ip, or Private"
        " Google Access in `subnetwork`).",
    ),
    exit_codes.EXIT_BUCKET_UNREADABLE: (
        "the task could not read the bucket",
        "Give its service account (service_account_email) roles/storage.objectViewer on it.",
    ),
    exit_codes.EXIT_RUNNER_FAILED: (
        "the runner failed",
        "This is a defect of covalent-parallel-plugin: please report it.",
    ),
    exit_codes.EXIT_NO_SPACE: (
        "its container has no room to write to",
        "Raise `boot_disk_gb`; where container_options makes the root read-only, give '--tmpfs /tmp:exec' there, or a"
        " larger one.",
    ),
    exit_codes.EXIT_NO_RUNNER: (
        "the runner's archive was not in the bucket, also after it had been put there again",
        "Find out who else deletes objects under covalent-parallel-runner/, or which lifecycle rule does.",
    ),
    exit_codes.EXIT_NOT_DELIVERED: (
        "the task could not write its outcome to the bucket",
        "Give its service account (service_account_email) roles/storage.objectCreator on it.",
    ),
    exit_codes.EXIT_DELIVERY_FAILED: (
        "the task had its outcome, and could not reach the bucket to write it for two minutes",
        "Run it again; if it always happens, look at the last lines of its output and at its network.",
    ),
    exit_codes.EXIT_BAD_RUNNER: (
        "the runner's archive in the bucket was not the one that the job had been made for, also after it had been put"
        " there again",
        "Find out who else writes to covalent-parallel-runner/ in the bucket.",
    ),
    exit_codes.EXIT_NO_MODULES: (
        "the electron's own modules were not in the bucket, or not those that it was dispatched with, also after they"
        " had been put there again",
        "Find out who else writes or deletes objects under covalent-parallel/_modules/, or which lifecycle rule does.",
    ),
    exit_codes.EXIT_RETRY_EXCEPTION: ("its last attempt failed", "Look at its output."),
    exit_codes.EXIT_WRONG_PYTHON: ("the image's Python is too old", "Use an image with the Python of this workflow."),
}
MACHINE_LOST_CODES = (50001, 50002, 50003, 50004, 50006)
IMAGE_CODES = (125, 126, 127)
CANCELLED_STATES = ("CANCELLED", "CANCELLATION_IN_PROGRESS", "DELETION_IN_PROGRESS")
RAISE_BUDGET = "To do: raise `max_machine_hours`, or leave it out, and dispatch again."
# The error's class, what happened, and what to do
Explanation = tuple[type[JobError | OutcomeError], str, str]

NO_OUTCOME: Explanation = (
    NoOutcomeError,
    "left no outcome in the bucket, although its task succeeded.",
    "Find out what else deletes objects under its prefix; or the image runs another program than the job asks for.",
)
# "... with exit code 125.", in the words of a task's event or of a job's that repeats it
_CODE_IN_TEXT = re.compile(r"\bexit code (\d{1,5})\b")


def explain_job(
    settings: Settings, found: JobEvidence, codes: Mapping[int, tuple[str, str]] = EXIT_CODES
) -> Explanation:
    """Return why a job ended of which nothing came: its state first, then its task's, then the latest event.

    `codes`: what exit codes say, and what to do.
    """
    if found.reason == job_watch.QUEUE_LIMIT:
        return _waited_too_long(settings, found)
    if found.reason == job_watch.OVERDUE:
        return (
            TimeLimitError,
            "was given up: its job still runs long after all its attempts should have ended.",
            "The job was cancelled; run it again.",
        )
    if found.reason == job_watch.OVER_BUDGET:
        return BudgetError, f"was stopped: {found.detail}.", RAISE_BUDGET
    if found.job is None or found.reason == job_watch.GONE:
        restarted = for_google("", " (with an emulator that is started anew all vanish)")
        return (
            JobCancelledError,
            f"has no job any more: somebody deleted it, or it vanished{restarted}.",
            "Run it again.",
        )
    if found.job.state in CANCELLED_STATES:
        return JobCancelledError, "was ended: somebody else cancelled or deleted its job.", "Run it again."
    if found.job.state == "SUCCEEDED":
        return NO_OUTCOME
    return _failed(found, codes)


def _waited_too_long(settings: Settings, found: JobEvidence) -> Explanation:
    events = found.job.events if found.job is not None else ()
    known = find_last_hint(event.description for event in events)
    what = f"was given up after waiting for a machine for its queue_limit of {settings.queue_limit:g} s"
    if known is None:
        return NoCapacityError, f"{what}; Batch does not say why.", "Raise `queue_limit`, or ask for other machines."
    return NoCapacityError, f"{what}: {known[0].meaning}.", f"To do: {known[0].remedy}."


def _failed(found: JobEvidence, codes: Mapping[int, tuple[str, str]]) -> Explanation:
    if found.task is not None and found.task.state == "SUCCEEDED":
        # Its events may hold the exit codes of earlier attempts: they mean nothing any more.
        return NO_OUTCOME
    code = _exit_code(found)
    events = [*(found.job.events if found.job else ()), *(found.task.events if found.task else ())]
    if code is None:
        known = find_last_hint(event.description for event in events)
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
    if 128 < code < 128 + 65 and code not in codes:
        return (
            TaskKilledError,
            f"ended with exit code {code}: its container was ended by {signal_name(code - 128)}.",
            "",
        )
    unknown = ("which none of Batch, the container or this package explains", "Look at the job's page and logs.")
    meaning, remedy = codes.get(code, unknown)
    return kind, f"ended with exit code {code}: {meaning}.", remedy


def _exit_code(found: JobEvidence) -> int | None:
    """The task's last one, or where Batch does not report the task any more, the one in the words of an event."""
    if found.task is not None and found.task.exit_code is not None:
        return found.task.exit_code
    for event in reversed(found.job.events if found.job is not None else ()):
        match = _CODE_IN_TEXT.search(event.description)
        if match:
            return int(match[1])
    return None


def signal_name(number: int) -> str:
    """Return a signal's name and number."""
    try:
        return f"{signal.Signals(number).name}, signal {number}"
    except ValueError:
        return f"signal {number}"


def join_text(first: str, second: str) -> str:
    """Two texts, the second on a line of its own."""
    return first if not second else f"{first}\n{second}" if first and not first.endswith("\n") else first + second
