"""The line by which a task reports how its electron ended: Batch makes a status event of it.

Source: "Configure custom status events to describe runnables" in Batch's documentation: a structured task log with
the field `batch/custom/event`.
"""

from __future__ import annotations

import json
import re

CUSTOM_EVENT = "batch/custom/event"
# The electron's job: Batch calls a job SUCCEEDED whose electron raised, since its outcome was delivered
HAS_FAILED = "covalent-parallel/electron-failed"
# How electrons ended that did not fail; of a map that keeps exceptions in place of values, with this before it
SUCCESSES = RETURNED, RAN_ITEMS = ("returned a value", "ran its items")
_KEPT = r"(has errors in place of \d+ values, the first .*, and )?"
# The name is a text in quotes: so what an exception says is taken for nothing else
_SUCCESS = r"""electron ('([^'\\]|\\.)*'|"([^"\\]|\\.)*") \(node \d+\) (%s|%s%s)""" % (RETURNED, _KEPT, RAN_ITEMS)


def ending_line(text: str, has_failed: bool) -> str:
    """Return the line, with its line end."""
    severity = "ERROR" if has_failed else "INFO"
    return json.dumps({"severity": severity, "message": text, CUSTOM_EVENT: text, HAS_FAILED: has_failed}) + "\n"


def reports_failure(text: str) -> bool:
    """Whether the text of a status event is that of an electron that failed."""
    return text.startswith("electron ") and not reports_success(text)


def reports_success(text: str) -> bool:
    """Whether the text of a status event is that of an electron that did not fail."""
    return re.fullmatch(_SUCCESS, text, re.DOTALL) is not None
