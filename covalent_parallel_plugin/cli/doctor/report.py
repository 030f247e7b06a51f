"""What was found, as lines for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from ... import __version__
from ...settings import OPTIONS
from .checks.configuration import NAMES_ONLY
from .phases import Phase
from .results import ERROR, OK, SKIPPED, STATUSES, WARNING, Finding
from .setup import Case

# Raised when a field changes its meaning or goes away; new ones may come without
JSON_VERSION = 1
STYLES = {OK: "green", WARNING: "yellow", ERROR: "bold red", SKIPPED: "dim"}


def lines(findings: Sequence[Finding]) -> Iterator[Text]:
    """Each finding: status, name and what was found; below it details and what mends it."""
    width = max((len(finding.name) for finding in findings), default=0)
    for finding in findings:
        judged = finding.judged
        line = Text()
        line.append(f"{judged.status:<8}", STYLES[judged.status])
        line.append(f" {finding.name:<{width}}  ", "bold" if finding.status in (ERROR, WARNING) else "")
        line.append(judged.found, "dim" if finding.status == SKIPPED else "")
        yield line
        for detail in judged.details:
            yield Text(f"{'':<9}{detail}", "" if finding.status in (ERROR, WARNING) else "dim")
        if judged.remedy and finding.status in (ERROR, WARNING):
            mend = Text(f"{'':<9}mend: ", "bold")
            mend.append(judged.remedy, "cyan")
            yield mend


def phase_lines(phases: Sequence[Phase]) -> Iterator[Text]:
    """One line for each phase."""
    for phase in phases:
        seconds = "not seen" if phase.seconds is None else f"{phase.seconds:8.2f} s"
        line = Text(f"{'':<9}{phase.name:<10} {seconds:>10}  ")
        line.append(phase.meaning, "dim")
        yield line


def summary(findings: Sequence[Finding]) -> str:
    """How many of each."""
    counts = _counts(findings)
    return ", ".join(
        f"{counts[status]} {status}{'s' if status in (WARNING, ERROR) and counts[status] != 1 else ''}"
        for status in STATUSES
        if counts[status]
    )


def exit_status(findings: Sequence[Finding]) -> int:
    """1 if anything is wrong, else 0: warnings do not count."""
    return int(any(finding.status == ERROR for finding in findings))


def as_json(findings: Sequence[Finding], case: Case, phases: Sequence[Phase]) -> str:
    """All of it. Values of options that may be passwords are left out; names of checks and fields are stable."""
    worst = next((status for status in (ERROR, WARNING) if _counts(findings)[status]), OK)
    content: dict[str, Any] = {
        "version": JSON_VERSION,
        "plugin": __version__,
        "status": worst,
        "counts": _counts(findings),
        "configuration": {
            "path": str(case.file.path),
            "options": {name: _option(case, name) for name in OPTIONS},
        },
        "checks": [
            {
                "name": finding.name,
                "status": finding.status,
                "found": finding.judged.found,
                "remedy": finding.judged.remedy,
                "details": list(finding.judged.details),
                "seconds": round(finding.seconds, 3),
            }
            for finding in findings
        ],
        "phases": [{"name": phase.name, "seconds": phase.seconds} for phase in phases],
    }
    return json.dumps(content, indent=2, default=str)


def _option(case: Case, name: str) -> dict[str, Any]:
    value = case.values[name]
    if name in NAMES_ONLY and isinstance(value, dict):
        value = dict.fromkeys(value, "...")
    return {"value": value, "source": case.sources[name]}


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    return {status: sum(finding.status == status for finding in findings) for status in STATUSES}
