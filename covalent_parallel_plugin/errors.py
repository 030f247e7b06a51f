"""What can go wrong, as one tree of exceptions.

::

    ParallelError                  everything this package raises on purpose
    ├── MistakeError               what was given is wrong, such as a sweep's file; nothing was done
    │   └── SettingsError          options that are missing or wrong: all of them in one message (also a ValueError)
    │       └── SecretFileError    the file with the server's secret cannot be used
    ├── CloudError                 Google refused a request, or could not be reached
    │   ├── PermissionDeniedError  the identity at hand may not do it
    │   ├── MissingResourceError   project, bucket, job or service not there
    │   └── UnavailableError       still failing after all retries
    ├── JobError                   the job ended, and no value came
    │   ├── TaskKilledError        killed by a signal, or left the interpreter by itself
    │   ├── TimeLimitError         ran past `time_limit`
    │   ├── TaskRefusedError       the container would not run the call: wrong Python, missing module
    │   ├── JobCancelledError      cancelled or deleted by somebody else
    │   ├── MachineLostError       preempted or lost, and all `retries` used up
    │   ├── NoCapacityError        waited for a machine longer than `queue_limit`
    │   ├── BudgetError            stopped, or not submitted: `max_machine_hours` of its dispatch are used up
    │   ├── SchedulingError        refused by Batch or Compute Engine before a task ran
    │   ├── ImageError             the container did not start: no image, or no Python in it
    │   └── NoOutcomeError         ended in any other way without reporting back
    ├── DeployError                infrastructure could not be made, inspected or removed
    │   ├── DeployMistakeError     values that it cannot be made with (also a MistakeError)
    │   └── DeployInterruptedError interrupted before that was done
    ├── CacheDirError              this machine's `cache_dir` could not take a value (also an OSError)
    ├── OutcomeError               an outcome came, and cannot be trusted or read
    ├── SweepStoppedError          a run of a sweep ended before all tasks had; carries the records that there are
    │   └── SweepBudgetError       since `max_machine_hours` are used up (also a BudgetError)
    ├── MapError                   items of a map raised or were lost; carries an error for each, and the others' values
    ├── DispatchError              a dispatch failed, and its exception is not known; carries what Covalent keeps of it
    ├── DispatchCancelledError     a dispatch was cancelled before it had a value
    └── ElectronError              the electron raised; carries type, message and remote traceback

    RemoteTraceback                the cause of a builtin exception that is raised again here
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Any

# How many items of a map are named in a message
NAMED_ITEMS = 20
# A mistake in options quotes what was given
LONGEST_MISTAKE = 4000
_CREDENTIALS = re.compile(r"://[^/\s]*@")


def cut_middle(text: str, longest: int = LONGEST_MISTAKE) -> str:
    """The text, without its middle where it is too long."""
    return text if len(text) <= longest else f"{text[: longest // 2]} ... {text[-(longest // 2) :]}"


def without_passwords(text: str) -> str:
    """The text with the user names and passwords in its URLs hidden, as pip hides them."""
    return _CREDENTIALS.sub("://****@", text)


class ParallelError(Exception):
    """The root of what this package raises on purpose."""


class MistakeError(ParallelError):
    """What the user gave is wrong: an option, a configuration, a file; nothing was done."""


class SettingsError(MistakeError, ValueError):
    """Options that are missing or wrong; `mistakes` holds one sentence each, with the remedy."""

    def __init__(self, mistakes: Sequence[str]):
        self.mistakes = tuple(cut_middle(mistake) for mistake in mistakes)
        count = len(self.mistakes)
        title = "1 option needs attention" if count == 1 else f"{count} options need attention"
        super().__init__("\n".join([f"{title}:", *(f"  - {mistake}" for mistake in self.mistakes)]))

    def __reduce__(self) -> tuple[type[SettingsError], tuple[tuple[str, ...]]]:
        return type(self), (self.mistakes,)


class SecretFileError(SettingsError):
    """The file with the server's secret cannot be used; the message names it and what to do."""

    def __init__(self, message: str):
        super().__init__([message])
        self.args = (message,)

    def __reduce__(self) -> tuple[type[SecretFileError], tuple[str, ...]]:  # type: ignore[override]  # one message
        return type(self), self.mistakes


class CloudError(ParallelError):
    """Google refused a request, or could not be reached."""


class PermissionDeniedError(CloudError):
    """The identity at hand may not do what was asked."""


class MissingResourceError(CloudError):
    """A project, bucket, job or service is not there."""


class UnavailableError(CloudError):
    """A request still failed after all its retries."""


class JobError(ParallelError):
    """The job ended, and no value came of it.

    Attributes:
        returned: how many items of a map had returned.
        values: what those returned, by their index; as MapError has it.
    """

    returned: int = 0
    values: Mapping[int, Any] = MappingProxyType({})


class TaskKilledError(JobError):
    """The electron's process was killed by a signal, or left the interpreter by itself."""


class TimeLimitError(JobError):
    """The electron ran past `time_limit`."""


