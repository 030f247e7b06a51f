"""Derive a task's status from how its program ended: pure functions."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["done", "failed", "killed", "timeout", "idle", "no-result", "lost", "refused", "cancelled", "waiting"]
StopReason = Literal["timeout", "idle", "cancelled"]


@dataclass(frozen=True)
class TaskEnd:
    """How a task ended.

    Attributes:
        status: one of `Status` but "waiting".
        exit: its exit status, None where there was none.
        signal: the one that ended it.
        seconds: how long the last attempt took.
        attempts: all under this key, in earlier runs too, but for those that a kill of the run cut short.
        peak_mb: MB, None where unknown.
        machine: this host's name.
        started, ended: seconds since 1970, of the last attempt.
        reason: one sentence: why it is not done; "" if it is.
        result: what the program reported, an object; empty where it has none.
        left: names of links, sockets and devices that were left out.
    """

    status: Status
    exit: int | None
    signal: int | None
    seconds: float
    attempts: int
    peak_mb: float | None
    machine: str
    started: float
    ended: float
    reason: str = ""
    result: Mapping[str, Any] | None = None
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProgramEnd:
    """How a program ended, as far as its backend knows.

    Attributes:
        exit_code: 128 + signal where one killed it.
        refused: why it could not be started, "" if it was.
        lost: why its container or machine is gone, "" if it is not.
        is_out_of_memory: whether it was killed at its limit of memory.
        peak_mb: MB, None where unknown.
        cpu_seconds: its CPU time, None if unknown.
    """

    exit_code: int
    refused: str = ""
    lost: str = ""
    is_out_of_memory: bool = False
    peak_mb: float | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class AttemptVerdict:
    """The result of an attempt: the fields of `TaskEnd` that the program's end decides."""

    status: Status
    exit: int | None
    signal: int | None
    reason: str


def stop_text(stopped: StopReason | None, time_limit: float, idle_limit: float | None) -> str:
    """Return why a program was ended, "" if it ended by itself; limits in seconds."""
    texts: Mapping[StopReason | None, str] = {
        "timeout": f"ran longer than time_limit, {time_limit:g} s",
        "idle": f"printed nothing for idle_limit, {idle_limit or 0:g} s",
        "cancelled": "cancelled",
    }
    return texts.get(stopped, "")


def judge_end(end: ProgramEnd, stopped: StopReason | None, reason: str = "") -> AttemptVerdict:
    """Return the verdict on a program; `stopped` is why it was ended, None if it ended by itself, `reason` says so."""
    if stopped is not None:
        number = ending_signal(end.exit_code)
        return AttemptVerdict(stopped, None if end.refused else end.exit_code, number, reason)
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
