"""The timeline of a report: a row for each electron, or for all those of a name where there are many."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from ..model import (
    FAILED,
    NOT_RUN,
    SERVICE,
    WAITS,
    Electron,
    Report,
    Span,
    TaskAttempt,
)  # fmt: skip
from ..traced_attempts import TAKEN_AWAY
from .axis import RIGHT, WIDTH, TimeAxis, number
from .phases import LABELS, stacked_phases
from .timeline_texts import not_run_text
from .words import counted, duration, hours, moment, short

# From so many electrons on, those of one name share a row if they are at least so many
MANY_ELECTRONS, SHARED_ROW = 60, 4
MOST_ROWS = 150
MOST_MARKS = 24
# How attempts end that were not the electron's fault, and what ends its process
KILLED = frozenset({"killed", "time_limit"})
_BAR, _GAP, _AREA = 15, 10, 62


@dataclass(frozen=True)
class Timeline:
    """The chart, and sentences on what it leaves out or shows together."""

    svg: Markup
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """What a row shows: one electron, or those of a name."""

    electrons: tuple[Electron, ...]

    @property
    def first(self) -> Electron:
        return self.electrons[0]

    @property
    def attempts(self) -> tuple[TaskAttempt, ...]:
        return tuple(attempt for electron in self.electrons for attempt in electron.attempts)

    @property
    def is_area(self) -> bool:
        return len(self.electrons) > 1 or len({(each.round, each.task) for each in self.first.attempts}) > 1

    @property
    def height(self) -> int:
        return (_AREA if len(self.attempts) >= 8 else _AREA // 2) if self.is_area else _BAR

    @property
    def marked(self) -> list[TaskAttempt]:
        return [each for each in self.attempts if each.end in TAKEN_AWAY | KILLED and each.spans]

    @property
    def interval(self) -> tuple[float, float] | None:
        times = [time for each in self.electrons for time in (each.entered, each.ended) if time is not None]
        times += [time for each in self.attempts for span in each.spans for time in (span.begin, span.end)]
        return (min(times), max(times)) if times else None


def timeline(report: Report, is_linked: bool = True) -> Timeline | None:
    """Draw the timeline; None if no time is known. With links, a name leads to the electron's row in the table."""
    axis = TimeAxis.of(report)
    rows, notes = _rows(report)
    if axis is None or not rows:
        return None
    chain, top, parts = set(report.chain) if len(report.chain) > 1 else set(), 24.0, []
    for row in rows:
        parts.append(_drawn(row, report, axis, top, is_linked))
        for electron in row.electrons:
            if electron.node in chain and (interval := _Row((electron,)).interval) is not None:
                parts.append(_chain_line(axis.x(interval[0]), axis.x(interval[1]), top + row.height + 2))
        top += row.height + _GAP
    now = Markup("")
    if report.is_running:
        now = Markup('<path class="ref" d="M{0} 14V{1}"><title>the report was made: {2}</title></path>').format(
            number(axis.x(report.made)), number(top), moment(report.made)
        )
    svg = Markup(
        '<svg viewBox="0 0 {width} {height}" role="group" aria-label="Timeline: each electron by phase from when it was'
        ' submitted to when its result was here">{grid}'
        '<text class="tick" x="1114" y="11" text-anchor="end">in all</text>'
        '<text class="tick" x="1178" y="11" text-anchor="end">machine-h</text>{rows}{now}</svg>'
    ).format(width=WIDTH, height=number(top), grid=axis.grid(top - 4), rows=Markup("").join(parts), now=now)
    unmarked = sum(len(row.marked) for row in rows if len(row.marked) > MOST_MARKS)
    if unmarked:
        notes.append(f"{unmarked:,} attempts that lost their machine or were killed are too many to mark one by one.")
    return Timeline(svg, tuple(notes))


def _rows(report: Report) -> tuple[list[_Row], list[str]]:
    """Return the rows in the order in which they began, and what is to be said of them."""
    services = sum(electron.kind == SERVICE for electron in report.electrons)
    electrons = [electron for electron in report.electrons if electron.kind != SERVICE]
    notes = [f"{counted(services, 'service node')} that ran beside Covalent's server: left out."] if services else []
    by_name: dict[str, list[Electron]] = {}
    for electron in electrons:
        by_name.setdefault(electron.name, []).append(electron)
    is_shared = len(electrons) > MANY_ELECTRONS
    rows: list[_Row] = []
    for same in by_name.values():
        together = is_shared and len(same) >= SHARED_ROW
        rows += [_Row(tuple(same))] if together else [_Row((each,)) for each in same]
    if any(len(row.electrons) > 1 for row in rows):
        notes.append(
            f"There are {len(electrons):,} electrons: {SHARED_ROW} or more of one name share a row, which shows how"
            " many of their tasks were in which phase."
        )
    if len(rows) > MOST_ROWS:
        notes.append(
            f"The {MOST_ROWS} rows that took longest are here; {len(rows) - MOST_ROWS:,} more are in the table."
        )
        rows = sorted(rows, key=_length, reverse=True)[:MOST_ROWS]
    return sorted(rows, key=lambda row: (row.interval or (float("inf"), 0))[0]), notes


def _length(row: _Row) -> float:
    return row.interval[1] - row.interval[0] if row.interval else 0.0


