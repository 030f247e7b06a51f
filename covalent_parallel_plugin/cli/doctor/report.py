"""Results of checks, as lines for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from ... import __version__
from ...settings import OPTIONS
from ..exit_statuses import DONE, FAILED
from .checks.configuration import NAMES_ONLY
from .phases import Phase
from .results import ERROR, OK, SKIPPED, STATUSES, WARNING, CheckResult
from .setup import Setup

# Raised when a field changes its meaning or goes away; new ones may come without
JSON_VERSION = 1
STYLES = {OK: "green", WARNING: "yellow", ERROR: "bold red", SKIPPED: "dim"}


def shown_results(results: Sequence[CheckResult], is_all: bool) -> list[CheckResult]:
    """Return the results that are printed, in this order: errors, warnings and, with `--all`, the rest."""
    statuses = (ERROR, WARNING, SKIPPED, OK) if is_all else (ERROR, WARNING)
    return [result for status in statuses for result in results if result.status == status]


def lines(results: Sequence[CheckResult]) -> Iterator[Text]:
    """Yield each result: status, name and what was found; below it details and the remedy."""
    width = max((len(result.name) for result in results), default=0)
    for result in results:
        line = Text()
        line.append(f"{result.status:<8}", STYLES[result.status])
        line.append(f" {result.name:<{width}}  ", "bold" if result.status in (ERROR, WARNING) else "")
        line.append(result.found, "dim" if result.status == SKIPPED else "")
        yield line
        for detail in result.details:
            yield Text(f"{'':<9}{detail}", "" if result.status in (ERROR, WARNING) else "dim")
        if result.remedy and result.status in (ERROR, WARNING):
            remedy = Text(f"{'':<9}fix: ", "bold")
            remedy.append(result.remedy, "cyan")
            yield remedy


def phase_lines(phases: Sequence[Phase]) -> Iterator[Text]:
    """Yield one line for each phase."""
    for phase in phases:
        seconds = "not seen" if phase.seconds is None else f"{phase.seconds:8.2f} s"
        line = Text(f"{'':<9}{phase.name:<10} {seconds:>10}  ")
        line.append(phase.meaning, "dim")
        yield line


def summary(results: Sequence[CheckResult], is_all: bool) -> str:
    """Return how many there are of each status, and the option that shows those that were not shown."""
    counts = _counts(results)
    text = ", ".join(
        f"{counts[status]} {status}{'s' if status in (WARNING, ERROR) and counts[status] != 1 else ''}"
        for status in (ERROR, WARNING, OK, SKIPPED)
        if counts[status]
    )
    return text if is_all or not (counts[OK] or counts[SKIPPED]) else f"{text} (--all shows each check)"


def exit_status(results: Sequence[CheckResult]) -> int:
    """Return 1 if anything is wrong, else 0: warnings do not count."""
    return FAILED if any(result.status == ERROR for result in results) else DONE


def as_json(results: Sequence[CheckResult], setup: Setup, phases: Sequence[Phase]) -> str:
    """Return everything. Options that may be passwords have no values; names of checks and fields are stable."""
    worst = next((status for status in (ERROR, WARNING) if _counts(results)[status]), OK)
    content: dict[str, Any] = {
        "version": JSON_VERSION,
        "plugin": __version__,
        "status": worst,
        "counts": _counts(results),
        "configuration": {
            "path": str(setup.file.path),
            "options": {name: _option(setup, name) for name in OPTIONS},
        },
        "checks": [
            {
                "name": result.name,
                "status": result.status,
                "found": result.found,
                "remedy": result.remedy,
                "details": list(result.details),
                "seconds": round(result.seconds, 3),
            }
            for result in results
        ],
        "phases": [{"name": phase.name, "seconds": phase.seconds} for phase in phases],
    }
    return json.dumps(content, indent=2, default=str)


def _option(setup: Setup, name: str) -> dict[str, Any]:
    value = setup.values[name]
    if name in NAMES_ONLY and isinstance(value, dict):
        value = dict.fromkeys(value, "...")
    return {"value": value, "source": setup.sources[name]}


def _counts(results: Sequence[CheckResult]) -> dict[str, int]:
    return {status: sum(result.status == status for result in results) for status in STATUSES}
