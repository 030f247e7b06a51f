"""How long each phase of a call took."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...cloud.batch import Event, JobStatus
from ...cloud.storage import StoredObject
from ...protocol.object_names import call_name, outcome_name

# Batch's texts, as "Job state is set from QUEUED to SCHEDULED for job J."
_STATE = re.compile(r"from (\w+) to (\w+)")


@dataclass(frozen=True)
class Phase:
    """One phase: its name, what happens in it, how long it took in seconds (None if that was not seen)."""

    name: str
    meaning: str
    seconds: float | None


@dataclass(frozen=True)
class Timestamps:
    """When things happened, in seconds since 1970; None where it was not seen.

    Clocks of three machines are mixed in these: differences below a second mean little on Google.
    """

    began: float
    staged: float | None = None
    submitted: float | None = None
    scheduled: float | None = None
    running: float | None = None
    started: float | None = None
    ended: float | None = None
    delivered: float | None = None
    collected: float | None = None
    cleaned: float | None = None


PHASES: tuple[tuple[str, str, str, str], ...] = (
    ("staged", "the call is written to the bucket", "began", "staged"),
    ("submitted", "Batch takes the job", "staged", "submitted"),
    ("queued", "Batch looks for a machine", "submitted", "scheduled"),
    ("scheduled", "the machine is made, and gets the image", "scheduled", "running"),
    ("started", "the container starts and reads the call", "running", "started"),
    ("ran", "the electron itself", "started", "ended"),
    ("delivered", "the outcome is written to the bucket", "ended", "delivered"),
    ("collected", "the job's end is seen, and the outcome read", "delivered", "collected"),
    ("cleaned", "the objects are deleted", "collected", "cleaned"),
)


def phases(timestamps: Timestamps) -> list[Phase]:
    """Return the phases in their order; a clock that lags behind another makes none of them negative."""
    found = []
    for name, meaning, start, end in PHASES:
        first, last = getattr(timestamps, start), getattr(timestamps, end)
        seconds = None if first is None or last is None else max(0.0, last - first)
        found.append(Phase(name, meaning, seconds))
    return found


def read_timestamps(
    began: float,
    job: JobStatus | None,
    objects: Sequence[StoredObject],
    seen: Mapping[str, object],
    collected: float | None,
    cleaned: float | None,
) -> Timestamps:
    """Put together what Batch, the bucket, the electron and this side report."""
    calls = [stored.created_seconds for stored in objects if stored.name == call_name(_folder(stored.name))]
    outcomes = [stored.created_seconds for stored in objects if stored.name == outcome_name(_folder(stored.name))]
    return Timestamps(
        began=began,
        staged=min(calls, default=None),
        submitted=job.created_seconds if job is not None else None,
        scheduled=_entered("SCHEDULED", job.events if job is not None else ()),
        running=_entered("RUNNING", job.events if job is not None else ()),
        started=_number(seen.get("started")),
        ended=_number(seen.get("ended")),
        delivered=max(outcomes, default=None),
        collected=collected,
        cleaned=cleaned,
    )


def _entered(state: str, events: Sequence[Event]) -> float | None:
    for event in events:
        match = _STATE.search(event.description)
        if match is not None and match[2] == state:
            return event.seconds
    return None


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
