"""Machines and memory over time: how many machines were up and ran code, and memory asked for against memory used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ..model import CODE, LOST, Electron, Report, TaskAttempt
from .axis import LEFT, RIGHT, WIDTH, TimeAxis, area, nice_step, number, occupied
from .words import GIB, MIB, memory

Held = Sequence[tuple[float, float, float]]
"""What is held from when to when: (begin, end, value)."""
_HEIGHT = 92.0


@dataclass(frozen=True)
class Load:
    """The chart, and the most machines at a time."""

    svg: Markup
    machines: int
    has_memory_used: bool


def machine_intervals(electrons: Iterable[Electron]) -> list[tuple[float, float, float]]:
    """Return when machines were up; tasks that shared a machine, and those after each other on it, count once."""
    by_instance: dict[str, list[tuple[float, float]]] = {}
    for electron in electrons:
        for place, attempt in enumerate(electron.attempts):
            if attempt.on_machine is not None:
                name = attempt.machine.instance or f"{electron.node}/{place}"
                by_instance.setdefault(name, []).append(attempt.on_machine)
    return [(*interval, 1.0) for intervals in by_instance.values() for interval in _united(intervals)]


def _united(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    united: list[tuple[float, float]] = []
    for begin, end in sorted(intervals):
        if united and begin <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((begin, end))
    return united


def most_at_a_time(held: Held) -> float:
    """Return the largest sum of what is held at one time."""
    steps = sorted([(begin, 1, value) for begin, _, value in held] + [(end, 0, -value) for _, end, value in held])
    most = now = 0.0
    for _, _, value in steps:
        now += value
        most = max(most, now)
    return most


def load(report: Report) -> Load | None:
    """Draw both charts; None if no machine is known."""
    axis, machines = TimeAxis.of(report), machine_intervals(report.electrons)
    if axis is None or not machines:
        return None
    codes = [(span.begin, span.end, 1.0) for _, attempt in _all(report) for span in attempt.spans if span.phase == CODE]
    asked = [
        (*attempt.on_machine, float(electron.asked.memory_bytes))
        for electron, attempt in _all(report)
        if attempt.on_machine is not None and electron.asked.memory_bytes is not None
    ]
    used = [
        (span.begin, span.end, float(attempt.peak_bytes))
        for _, attempt in _all(report)
        if attempt.peak_bytes is not None
        for span in attempt.spans
        if span.phase in (CODE, LOST)
    ]
    count = round(most_at_a_time(machines))
    pairs = [(_Series("up", "machines up", machines), _Series("code", "in your code", codes), _count)]
    if asked or used:
        pairs.append((_Series("asked", "memory asked", asked), _Series("used", "memory used", used), _bytes))
    bottoms = [24 + _HEIGHT + place * (_HEIGHT + 34) for place in range(len(pairs))]
    charts = [_chart(axis, *pair, bottom) for pair, bottom in zip(pairs, bottoms, strict=True)]
    height = bottoms[-1] + 6
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>').format(
        WIDTH, number(height), f"Machines over time, {count} at most" + (", and memory" if len(pairs) > 1 else ""),
        axis.grid(height - 4), Markup("").join(charts),
    )  # fmt: skip
    return Load(svg, count, bool(used))


@dataclass(frozen=True)
class _Series:
    """What a chart shows as an area."""

    name: str
    label: str
    held: Held


def _chart(axis: TimeAxis, back: _Series, front: _Series, text: Callable[[float], str], bottom: float) -> Markup:
    most = max(most_at_a_time(back.held), most_at_a_time(front.held)) or 1.0
    unit = 1.0 if text is not _bytes else GIB if most >= GIB else MIB
    step = max(unit * nice_step(most / unit / 3), 1.0)
    scale, parts = _HEIGHT / most, []
    for place in range(int(most / step) + 1):
        y = number(bottom - place * step * scale)
        parts.append(
            Markup(
                '<path class="grid" d="M{} {y}H{}"/><text class="tick" x="160" y="{}" text-anchor="end">{}</text>'
            ).format(number(LEFT), number(RIGHT), number(bottom - place * step * scale + 4), text(place * step), y=y)
        )
    for place, series in enumerate((back, front)):
        values = occupied(series.held, axis)
        parts.append(
            Markup(
                '<path class="a-{0}" d="{1}"><title>{2}</title></path><rect class="a-{0}" x="1062" y="{3}" width="10"'
                ' height="10" rx="2"/><text class="key" x="1077" y="{4}">{5}</text>'
            ).format(
                series.name, area([0.0] * len(values), values, bottom, scale),
                f"{series.label}: "
                + (f"{text(most_at_a_time(series.held))} at most" if series.held else "nothing to show"),
                number(bottom - _HEIGHT + 6 + 18 * place), number(bottom - _HEIGHT + 15 + 18 * place), series.label,
            )
        )  # fmt: skip
    return Markup("").join(parts)


def _all(report: Report) -> Iterable[tuple[Electron, TaskAttempt]]:
    return ((electron, attempt) for electron in report.electrons for attempt in electron.attempts)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _bytes(value: float) -> str:
    return memory(value).replace(".0 ", " ") if value else "0"
