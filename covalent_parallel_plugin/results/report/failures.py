"""What a report says of each failure, with the command and the page that show more."""

from __future__ import annotations

from dataclasses import dataclass

from ...batch.failure_message import console_page
from ...sweep.display.printable import shown_command
from .charts.words import counted, short
from .model import FAILED, SWEEP, Electron, Report

# Of many failures the first ones are there in full
MOST_FAILURES = 50
_NAMED_ITEMS = 12


@dataclass(frozen=True)
class ShownFailure:
    """A failure: what failed, its error's class and message, its last lines; a command and an address, "" for none."""

    title: str
    error: str
    message: str
    last_lines: str
    command: str
    address: str


def failures(report: Report) -> list[ShownFailure]:
    """Return the failed electrons, and the maps with items that did not return; of a sweep its failed tasks."""
    if report.failed_tasks:
        return _tasks(report)
    found = [_failure(each, report) for each in report.electrons if each.failure is not None or each.state == FAILED]
    return found + [item for each in report.electrons for item in _items(each, report)]


def _failure(electron: Electron, report: Report) -> ShownFailure:
    failure = electron.failure
    texts = ("", "Its error is not known.", "") if failure is None else (
        failure.error, failure.message, failure.last_lines,
    )  # fmt: skip
    return ShownFailure(electron.title, *texts, _command(electron, report), console_page(electron.job))


def _tasks(report: Report) -> list[ShownFailure]:
    found = [
        ShownFailure(
            f"{each.name}{f' and {each.alike:,} more' if each.alike else ''}",
            each.ending,
            each.message,
            each.last_lines,
            each.command,
            "",
        )
        for each in report.failed_tasks
    ]
    count = report.facts.get("failed_tasks", 0)
    more = count - sum(1 + each.alike for each in report.failed_tasks) if isinstance(count, int) else 0
    if more > 0:
        command = shown_command(["covalent-parallel", "sweep", "status", short(report.id, 200), "--json"])
        found.append(ShownFailure(f"{counted(more, 'more task')}", "", "", "", command, ""))
    return found


def _items(electron: Electron, report: Report) -> list[ShownFailure]:
    """Return one for the items that did not return, where the map itself did."""
    if electron.items is None or electron.failure is not None or electron.state == FAILED:
        return []
    rows = zip(electron.items.index, electron.items.end, strict=True)
    good = electron.items.returned
    others = sorted({(index, end) for index, end in rows if index not in good and end})
    if not others:
        return []
    lines = [f"item {index}: {end}" for index, end in others[:_NAMED_ITEMS]]
    more = [f"and {len(others) - _NAMED_ITEMS:,} more"] if len(others) > _NAMED_ITEMS else []
    what = f"{counted(len(others), 'item')} did not return a value"
    return [ShownFailure(electron.title, what, "\n".join(lines + more), "", _command(electron, report), "")]


def _command(electron: Electron, report: Report) -> str:
    if electron.kind == SWEEP:
        return shown_command(["covalent-parallel", "sweep", "status", short(report.id, 200)])
    return shown_command(["covalent-parallel", "logs", short(report.id, 200), str(electron.node), "--both"])
