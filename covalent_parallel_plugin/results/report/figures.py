"""The figures at the top of a report, and its sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .charts.load import Load
from .charts.words import counted, duration, hours, percent
from .costs import dollars_text, prices_text
from .model import CODE, FAILED, LOST, NOT_RUN, RUNNING, SERVICE, SWEEP, WAITS, Electron, Report, TaskAttempt
from .traced_attempts import TAKEN_AWAY


@dataclass(frozen=True)
class Figure:
    """A figure with its words; `strong` is a part of them that stands out."""

    value: str
    words: str
    strong: str = ""


def figures(report: Report, load: Load | None) -> list[Figure]:
    """Return those that are known."""
    attempts = [attempt for electron in report.electrons for attempt in electron.attempts]
    found = []
    if report.seconds is not None:
        found.append(
            Figure(duration(report.seconds), "since the dispatch" if report.is_running else "from dispatch to end")
            if report.kind == "dispatch"
            else Figure(duration(report.seconds), "since it began" if report.is_running else "from begin to end")
        )
    used = sum(attempt.machine_seconds for attempt in attempts)
    if used:
        code = sum(attempt.seconds(CODE) for attempt in attempts if attempt.on_machine is not None)
        found.append(Figure(hours(used), "machine-hours, in your code: ", percent(min(code, used), used)))
    cost = total_dollars(report)
    if cost is not None:
        found.append(Figure(dollars_text(cost), _price_words(report)))
    if attempts:
        found.append(_attempts(attempts))
    items = _items(report.electrons)
    if items is not None:
        found.append(items)
    if load is not None:
        found.append(
            Figure(f"{load.machines:,}", "machine at a time" if load.machines == 1 else "machines at a time, at most")
        )
    return found


def total_dollars(report: Report) -> float | None:
    """Return what the machines cost that have a price; None if none has one."""
    known = [each.dollars for each in report.machines if each.dollars is not None]
    return sum(known) if known else None


def _price_words(report: Report) -> str:
    """Say which prices these are, and which machines have none."""
    prices = [each.price for each in report.machines if each.price is not None]
    without = [each for each in report.machines if each.price is None]
    hours_without = hours(sum(each.seconds for each in without))
    return prices_text(prices) + (f"; no price for {hours_without} machine-hours" if without else "")


def counts_text(report: Report) -> str:
    """Say how many electrons or tasks of a sweep ended how."""
    statuses = report.results.statuses if report.results is not None else ()
    if isinstance(counts := report.facts.get("counts") or Counter(statuses), Mapping) and counts:
        return ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
    electrons = [each for each in report.electrons if each.kind not in (SERVICE, SWEEP)]
    if not electrons:
        return ""
    states = [each.state for each in electrons]
    parts = [
        (states.count(FAILED), "failed"), (states.count(RUNNING), "running"), (states.count(WAITS), "waiting"),
        (states.count(NOT_RUN), "not run"),
    ]  # fmt: skip
    told = ", ".join(f"{count:,} {word}" for count, word in parts if count)
    return counted(len(electrons), "electron") + (f": {told}" if told else "")


def _attempts(attempts: Sequence[TaskAttempt]) -> Figure:
    away = [each for each in attempts if each.end in TAKEN_AWAY]
    lost = sum(each.seconds(LOST) for each in away)
    taken = f", {len(away):,} of which lost the machine ({duration(lost)} of work)" if away else ""
    return Figure(f"{len(attempts):,}", ("attempt" if len(attempts) == 1 else "attempts") + taken)


def _items(electrons: Sequence[Electron]) -> Figure | None:
    """Count the items that returned a value, each once, and those that ended otherwise."""
    values = others = total = 0
    is_total_known = True
    for items in (electron.items for electron in electrons):
        if items is None:
            continue
        good = items.returned
        values += len(good)
        others += len(set(items.index) - good)
        is_total_known &= items.total is not None
        total += items.total or len(set(items.index))
    if not total:
        return None
    count = f"{values:,} of {total:,}" if is_total_known else f"{values:,}"
    return Figure(count, "items returned" + (f", {others:,} did not" if others else ""))
