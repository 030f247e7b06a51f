"""The phases of a task's attempts, from the times that its trace has: no gap between them, and none negative; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from ...batch.attempt_times import MEASURED, TIMES, is_time, ordered_times
from .model import BOOT, CODE, DELIVERY, IMAGE, LOST, PIP, UPLOAD, WAITING, Span

# What took no longer was no installation: pip was not called
PIP_SECONDS = 0.02
# The end of the year 9999, which the longest-lived of calendars here know
LATEST_SECONDS = 253_402_300_799.0
# Which phase begins at each of an attempt's times; of `fetched` see `marks`
BEGINS = {
    "submitted": WAITING, "scheduled": BOOT, "running": IMAGE, "began": IMAGE, "installed": IMAGE, "ran_from": CODE,
    "ran_to": DELIVERY, "delivered": DELIVERY, "ended": DELIVERY,
}  # fmt: skip


def plausible_time(value: object) -> float | None:
    """Return a time in seconds since 1970; None for what is none."""
    return float(value) if is_time(value) and 0 <= value <= LATEST_SECONDS else None


def plausible_times(found: object) -> dict[str, float]:
    """Return those of an attempt's times that are some, in order, whatever a trace's `t` holds."""
    if not isinstance(found, Mapping):
        return {}
    seen = {name: seconds for name in TIMES if (seconds := plausible_time(found.get(name))) is not None}
    if all(first <= second for first, second in pairwise(seen.values())):
        return seen
    return {name: seconds for name, seconds in ordered_times(seen).items() if seconds is not None}


def marks(times: Mapping[str, float], is_lost: bool, kept_until: float | None = None) -> list[tuple[float, str]]:
    """Return when which phase of an attempt begins, as far as that was seen.

    A phase that was not seen belongs to the one before it. Where nothing is known of what an attempt did on its
    machine, all of that is its code.

    Args:
        is_lost: its work had to be done again.
        kept_until: of the items that it ran until then the values are there.
    """
    is_known = any(name in times for name in MEASURED)
    found = []
    for name in TIMES:
        seconds, phase = times.get(name), BEGINS.get(name)
        if seconds is None:
            continue
        if name == "running" and not is_known:
            phase = CODE
        if name == "fetched" and times.get("installed", seconds) - seconds > PIP_SECONDS:
            phase = PIP
        if is_lost and phase == CODE:
            if kept_until is not None and kept_until > seconds:
                found += [(seconds, CODE), (kept_until, LOST)]
                continue
            phase = LOST
        if phase is not None and not (is_lost and name in ("ran_to", "delivered")):
            found.append((seconds, phase))
    return found


def spans_between(
    begin: float, end: float, found: Iterable[tuple[float, str]], first: str = UPLOAD
) -> tuple[Span, ...]:
    """Return the phases between two times: `first`, and what begins then at each mark; those outside are cut."""
    spans: list[Span] = []
    phase, since = first, begin
    for seconds, following in [*found, (end, "")]:
        at = min(max(seconds, since), max(begin, end))
        if following == phase:
            continue
        if at > since:
            spans.append(Span(phase, since, at))
        phase, since = following, at
    return tuple(spans)
