"""The rows of a report's table of electrons, and what each of them cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .charts.words import dollars, duration, hours, item_duration, memory, short
from .model import (
    BOOT,
    CODE,
    COMPLETED,
    FAILED,
    IMAGE,
    LOST,
    PIP,
    RUNNING,
    SERVICE,
    WAITING,
    Electron,
    MachineHours,
    Price,
    Report,
    peak_of,
)  # fmt: skip
from .traced_attempts import TAKEN_AWAY

# From such a share of the memory asked for it is shown as nearly exceeded, and below the other as hardly used
HOT, COLD = 0.95, 0.25
_MARKS = {COMPLETED: ("ok", "✓"), FAILED: ("bad", "✕"), RUNNING: ("runs", "●")}


@dataclass(frozen=True)
class ShownState:
    """How a state is shown: a class, a mark, and the word."""

    kind: str
    mark: str
    word: str


@dataclass(frozen=True)
class Cell:
    """A cell of the table: its text, and the value that it is sorted by."""

    text: str
    value: float


@dataclass(frozen=True)
class ElectronRow:
    """A row of the table; `share` is how much of the memory asked for was used, in per cent."""

    electron: Electron
    state: ShownState
    attempts: Cell
    taken_away: int
    waited: Cell
    starting: Cell
    code: Cell
    memory: Cell
    share: int | None
    heat: str
    machine: str
    spot: str
    hours: Cell
    dollars: Cell


def state_of(state: str) -> ShownState:
    """Return how a state is shown."""
    kind, mark = _MARKS.get(state, ("dim", "–"))
    return ShownState(kind, mark, state or "not known")


def electron_rows(report: Report) -> list[ElectronRow]:
    """Return a row for each electron that did not run beside Covalent's server."""
    prices = prices_by_machine(report)
    return [_row(electron, prices) for electron in report.electrons if electron.kind != SERVICE]


def prices_by_machine(report: Report) -> Mapping[tuple[str, bool | None], Price]:
    """Return the prices that the report has, by type and provisioning model; one region's only, else none."""
    found: dict[tuple[str, bool | None], set[MachineHours]] = {}
    for each in report.machines:
        found.setdefault((each.type, each.spot), set()).add(each)
    prices = {key: {each.price for each in same} for key, same in found.items()}
    return {key: price for key, same in prices.items() if len(same) == 1 and (price := next(iter(same))) is not None}


def electron_dollars(electron: Electron, prices: Mapping[tuple[str, bool | None], Price]) -> float | None:
    """Return what an electron's machines cost; None if it had none, or one without a price."""
    parts = [
        attempt.machine_seconds / 3600 * price.dollars_per_hour
        if (price := prices.get((attempt.machine.type, attempt.machine.spot))) is not None
        else None
        for attempt in electron.attempts
        if attempt.on_machine is not None
    ]
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None


def _row(electron: Electron, prices: Mapping[tuple[str, bool | None], Price]) -> ElectronRow:
    attempts = electron.attempts
    peak = peak_of(attempts)
    asked, cost = electron.asked.memory_bytes, electron_dollars(electron, prices)
    share = peak / asked if peak is not None and asked else None
    code = sum(each.seconds(CODE) for each in attempts)
    return ElectronRow(
        electron,
        state_of(electron.state),
        Cell(f"{len(attempts):,}" if attempts else "–", len(attempts)),
        sum(each.end in TAKEN_AWAY for each in attempts),
        _mean(electron, WAITING),
        _mean(electron, BOOT, IMAGE, PIP),
        Cell(_code_text(electron, code), code),
        Cell(_memory_text(peak, asked), -1 if share is None else share),
        None if share is None else min(round(100 * share), 100),
        "" if share is None else "hot" if share >= HOT else "cold" if share < COLD else "",
        *_machine(electron),
        Cell(hours(electron.machine_seconds) if attempts else "–", electron.machine_seconds),
        Cell(dollars(cost, 3), -1 if cost is None else cost),
    )


def _mean(electron: Electron, *phases: str) -> Cell:
    """Return how long an attempt was in some phases on average; those that were lost have no parts to add."""
    kept = [each for each in electron.attempts if not each.seconds(LOST) or WAITING in phases]
    if not kept:
        return Cell("–", -1)
    mean = sum(each.seconds(phase) for each in kept for phase in phases) / len(kept)
    return Cell(duration(mean) if mean else "–", mean)


def _code_text(electron: Electron, seconds: float) -> str:
    """Write how long the user's code ran: of what returned a value it is never nothing."""
    if seconds:
        return duration(seconds)
    return item_duration(0) if electron.attempts and electron.state == COMPLETED else "–"


def _memory_text(peak: int | None, asked: int | None) -> str:
    if peak is None:
        return "–" if asked is None else f"? of {memory(asked)}"
    return memory(peak) if asked is None else f"{memory(peak)} of {memory(asked)}"


def _machine(electron: Electron) -> tuple[str, str]:
    used = {(each.machine.type, each.machine.spot) for each in electron.attempts if each.machine.type}
    if not used:
        return "–", ""
    types = sorted({type_ for type_, _ in used})
    more = f" and {len(types) - 1} more" if len(types) > 1 else ""
    spots = {spot for _, spot in used}
    spot = "Spot" if spots == {True} else "part Spot" if True in spots else ""
    gpu = f"{electron.asked.gpu_count or 1} × {short(electron.asked.gpu_type, 30)}" if electron.asked.gpu_type else ""
    return short(types[0], 40) + more, ", ".join(text for text in (gpu, spot) if text)
