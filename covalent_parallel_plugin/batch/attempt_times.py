"""When an attempt of a task went through its phases, put in order: they come from three clocks. Pure."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from ..cloud.job_status import Event

# In the order in which they come: of this process's clock, of Batch's, of the machine's, and of the first two again
DISPATCHED = ("entered", "staged", "submitted")
PLACED = ("scheduled", "running")
MEASURED = ("began", "fetched", "installed", "ran_from", "ran_to", "delivered")
ENDED_AT = "ended"
COLLECTED = "collected"
TIMES = (*DISPATCHED, *PLACED, *MEASURED, ENDED_AT, COLLECTED)
DECIMALS = 3


def ordered_times(times: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return all `TIMES`, seconds since 1970, in order and between the first and the last of this process's own.

    This process's times are right by definition. Batch's are moved between them. The machine's are moved together, so
    that phases stay as long as they were, by as little as has them between the task's start and its end, or what was
    collected where that is too short; only phases that are longer than all of it are cut. What was not seen, or is no
    finite number, is None.
    """
    seen = {name: float(value) for name in TIMES if is_time(value := times.get(name))}
    _raise_to_order(seen, (*DISPATCHED, COLLECTED))
    low = _latest(seen, DISPATCHED, -math.inf)
    high = _latest(seen, (COLLECTED,), math.inf)
    for name in (*PLACED, ENDED_AT):
        _move(seen, name, low, high)
    _raise_to_order(seen, (*PLACED, ENDED_AT))
    _fit_measured(seen, low, high)
    _raise_to_order(seen, TIMES)
    return rounded({name: seen.get(name) for name in TIMES})


def _fit_measured(seen: dict[str, float], low: float, high: float) -> None:
    """Move the machine's times together; where Batch reported late that the task runs, those before them as well."""
    names = [name for name in MEASURED if name in seen]
    if not names:
        return
    _raise_to_order(seen, names)
    first, last = seen[names[0]], seen[names[-1]]
    start = max(_latest(seen, PLACED, low), low)
    if seen.get(ENDED_AT, -math.inf) - start >= last - first:
        high = seen[ENDED_AT]
    # As late as the task may have started to have its phases end in time
    start = min(start, max(high - (last - first), low))
    for name in PLACED:
        _move(seen, name, low, start)
    shift = max(start - first, min(0.0, high - last))
    for name in names:
        seen[name] = min(max(seen[name] + shift, start), high)


def rounded(times: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return times as a trace has them."""
    return {name: None if seconds is None else round(seconds, DECIMALS) for name, seconds in times.items()}


def _move(seen: dict[str, float], name: str, low: float, high: float) -> None:
    if name in seen:
        seen[name] = min(max(seen[name], low), high)


def _raise_to_order(seen: dict[str, float], names: Iterable[str]) -> None:
    """Have none of these before one that precedes it."""
    latest = -math.inf
    for name in names:
        if name in seen:
            if seen[name] < latest:
                seen[name] = latest
            latest = seen[name]


def _latest(seen: Mapping[str, float], names: Iterable[str], default: float) -> float:
    found = [seen[name] for name in names if name in seen]
    return max(found) if found else default


def is_time(value: object) -> TypeGuard[float]:
    """Whether it is a finite number."""
    return type(value) in (float, int) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]  # it is one


@dataclass(frozen=True, slots=True)
class BatchAttempt:
    """One attempt of a task as Batch's events report it; times in seconds since 1970, None if no event has it.

    Attributes:
        number: 0 for the first one.
        state: the last one that it was in.
        exit_code: where it failed with one.
        zone, instance: of its machine, "" where unknown.
    """

    number: int
    state: str = ""
    scheduled: float | None = None
    running: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    zone: str = ""
    instance: str = ""

    @property
    def has_started(self) -> bool:
        """Whether it had a machine."""
        return self.scheduled is not None or self.running is not None


# "Task state is updated from RUNNING to FAILED on zones/Z/instances/I with exit code 125."
_CHANGE = re.compile(r"Task state is updated from (\w+) to (\w+)")
_MACHINE = re.compile(r"\bzones/([^/\s]+)/instances/([^/\s]+)")
_ENDED = ("SUCCEEDED", "FAILED")


def task_attempts(events: Iterable[Event]) -> list[BatchAttempt]:
    """Return a task's attempts in order, from its events in order of time; those that only waited are left out."""
    attempts: list[BatchAttempt] = []
    for event in events:
        change = _CHANGE.search(event.description)
        if change is None:
            continue
        state = change[2]
        is_open = bool(attempts) and attempts[-1].ended is None and attempts[-1].state not in _ENDED
        if state in ("PENDING", "UNEXECUTED"):
            if is_open:
                # Its machine was gone before it ran.
                attempts[-1] = replace(attempts[-1], state=state, ended=event.seconds)
            continue
        if not is_open or (state == "ASSIGNED" and attempts[-1].has_started):
            attempts.append(BatchAttempt(len(attempts)))
        attempts[-1] = _after(attempts[-1], state, event)
    return attempts


def _after(attempt: BatchAttempt, state: str, event: Event) -> BatchAttempt:
    machine = _MACHINE.search(event.description)
    if machine is not None:
        attempt = replace(attempt, zone=machine[1], instance=machine[2].rstrip("."))
    if state == "ASSIGNED":
        return replace(attempt, state=state, scheduled=event.seconds)
    if state == "RUNNING":
        return replace(attempt, state=state, running=event.seconds)
    if state in _ENDED:
        return replace(attempt, state=state, ended=event.seconds, exit_code=event.exit_code)
    return replace(attempt, state=state)
