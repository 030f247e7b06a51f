"""A report as JSON, version 1, for programs and inside the page; docs/reference/report.md has the fields."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from statistics import median

from .model import PHASES, Electron, Items, MachineHours, Report, Span, TaskAttempt

VERSION = 1
# Milliseconds, as the trace has them; what users gave, such as prices and results, stays as it is
DIGITS = 3
# So many electrons are named whose items or attempts are left out
NAMED = 3
_ROUNDED = (Electron, Items, MachineHours, Report, Span, TaskAttempt)


def document(
    report: Report, items: bool = True, most_items: int | None = None, most_attempts: int | None = None
) -> dict[str, object]:
    """Return a report as what JSON knows: finite numbers alone, and texts that UTF-8 can write.

    Args:
        items: whether maps have columns with their items; the sums of these are there all the same.
        most_items, most_attempts: in the whole document. Electrons with the most of them have only the sums then,
            and "left_out" says so.
    """
    items_of = {at: len(each.items.index) for at, each in enumerate(report.electrons) if each.items is not None}
    attempts_of = {at: len(each.attempts) for at, each in enumerate(report.electrons)}
    no_items = _largest(items_of, most_items) if items else set(items_of)
    no_attempts = _largest(attempts_of, most_attempts)
    electrons = [_electron(each, at not in no_items, at not in no_attempts) for at, each in enumerate(report.electrons)]
    left_out = [_left_out("items", items_of, no_items, report.electrons)] if items and no_items else []
    left_out += [_left_out("attempts", attempts_of, no_attempts, report.electrons)] if no_attempts else []
    return {
        "version": VERSION,
        **_fields(report, {"electrons"}),
        "seconds": _plain(report.seconds, DIGITS),
        "phases": phase_seconds(attempt for each in report.electrons for attempt in each.attempts),
        "electrons": electrons,
        "left_out": left_out,
    }


def _largest(counts: Mapping[int, int], most: int | None) -> set[int]:
    """The largest of these, so that no more than `most` are left without them."""
    left, found = sum(counts.values()), set()
    for at in sorted(counts, key=lambda each: -counts[each]):
        if most is None or left <= most:
            break
        left -= counts[at]
        found.add(at)
    return found


def _left_out(what: str, counts: Mapping[int, int], where: set[int], electrons: Sequence[Electron]) -> str:
    titles = [electrons[at].title for at in sorted(where)]
    more = f" and {len(titles) - NAMED} more electrons" if len(titles) > NAMED else ""
    return writable(f"{sum(counts[at] for at in where):,} {what} of {', '.join(titles[:NAMED])}{more}")


def _electron(electron: Electron, with_items: bool, with_attempts: bool) -> dict[str, object]:
    return {
        **_fields(electron, {"items", "attempts"}),
        "machine_seconds": _plain(electron.machine_seconds, DIGITS),
        "phases": phase_seconds(electron.attempts),
        "attempt_ends": _plain(Counter(attempt.end for attempt in electron.attempts)),
        "attempts": [_plain(attempt) for attempt in electron.attempts] if with_attempts else None,
        "items": None if electron.items is None else _items(electron.items, with_items),
    }


def _items(items: Items, with_columns: bool) -> dict[str, object]:
    took = [each for each in items.took if math.isfinite(each)]
    sums = {"sum": sum(took), "shortest": min(took), "median": median(took), "longest": max(took)} if took else None
    return {
        "total": items.total,
        "ran": len(items.index),
        "ends": _plain(Counter(items.end)),
        "seconds": _plain(sums, DIGITS),
        **(_fields(items, {"total"}) if with_columns else {}),
    }


def phase_seconds(attempts: Iterable[TaskAttempt]) -> dict[str, float]:
    """The seconds in each phase, in order, without those that took no time."""
    seconds = dict.fromkeys(PHASES, 0.0)
    for attempt in attempts:
        for span in attempt.spans:
            if math.isfinite(span.seconds):
                seconds[span.phase] += span.seconds
    return {phase: round(each, DIGITS) for phase, each in seconds.items() if each}


def _fields(value: object, leave_out: set[str]) -> dict[str, object]:
    """The fields of one of the model's values, with a price's dollars."""
    digits = DIGITS if isinstance(value, _ROUNDED) else None
    names = (name for name in _names(type(value)) if name not in leave_out)  # type: ignore[arg-type]
    found = {name: _plain(getattr(value, name), digits) for name in names}
    return {**found, "dollars": _plain(value.dollars)} if isinstance(value, MachineHours) else found


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in dataclasses.fields(kind))


def _plain(value: object, digits: int | None = None) -> object:
    """A value as what JSON knows."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return None if not math.isfinite(value) else value if digits is None else round(value, digits)
    if isinstance(value, str):
        return value if value.isascii() else writable(value)
    if isinstance(value, (tuple, list)):
        return [_plain(each, digits) for each in value]
    if isinstance(value, Span):
        return [value.phase, _plain(value.begin, DIGITS), _plain(value.end, DIGITS)]
    if dataclasses.is_dataclass(value):
        return _fields(value, set())
    if isinstance(value, Mapping):
        return {writable(str(name)): _plain(each, digits) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_plain(each, digits) for each in value]
    return writable(str(value))


def writable(text: str) -> str:
    """A text that UTF-8 can write: half of a surrogate pair is written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
