"""What a task measured of its attempt, as the header of what it delivered says; what makes no sense is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..batch import trace_ends
from ..batch.attempt_records import Measured
from ..batch.attempt_times import MEASURED
from ..protocol.envelope import EXCEPTION, ITEMS, KILLED, REFUSED, VALUE

_ENDS = {VALUE: trace_ends.VALUE, EXCEPTION: trace_ends.EXCEPTION, REFUSED: trace_ends.REFUSED}
_REASONS = {"time_limit": trace_ends.TIME_LIMIT, "terminated": trace_ends.TERMINATED}
# Nothing is worth more of this, whatever a task says: more bytes than any machine has, and more text than any name
LARGEST = 2**63
LONGEST_TEXT = 200


def measured_of(header: Mapping[str, Any]) -> Measured:
    """Return what a header says of its attempt."""
    attempt, times, machine = (header.get(name) for name in ("attempt", "times", "machine"))
    times = times if isinstance(times, dict) else {}
    machine = machine if isinstance(machine, dict) else {}
    peak = header.get("peak_memory_bytes")
    return Measured(
        attempt=attempt if type(attempt) is int and 0 <= attempt < LARGEST else 0,
        end=end_of(header),
        times={name: float(times[name]) for name in MEASURED if is_number(times.get(name))},
        cpu_seconds=header["cpu_seconds"] if is_number(header.get("cpu_seconds")) else None,
        peak_memory_bytes=peak if type(peak) is int and 0 < peak < LARGEST else None,
        machine={name: value for name, value in machine.items() if _is_told(name, value)},
    )


def end_of(header: Mapping[str, Any]) -> str:
    """Return how an attempt ended; of a map's task, whether all of its items did."""
    kind = header.get("outcome")
    if kind == KILLED:
        reason = header.get("reason")
        return _REASONS.get(reason, trace_ends.KILLED) if isinstance(reason, str) else trace_ends.KILLED
    if kind == ITEMS:
        ended = header.get("ended")
        return end_of(ended) if isinstance(ended, dict) and ended.get("outcome") != ITEMS else trace_ends.VALUE
    return _ENDS.get(kind, "") if isinstance(kind, str) else ""


def is_number(value: object) -> bool:
    """Whether it is a finite number from 0 on."""
    return type(value) in (int, float) and 0 <= value < LARGEST  # type: ignore[operator]  # it is one


def _is_told(name: object, value: object) -> bool:
    if name == "spot":
        return isinstance(value, bool)
    return name in ("type", "zone", "instance") and isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT
