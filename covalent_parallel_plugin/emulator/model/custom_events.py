"""Read the status events that a task writes into its log.

Source: "Configure custom status events to describe runnables" in Batch's documentation: a structured log, with the
event's text in the field `batch/custom/event`. The name of the event's type is not documented there.
"""

from __future__ import annotations

import json

from ...protocol.ending_event import CUSTOM_EVENT, HAS_FAILED
from .job_states import StatusEvent

KIND = "RUNNABLE_CUSTOM_EVENT"


def read_custom_event(line: str, now: float) -> StatusEvent | None:
    """Return the event that a line of a task's output asks for, None if it is another line; `now` is its time."""
    if CUSTOM_EVENT not in line:
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    text = entry.get(CUSTOM_EVENT) if isinstance(entry, dict) else None
    if not isinstance(text, str) or not text:
        return None
    has_failed = entry.get(HAS_FAILED)
    return StatusEvent(now, text, kind=KIND, has_failed=has_failed if isinstance(has_failed, bool) else None)
