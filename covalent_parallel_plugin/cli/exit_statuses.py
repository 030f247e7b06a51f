"""What commands end with: one exit status for one kind of ending, and the one error that is shown."""

from __future__ import annotations

import errno
from collections.abc import Callable

import click

from covalent_parallel_plugin.errors import MistakeError

DONE = 0
FAILED = 1
"""It failed, or what was looked at is bad or is not there: Google refused, no server answers, no such dispatch."""
MISTAKE = 2
"""The command line, an option, the configuration or the user's file is wrong; nothing was done. Click's as well."""
CANCELLED = 3
"""Of `watch`: the dispatch was cancelled."""
INTERRUPTED = 130
"""What shells report for a program that Ctrl-C ended."""
TERMINATED = 143
"""What shells report for a program that SIGTERM ended."""

# A pipe whose reader has gone; a disk that is full, a file too large, over quota, a broken device
_NOT_WRITTEN = (errno.EPIPE, errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)


class _MistakeShown(click.ClickException):
    """One message on standard error, and the status of mistakes."""

    exit_code = MISTAKE


def status_of(error: Exception) -> int:
    """Return the exit status of this kind of error."""
    # Values that the rules of options refuse are ValueErrors
    return MISTAKE if isinstance(error, (MistakeError, ValueError)) else FAILED


def shown_error(error: Exception, shown: Callable[[str], str] = str) -> click.ClickException:
    """Return what ends a command with the error's message, each line as `shown` has it, and its status."""
    kind = _MistakeShown if status_of(error) == MISTAKE else click.ClickException
    return kind("\n".join(map(shown, str(error).split("\n"))))


def is_lost_output(error: OSError) -> bool:
    """Whether an error is that of output that cannot be written, and names no file."""
    return error.errno in _NOT_WRITTEN and error.filename is None
