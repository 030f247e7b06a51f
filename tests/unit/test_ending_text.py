"""How a task puts its electron's ending into one line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from covalent_parallel_plugin.protocol.ending_event import (
    CUSTOM_EVENT,
    HAS_FAILED,
    SUCCESSES,
    ending_line,
    reports_failure,
)
from covalent_parallel_plugin.runner.outcome_report import LONGEST_ENDING, ending_text


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({"outcome": "value"}, "returned a value"),
        ({"outcome": "exception", "exception": {"type": "E", "message": "a\nb"}}, "raised E: a"),
        ({"outcome": "exception", "exception": {"type": "E", "message": ""}}, "raised E"),
        ({"outcome": "exception", "exception": {"type": "E", "message": "\n \n"}}, "raised E"),
        (
            {"outcome": "exception", "exception": {"type": "E", "message": "x" * 999}},
            f"raised E: {'x' * LONGEST_ENDING}",
        ),
        ({"outcome": "refused", "message": "the workflow"}, "was not run: the workflow"),
        ({"outcome": "killed", "signal": 9, "exit_status": None, "reason": ""}, "was killed by signal 9"),
        ({"outcome": "killed", "signal": None, "exit_status": 3, "reason": ""}, "left Python with exit status 3"),
        ({"outcome": "killed", "signal": 9, "exit_status": None, "reason": "time_limit"}, "ran past its time_limit"),
        (
            {"outcome": "killed", "signal": 9, "exit_status": None, "reason": "", "out_of_memory_kills": 1},
            "was killed: it took more memory than it has",
        ),
        ({"outcome": "items"}, "ran its items"),
        (
            {"outcome": "items", "ended": {"outcome": "killed", "signal": 11, "exit_status": None, "reason": ""}},
            "was killed by signal 11",
        ),
    ],
)
def test_each_ending_has_its_text(header: dict[str, Any], text: str) -> None:
    assert ending_text(header) == text
    assert reports_failure(f"electron 'f' (node 1) {text}") == (text not in SUCCESSES)
    assert (text in SUCCESSES) == (header in ({"outcome": "value"}, {"outcome": "items"}))


def test_the_line_is_a_structured_log_entry_of_one_line() -> None:
    line = ending_line("electron 'ü' raised E: a\nb", has_failed=True)
    entry = json.loads(line)
    assert line.count("\n") == 1 and line.endswith("\n") and line.isascii()
    assert (entry[CUSTOM_EVENT], entry[HAS_FAILED], entry["severity"]) == ("electron 'ü' raised E: a\nb", True, "ERROR")
