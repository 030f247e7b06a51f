"""The journal of a sweep: one JSON line per event, appended and flushed; the state of the sweep is derived from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["done", "failed", "killed", "timeout", "idle", "no-result", "lost", "refused", "cancelled", "waiting"]


@dataclass(frozen=True)
class TaskEnd:
    """How a task ended.

    Attributes:
        status: one of `Status` but "waiting".
        exit: its exit status, None where there was none.
        signal: that ended it.
        seconds: of the last attempt.
        attempts: all that were made under this key, in earlier runs too.
        peak_mb: MB, None where unknown.
        machine: this host's name.
        started, ended: seconds since 1970, of the last attempt.
        reason: one sentence: why it is not done; "" if it is.
        result: what the program reported, an object; empty where it has none.
        left: names of links, sockets and devices that were named and left.
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
