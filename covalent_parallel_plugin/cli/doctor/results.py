"""What a check says: its status, what was found, and what mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

OK = "ok"
WARNING = "warning"
ERROR = "error"
SKIPPED = "skipped"
STATUSES = (OK, WARNING, ERROR, SKIPPED)


@dataclass(frozen=True)
class Judged:
    """A judgement.

    Attributes:
        status: one of STATUSES.
        found: what was found, one sentence or part of one.
        remedy: the command or edit that mends it; always there with a warning or an error.
        details: further lines.
        facts: what other checks go on with; None if it is not known.
        blocks: whether, with an error or skipped, what rests on this check is not looked at.
    """

    status: str
    found: str
    remedy: str = ""
    details: Sequence[str] = ()
    facts: Any = field(default=None, repr=False, compare=False)
    blocks: bool = True

    @property
    def has_failed(self) -> bool:
        """Whether what rests on this check cannot be looked at."""
        return self.status in (ERROR, SKIPPED) and self.blocks


@dataclass(frozen=True)
class Finding:
    """A judgement with its check's name, and how long the check took."""

    name: str
    judged: Judged
    seconds: float = 0.0

    @property
    def status(self) -> str:
        return self.judged.status


def ok(found: str, facts: Any = None, details: Sequence[str] = ()) -> Judged:
    return Judged(OK, found, facts=facts, details=details)


def warning(found: str, remedy: str, facts: Any = None, details: Sequence[str] = ()) -> Judged:
    return Judged(WARNING, found, remedy, details, facts)


def error(found: str, remedy: str, facts: Any = None, details: Sequence[str] = (), blocks: bool = True) -> Judged:
    return Judged(ERROR, found, remedy, details, facts, blocks)


def skipped(why: str, blocks: bool = True) -> Judged:
    return Judged(SKIPPED, why, blocks=blocks)