class TaskRefusedError(JobError):
    """The container would not run the call."""


class JobCancelledError(JobError):
    """The job was cancelled or deleted by somebody else."""


class MachineLostError(JobError):
    """The machine was preempted or lost, as often as `retries` allow."""


class NoCapacityError(JobError):
    """No machine was found within `queue_limit`."""


class BudgetError(JobError):
    """The machines of the dispatch have run for longer than `max_machine_hours`."""


class SchedulingError(JobError):
    """Batch or Compute Engine refused the job before a task ran."""


class ImageError(JobError):
    """The container did not start: its image is not available, or has no Python."""


class NoOutcomeError(JobError):
    """The job ended without reporting back."""


class DeployError(ParallelError):
    """Infrastructure could not be made, inspected or removed; the message ends with what to do next."""


class DeployMistakeError(DeployError, MistakeError):
    """A value that the user gave for the infrastructure is wrong; nothing was done."""


class DeployInterruptedError(DeployError):
    """The user or the system interrupted the command before its work was done."""


class CacheDirError(ParallelError, OSError):
    """The folder for large values could not take one; the message names it and what to do."""


class OutcomeError(ParallelError):
    """An outcome came that cannot be trusted or read."""


class SweepStoppedError(ParallelError):
    """A run of a sweep ended before all of its tasks had: stopped, or cancelled; the message says why.

    Attributes:
        records: those of all chosen tasks, in order, as `Sweep.run` returns them.
    """

    def __init__(self, message: str, records: Sequence[Any]):
        self.records = list(records)
        super().__init__(message)

    def __reduce__(self) -> tuple[type[SweepStoppedError], tuple[str, list[Any]]]:
        return type(self), (str(self), self.records)


class SweepBudgetError(SweepStoppedError, BudgetError):
    """A run of a sweep ended early since `max_machine_hours` are used up."""


class ElectronError(ParallelError):
    """The electron raised.

    Attributes:
        type_name: the remote exception's class, with its module where that is not `builtins`.
        message: its `str()`.
        remote_traceback: the formatted traceback, causes included.
    """

    def __init__(self, type_name: str, message: str, remote_traceback: str = ""):
        self.type_name = type_name
        self.message = message
        self.remote_traceback = remote_traceback
        super().__init__(f"{type_name}: {message}" if message else type_name)

    def _repr_html_(self) -> str:
        return _html(str(self), self.remote_traceback)

    def __reduce__(self) -> tuple[type[ElectronError], tuple[str, str, str]]:
        return type(self), (self.type_name, self.message, self.remote_traceback)


class MapError(ParallelError):
    """Items of a map raised, or were lost.

    Attributes:
        errors: for each of them by its index what went wrong: an ElectronError, or a TaskKilledError.
        returned: how many items returned.
        values: what these returned, by their index, each one read when it is asked for. Covalent's server, which loads
            no value, has none here.
    """

    def __init__(self, message: str, errors: Mapping[int, Exception], values: Mapping[int, Any] | None = None):
        self.errors = dict(errors)
        self.values: Mapping[int, Any] = {} if values is None else values
        self.returned = len(self.values)
        super().__init__(message)

    @classmethod
    def of(
        cls,
        whose: str,
        total: int | None,
        failures: Mapping[int, tuple[str, Exception]],
        values: Mapping[int, Any] | None = None,
    ) -> MapError:
        """Name the failed ones of an electron's `total` items: for each its description, and its error."""
        told = sorted((index, text) for index, (text, _) in failures.items())[:NAMED_ITEMS]
        rest = len(failures) - len(told)
        which = ", ".join(str(index) for index, _ in told) + (", ..." if rest else "")
        listed = "".join(f"\n  item {index} {text}" for index, text in told)
        more = f"\n  ... and {rest} more" if rest else ""
        errors = {index: failures[index][1] for index in sorted(failures)}
        return cls(f"{len(failures)} of {total} items of {whose} failed: {which}{listed}{more}", errors, values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self).splitlines()[0]})"

    def _repr_html_(self) -> str:
        title, _, items = str(self).partition("\n")
        return _html(title, items)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.errors, self.values), {"returned": self.returned}


def _html(title: str, text: str) -> str:
    """A title and a text as a notebook shows them, in its own colours."""
    style = "white-space:pre;overflow-x:auto;background:transparent;color:inherit"
    pre = f'<pre style="{style}">{escape(text)}</pre>' if text else ""
    return f"<div><b>{escape(title)}</b>{pre}</div>"


class DispatchError(ParallelError, RuntimeError):
    """A dispatch failed, as in an electron on another executor; the message has what Covalent keeps of it."""


class DispatchCancelledError(ParallelError):
    """A dispatch was cancelled before it had a value; the message names its electrons that were."""


class RemoteTraceback(Exception):
    """Shown as the cause of a builtin exception raised again on this side: where it happened in the container."""

    def __init__(self, text: str):
        self.text = text
        super().__init__(text)

    def __str__(self) -> str:
        return f"\n{self.text}"
