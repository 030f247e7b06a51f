"""Run a command whose output goes through to the terminal, and pass signals that ask it to end on to it.

The command gets a session of its own: a Ctrl-C then reaches it once, through this process, whether it came from the
terminal's keyboard or from `kill`. Terraform counts: the first makes it stop in order, the second at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

END_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
# How much of a command's errors is retained, for hints
KEPT_CHARACTERS = 64 * 1024
# A question about state or version; what changes something has Terraform's own deadlines, one for each resource
ANSWER_SECONDS = 120.0
# For the last of its errors; something that it started may hold them open for ever
LAST_ERRORS_SECONDS = 2.0


@dataclass(frozen=True)
class CommandResult:
    """How a command ended: its exit status, its output where that was asked for, the end of its errors, and whether
    an end was asked for while it ran."""

    status: int
    output: str = ""
    errors: str = ""
    is_interrupted: bool = False


Run = Callable[[Sequence[str], Path, Mapping[str, str], bool], CommandResult]
"""(command, folder, environment, whether its output is wanted rather than shown) -> how it ended.

Raises:
    OSError: it cannot be started.
    subprocess.TimeoutExpired: an answer was wanted, and none came.
"""


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], wants_output: bool = False
) -> CommandResult:
    """Run a command to its end; see `Run`."""
    if wants_output:
        answer = subprocess.run(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_SECONDS,
            check=False,
        )
        return CommandResult(answer.returncode, answer.stdout, answer.stderr)
    sys.stdout.flush()
    # A pipe that only the reader closes: closing it here would wait for a reader that waits for something left running
    errors, errors_end = os.pipe()
    kept: list[str] = []
    reader = threading.Thread(target=_show, args=(errors, kept), daemon=True)
    reader.start()
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stderr=errors_end,
            start_new_session=True,
        )
    finally:
        os.close(errors_end)
    with process, _passed_on(process) as signals:
        status = process.wait()
    reader.join(LAST_ERRORS_SECONDS)
    return CommandResult(status, "", "".join(kept)[-KEPT_CHARACTERS:], bool(signals))


def _show(errors: int, kept: list[str]) -> None:
    is_seen = True
    with open(errors, "rb") as stream:
        for line in iter(stream.readline, b""):
            text = line.decode(errors="replace")
            kept.append(text)
            if is_seen:
                try:
                    sys.stderr.write(text)
                    sys.stderr.flush()
                except OSError:
                    # Nobody reads ours any more; the command would hang on a pipe that nobody empties.
                    is_seen = False


@contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass signals on to the process as SIGINT, for which Terraform stops in order; yield those received."""
    received: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        received.append(number)
        if len(received) == 1:
            _say("\nTerraform finishes what is under way and writes the state down. Once more ends it at once.\n")
        if process.poll() is None:
            process.send_signal(signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may say what a signal does.
        yield received
        return
    numbers = [getattr(signal, name) for name in END_SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    # Not through sys.stderr: a signal may come while its lock is held. Where nobody reads it, the signal still counts.
    with suppress(OSError):
        os.write(2, text.encode())
