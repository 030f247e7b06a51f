"""A program in the foreground: found before anything starts, and run to its end with the terminal as its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import click

from covalent_parallel_plugin.covalent_api.held_signals import signals_held

from .signals import Signals, Terminated

# As a shell has them
NOT_FOUND, NOT_EXECUTABLE = 127, 126
# As Python has it
NO_FILE = 2
# The system may hand a signal to any thread, which does not wake this one: its handler runs when a wait ends
TURN_SECONDS = 0.2
# For a program to end after SIGTERM
GRACE_SECONDS = 2.0
_PYTHON = ("python", "python3")


class ProgramError(click.ClickException):
    """A program that cannot be run; its exit code is what a shell would end with."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        # To click, its type's own
        self.exit_code = exit_code  # type: ignore[misc]


def find_program(words: Sequence[str], path: str) -> list[str]:
    """Return the words with the program's path first; `python` is the one that runs this. Raises ProgramError."""
    name = words[0]
    if name in _PYTHON:
        _check_file(words[1:])
        return [sys.executable, *words[1:]]
    found = shutil.which(name, path=path)
    if found is not None:
        return [found, *words[1:]]
    file = Path(name)
    if file.suffix == ".py" and file.is_file():
        remedy = f"run it with Python: covalent-parallel dev -- python {name}"
    elif file.is_dir():
        remedy = "it is a folder; name a program"
    elif "/" in name and file.exists():
        remedy = f"make it executable: chmod +x {name}"
    else:
        raise ProgramError(f"there is no program {name!r}: give its path, or install it", NOT_FOUND)
    raise ProgramError(f"{name!r} cannot be executed: {remedy}", NOT_EXECUTABLE)


def _check_file(arguments: Sequence[str]) -> None:
    """Raise ProgramError where Python would not find its program, for which no server need be started."""
    name = arguments[0] if arguments else ""
    if name.endswith(".py") and not name.startswith("-") and not Path(name).exists():
        close = get_close_matches(name, [str(path) for path in Path(name).parent.glob("*.py")], n=1)
        remedy = f"did you mean {close[0]}?" if close else "correct the name, or go to its folder first"
        raise ProgramError(f"there is no file {name!r}: {remedy}", NO_FILE)


def run_program(words: Sequence[str], environment: Mapping[str, str], signals: Signals) -> int:
    """Run a program and return its exit status, 128 + N where signal N ended it.

    Raises:
        ProgramError: the system cannot run it. Terminated: a signal came, and the program has ended.
    """
    with signals.interrupts_left_to_the_program():
        try:
            with signals_held():
                process = subprocess.Popen(words, env=dict(environment))
        except OSError as error:
            raise ProgramError(f"the program {words[0]} cannot be run: {error.strerror}", NOT_EXECUTABLE) from error
        try:
            status = _wait(process)
        except Terminated as ended:
            process.send_signal(ended.number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
            process.kill()
            process.wait()
            raise
    return status if status >= 0 else 128 - status


def _wait(process: subprocess.Popen[bytes]) -> int:
    # Bounded by the user's program, which is the user's to end
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(TURN_SECONDS)