def _drawn(row: _Row, report: Report, axis: TimeAxis, top: float, is_linked: bool) -> Markup:
    middle, interval = top + row.height / 2 + 4, row.interval
    parts = [_name(row, middle - (8 if row.is_area else 0), is_linked)]
    if row.is_area:
        parts.append(Markup('<text class="tick" x="158" y="{}" text-anchor="end">{}</text>').format(
            number(middle + 8), _size(row)
        ))  # fmt: skip
    if interval is None or not row.attempts:
        text = not_run_text(row.first, report)
        left = 170.0
        if interval is not None:
            begin, end = map(axis.x, interval)
            parts.append(_bed(begin, end, top, row.height, f"{row.first.title}: {duration(interval[1] - interval[0])}"))
            left = end + 6 if end < 700 else 170.0
        return Markup("").join(
            [*parts, Markup('<text class="tick" x="{}" y="{}">{}</text>').format(number(left), number(middle), text)]
        )
    if row.is_area:
        begin, end = map(axis.x, interval)
        parts += [_bed(begin, end, top, row.height), stacked_phases(row.attempts, axis, top, row.height)]
    else:
        parts += [_bar(row.first, attempt, axis, top) for attempt in row.attempts]
    parts.append(_marks(row, axis, top))
    parts.append(
        Markup(
            '<text class="num" x="1114" y="{0}" text-anchor="end">{1}</text>'
            '<text class="num" x="1178" y="{0}" text-anchor="end">{2}</text>'
        ).format(
            number(middle),
            duration(interval[1] - interval[0]),
            hours(held) if (held := sum(e.machine_seconds for e in row.electrons)) else "–",
        )
    )
    return Markup("").join(parts)


def _name(row: _Row, y: float, is_linked: bool) -> Markup:
    states = {electron.state for electron in row.electrons}
    kind = " bad" if FAILED in states else " dim" if states <= {NOT_RUN, WAITS} else ""
    node = "" if len(row.electrons) > 1 or row.first.title == row.first.name else f"[{row.first.node}]"
    label = Markup(
        '<text class="label{}" x="158" y="{}" text-anchor="end">{}<tspan class="tick">{}</tspan>'
        "<title>{}</title></text>"
    ).format(kind, number(y), short(row.first.name, 19), node, short(row.first.name, 200))
    if not is_linked or len(row.electrons) > 1:
        return label
    return Markup('<a href="#e{}">{}</a>').format(row.first.node, label)


def _size(row: _Row) -> str:
    tasks = len({(electron.node, each.round, each.task) for electron in row.electrons for each in electron.attempts})
    if len(row.electrons) > 1:
        return counted(len(row.electrons), "electron")
    total = row.first.items.total if row.first.items is not None else None
    return (f"{counted(total, 'item')}, " if total is not None else "") + counted(tasks, "task")


def _bed(begin: float, end: float, top: float, height: float, title: str = "") -> Markup:
    return Markup('<rect class="bed" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
        number(begin), number(top), number(max(end - begin, 0.7)), number(height), short(title, 200)
    )


def _bar(electron: Electron, attempt: TaskAttempt, axis: TimeAxis, top: float) -> Markup:
    """Draw an attempt's phases on one line."""
    return Markup("").join(
        Markup('<path class="p-{}" d="{}"><title>{}</title></path>').format(
            span.phase, axis.bars((span,), top, _BAR), _title(electron, attempt, span)
        )
        for span in attempt.spans
        if span.seconds > 0
    )


def _title(electron: Electron, attempt: TaskAttempt, span: Span) -> str:
    return (
        f"{short(electron.title)}, attempt {attempt.number + 1}: {LABELS[span.phase]}, {duration(span.seconds)}"
        f" ({moment(span.begin)} to {moment(span.end)})"
    )


def _marks(row: _Row, axis: TimeAxis, top: float) -> Markup:
    """Mark attempts whose machine was taken away, and those whose process was killed."""
    y, half = (top + 5, 2.0) if row.is_area else (top + _BAR / 2, 2.8)
    return Markup("").join(_mark(each, axis, y, half) for each in row.marked if len(row.marked) <= MOST_MARKS)


def _mark(attempt: TaskAttempt, axis: TimeAxis, y: float, half: float) -> Markup:
    end, is_killed = attempt.spans[-1].end, attempt.end in KILLED
    # What was killed is at the end of its bar, and beside it
    x = min(axis.x(end) + (2 * half + 4 if is_killed else 0), RIGHT)
    code = "" if attempt.exit_code is None else f", exit code {attempt.exit_code}"
    return Markup(
        '<g class="{}"><circle cx="{}" cy="{}" r="{}"/><path d="M{} {}l{d} {d}m0-{d}l-{d} {d}"/><title>{}</title></g>'
    ).format(
        "killed" if is_killed else "pre", number(x), number(y), number(2.4 * half), number(x - half), number(y - half),
        f"{attempt.end} at {moment(end)}{code}", d=number(2 * half),
    )  # fmt: skip


def _chain_line(begin: float, end: float, top: float) -> Markup:
    return Markup(
        '<rect class="crit" x="{}" y="{}" width="{}" height="2.4" rx="1"><title>on the longest chain</title></rect>'
    ).format(number(begin), number(top), number(max(end - begin, 2)))
