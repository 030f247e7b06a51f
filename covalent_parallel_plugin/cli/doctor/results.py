"""The result of a check: its status, what was found, and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

OK = "ok"
WARNING = "warning"
ERROR = "error"
SKIPPED = "skipped"
STATUSES = (OK, WARNING, ERROR, SKIPPED)


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        status: one of STATUSES.
        found: one sentence or part of one.
        remedy: the command or edit that helps; always there with a warning or an error.
        details: further lines.
        facts: what other checks go on with; None if it is not known.
        blocks: whether, with an error or skipped, what rests on this check is not looked at.
        name, seconds: the check's name, and how long it took.
    """

    status: str
    found: str
    remedy: str = ""
    details: Sequence[str] = ()
    facts: Any = field(default=None, repr=False, compare=False)
    blocks: bool = True
    name: str = ""
    seconds: float = 0.0

    @property
    def has_failed(self) -> bool:
        """Whether what rests on this check cannot be looked at."""
        return self.status in (ERROR, SKIPPED) and self.blocks


def ok(found: str, facts: Any = None, details: Sequence[str] = ()) -> CheckResult:
    return CheckResult(OK, found, facts=facts, details=details)


def warning(found: str, remedy: str, details: Sequence[str] = ()) -> CheckResult:
    return CheckResult(WARNING, found, remedy, details)


def error(found: str, remedy: str, facts: Any = None, details: Sequence[str] = (), blocks: bool = True) -> CheckResult:
    return CheckResult(ERROR, found, remedy, details, facts, blocks)


def skipped(why: str, blocks: bool = True) -> CheckResult:
    return CheckResult(SKIPPED, why, blocks=blocks)


def on_emulator(result: CheckResult) -> CheckResult:
    """Give the remedy of an emulator in place of one of Google's command or console, which know nothing of it."""
    if not any(
        word in result.remedy for word in ("gcloud ", "console.cloud.google.com", "console.developers.google.com")
    ):
        return result
    option = result.remedy.partition(" to ")[0] if result.remedy.startswith("set ") else ""
    remedy = "change the emulator's --known file, which says what exists and what is granted"
    return replace(result, remedy=f"{option} to another one, or {remedy}" if option else remedy)
