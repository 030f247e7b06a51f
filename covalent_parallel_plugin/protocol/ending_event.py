"""The line by which a task reports how its electron ended: Batch makes a status event of it.

Source: "Configure custom status events to describe runnables" in Batch's documentation: a structured task log with
the field `batch/custom/event`.
"""

from __future__ import annotations

import json

CUSTOM_EVENT = "batch/custom/event"
# Of the electron's job: Batch calls a job SUCCEEDED whose electron raised, since its outcome was delivered
HAS_FAILED = "covalent-parallel/electron-failed"
# The ends of the texts of electrons that did not fail
SUCCESSES = RETURNED, RAN_ITEMS = ("returned a value", "ran its items")


def ending_line(text: str, has_failed: bool) -> str:
    """Return the line, with its line end."""
    severity = "ERROR" if has_failed else "INFO"
    return json.dumps({"severity": severity, "message": text, CUSTOM_EVENT: text, HAS_FAILED: has_failed}) + "\n"


def reports_failure(text: str) -> bool:
    """Whether the text of a status event is that of an electron that failed."""
    return text.startswith("electron ") and not text.endswith(SUCCESSES)
