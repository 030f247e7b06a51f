"""Spot machines: where they would have cost less, and where they cost more than they saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ....batch.trace_ends import LOST as LOST_END
from ....batch.trace_ends import PREEMPTED
from ....settings.machine_rules import region_of
from ..model import SWEEP, Electron, Price, Report, Suggestion, TaskAttempt
from .grouping import attempts_of, by_request, is_on_chain, tasks_of
from .thresholds import Thresholds
from .wording import machine_hours, options, title_of, titles

# https://cloud.google.com/compute/docs/instances/spot: 60 to 91 % less
LEAST_DISCOUNT = 0.6
DISCOUNTS = "60 to 91 % less, says Google"
# Of a machine: its type, region, and GPUs that are attached
Kind = tuple[str, str, str, int]


def spot(report: Report, limits: Thresholds) -> Iterator[Suggestion]:
    """Suggest Spot machines, or none."""
    groups = by_request(report)
    yield from _more(report, [electron for group in groups for electron in group], limits)
    for group in groups:
        yield from _less(report, group, limits)


def _more(report: Report, electrons: Sequence[Electron], limits: Thresholds) -> Iterator[Suggestion]:
    able = [electron for electron in electrons if _may_be_spot(electron, limits)]
    attempts = attempts_of(able)
    seconds = sum(attempt.machine_seconds for attempt in attempts)
    if not able or seconds < limits.spot_machine_seconds:
        return
    longest = max(attempt.machine_seconds for attempt in attempts)
    yield Suggestion(
        "spot",
        f"{titles(able)} ran on standard machines",
        f"No attempt took more than {machine_hours(longest).removesuffix(' of machines')}, so a Spot machine that is"
        f" taken away costs little work. Spot machines cost {DISCOUNTS}.",
        options(able[0], spot=True, spot_fallback=True, retries=5),
        f"{machine_hours(seconds)} at the price of Spot machines{_saved_dollars(report, able)}",
        machine_seconds=seconds * LEAST_DISCOUNT,
        nodes=tuple(electron.node for electron in able),
    )


def _may_be_spot(electron: Electron, limits: Thresholds) -> bool:
    asked = electron.asked
    return (
        asked.spot is False
        and asked.provisioning in ("", "STANDARD")
        and not any(attempt.machine.spot for attempt in electron.attempts)
        and all(attempt.machine_seconds <= limits.spot_attempt_seconds for attempt in electron.attempts)
    )


def _saved_dollars(report: Report, electrons: Sequence[Electron]) -> str:
    """What Spot machines of the same kind would have saved, where both prices are known of all of them."""
    prices = _dollars_per_second(report)
    saved = 0.0
    for electron in electrons:
        for attempt in electron.attempts:
            standard, less = prices.get(_machine_of(electron, attempt), (None, None))
            if standard is None or less is None:
                return ""
            saved += attempt.machine_seconds * (standard - less)
    return f", about ${saved:.2f} less" if saved >= 0.01 else ""


def _less(report: Report, group: Sequence[Electron], limits: Thresholds) -> Iterator[Suggestion]:
    attempts = [attempt for attempt in attempts_of(group) if attempt.machine.spot]
    lost = [attempt for attempt in attempts if _is_lost(attempt)]
    whole = sum(attempt.machine_seconds for attempt in attempts)
    lost_seconds = sum(attempt.machine_seconds for attempt in lost)
    # In time of standard machines: what the Spot machines cost, less what was worth something of their time
    more = whole * (1 - _discount(report, group)) - (whole - lost_seconds)
    if lost_seconds < limits.spot_lost_machine_seconds or more <= 0:
        return
    times = [
        sum(attempt.machine_seconds for attempt in electron.attempts if attempt.machine.spot and _is_lost(attempt))
        for electron in group
        if is_on_chain(report, electron) and tasks_of(electron) == 1
    ]
    yield Suggestion(
        "spot-lost",
        f"{title_of(group)} lost more on Spot machines than they saved",
        f"{machine_hours(lost_seconds)} of {machine_hours(whole)} went with {len(lost)} machines that were taken away,"
        f" and Spot machines cost {DISCOUNTS}."
        + ("" if group[0].kind == SWEEP else " With checkpoint=True less is lost."),
        options(group[0], spot=False, spot_fallback=False),
        f"{machine_hours(lost_seconds)} of Spot machines a run",
        seconds=sum(times) if report.chain else max(times, default=0.0),
        machine_seconds=more,
        nodes=tuple(electron.node for electron in group),
    )


def _is_lost(attempt: TaskAttempt) -> bool:
    return attempt.end in (PREEMPTED, LOST_END)


def _discount(report: Report, electrons: Sequence[Electron]) -> float:
    """How much less these Spot machines cost: by all of their prices, else at least, as Google says."""
    prices = _dollars_per_second(report)
    kinds = {_machine_of(each, attempt) for each in electrons for attempt in each.attempts if attempt.machine.spot}
    both = [prices.get(kind, (None, None)) for kind in kinds]
    known = [1 - less / standard for standard, less in both if standard and less is not None]
    return min(known) if known and len(known) == len(both) else LEAST_DISCOUNT


def _machine_of(electron: Electron, attempt: TaskAttempt) -> Kind:
    asked, machine = electron.asked, attempt.machine
    region = region_of(machine.zone) if machine.zone else asked.region
    return machine.type, region, asked.gpu_type, asked.gpu_count if asked.gpu_type else 0


def _dollars_per_second(report: Report) -> dict[Kind, tuple[float | None, float | None]]:
    """The prices of a standard and of a Spot machine of each kind, as far as they are known."""
    found: dict[Kind, tuple[float | None, float | None]] = {}
    for row in report.machines:
        if row.spot is not None:
            kind = row.type, row.region, row.gpu_type, row.gpu_count
            standard, spot = (row.other_price, row.price) if row.spot else (row.price, row.other_price)
            known = found.get(kind, (None, None))
            found[kind] = _per_second(standard, known[0]), _per_second(spot, known[1])
    return found


def _per_second(price: Price | None, known: float | None) -> float | None:
    return known if price is None else price.dollars_per_hour / 3600
