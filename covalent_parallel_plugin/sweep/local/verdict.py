"""Decide what a program's end makes of its task: pure functions."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

from ..records.journal import Status
from .interfaces import ProgramEnd

StopReason = Literal["timeout", "idle", "cancelled"]


@dataclass(frozen=True)
class AttemptVerdict:
    """What became of an attempt: the fields of `TaskEnd` that the program's end decides."""

    status: Status
    exit: int | None
    signal: int | None
    reason: str


def judge_end(end: ProgramEnd, stopped: StopReason | None, stop_text: str = "") -> AttemptVerdict:
    """Return the verdict on a program; `stopped` is why it was ended, None if it ended by itself."""
    if stopped is not None:
        number = ending_signal(end.exit_code)
        return AttemptVerdict(stopped, None if end.refused else end.exit_code, number, stop_text)
    if end.refused:
        return AttemptVerdict("refused", None, None, end.refused)
    if end.lost:
        return AttemptVerdict("lost", None, None, end.lost)
    number = ending_signal(end.exit_code)
    if end.is_out_of_memory and number == signal.SIGKILL:
        return AttemptVerdict("killed", end.exit_code, number, "out of memory: raise memory")
    if number is not None:
        return AttemptVerdict("killed", end.exit_code, number, f"killed by signal {number} ({signal_name(number)})")
    if end.exit_code:
        # a process that it started was killed
        memory = ", and it ran out of memory: raise memory" if end.is_out_of_memory else ""
        return AttemptVerdict("failed", end.exit_code, None, f"exit status {end.exit_code}{memory}")
    return AttemptVerdict("done", 0, None, "")


def ending_signal(exit_code: int) -> int | None:
    """Return the signal that an exit status above 128 stands for, as shells and engines report it."""
    try:
        return int(signal.Signals(exit_code - 128)) if exit_code > 128 else None
    except ValueError:
        return None


def signal_name(number: int) -> str:
    """Return a signal's name."""
    return signal.Signals(number).name
