"""The items of a map, or the tasks of a sweep: a line for each task, a block for each item; many of them in bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from ..model import CODE, SWEEP, Electron, Items, Span, TaskAttempt
from .axis import WIDTH, TimeAxis, number
from .histogram import histogram
from .item_bands import item_bands
from .phases import stacked_phases
from .words import counted, item_duration, short

# Beyond these, items and tasks are drawn together
MOST_ITEMS, MOST_TASKS = 3000, 500
LONGEST = 6
# Up to so many items each block has a title of its own
TITLED_ITEMS = 1000
_NAMED_TASKS = 60
_HEIGHT, _TOP = 1200.0, 22.0
# Of a bold text, at most
_CHARACTER = 7.5


@dataclass(frozen=True)
class ItemsChart:
    """What is shown of an electron's items or tasks.

    Attributes:
        longest: their names, with how long they took, the task, and how they ended.
    """

    electron: Electron
    noun: str
    lead: str
    svg: Markup
    histogram: Markup
    longest: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True)
class _Length:
    """How long an item or a sweep's task took."""

    name: str
    seconds: float
    task: str
    end: str


def has_items_chart(electron: Electron) -> bool:
    """Return whether there are two tasks or items, with times."""
    items = len(electron.items.index) if electron.items is not None else 0
    return max(items, len(_tasks(electron))) > 1 and (items > 0 or any(each.spans for each in electron.attempts))


def items_chart(electron: Electron) -> ItemsChart:
    """Draw them; a map of whose items nothing is known by its tasks."""
    if electron.items is not None and not electron.items.index:
        electron = replace(electron, items=None)
    tasks, lengths, axis = _tasks(electron), _lengths(electron), _axis(electron)
    noun = "task" if electron.items is None else "item"
    is_aggregated = len(lengths) > MOST_ITEMS or len(tasks) > MOST_TASKS
    svg = _together(electron, axis) if is_aggregated else _singly(electron, tasks, axis)
    longest = sorted(lengths, key=lambda each: each.seconds, reverse=True)[:LONGEST]
    return ItemsChart(
        electron, noun, _lead(electron, len(tasks), len(lengths), is_aggregated), svg,
        histogram([each.seconds for each in lengths], noun) if lengths else Markup(""),
        tuple((each.name, item_duration(each.seconds), each.task, each.end) for each in longest),
    )  # fmt: skip


def _tasks(electron: Electron) -> list[tuple[int, int]]:
    """Return the tasks' rounds and numbers, those of items alone too."""
    tasks = {(attempt.round, attempt.task) for attempt in electron.attempts}
    items = electron.items
    return sorted(tasks | (set(zip(items.round, items.task, strict=True)) if items is not None else set()))


def _axis(electron: Electron) -> TimeAxis:
    times = [time for attempt in electron.attempts for span in attempt.spans for time in (span.begin, span.end)]
    if electron.items is not None:
        ends = (begin + took for begin, took in zip(electron.items.begin, electron.items.took, strict=True))
        times += [*electron.items.begin, *ends]
    return TimeAxis(min(times), max(max(times), min(times) + 1e-3))


def _lengths(electron: Electron) -> list[_Length]:
    items = electron.items
    if items is not None:
        rows = zip(items.index, items.took, items.task, items.end, strict=True)
        return [_Length(f"item {index}", took, f"task {task}", end) for index, took, task, end in rows]
    return [
        _Length(short(each.name) or f"task {each.task}", each.seconds(CODE), short(each.machine.type), each.end)
        for each in electron.attempts
        if each.seconds(CODE)
    ]


def _lead(electron: Electron, tasks: int, items: int, is_aggregated: bool) -> str:
    if is_aggregated:
        many = (
            f"{counted(items, 'item')} in {counted(tasks, 'task')}"
            if electron.items is not None
            else f"{tasks:,} tasks"
        )
        bands = " Below, items by their index: how long half of them took, the band of 90 in 100, and the longest."
        return (
            f"{many} are too many to draw one by one (the limits are {MOST_ITEMS:,} items and {MOST_TASKS} tasks):"
            f" this is how many tasks were in which phase.{bands if electron.items is not None else ''}"
        )
    began = "began" if electron.kind == SWEEP else "was submitted"
    each = "Each line is a task" + (", each block an item" if electron.items is not None else "")
    total = electron.items.total if electron.items is not None else None
    known = f" Times are known of {len(set(electron.items.index)):,} of {total:,} items." if (
        electron.items is not None and total is not None and len(set(electron.items.index)) != total
    ) else ""  # fmt: skip
    return f"{each}; those that did not return a value are red. Times are from when it {began}.{known}"


def _together(electron: Electron, axis: TimeAxis) -> Markup:
    area = stacked_phases(electron.attempts, axis, _TOP, 120)
    bands = item_bands(electron.items, _TOP + 150) if electron.items is not None else Markup("")
    height = _TOP + (310 if electron.items is not None else 126)
    title = f"Tasks of {short(electron.title)} by phase over time"
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}'
        '<text class="tick" x="158" y="{}" text-anchor="end">tasks</text>{}{}</svg>'
    ).format(WIDTH, number(height), title, axis.grid(_TOP + 120), number(_TOP + 64), area, bands)


def _singly(electron: Electron, tasks: Sequence[tuple[int, int]], axis: TimeAxis) -> Markup:
    is_named = electron.kind == SWEEP and len(tasks) <= _NAMED_TASKS
    step = 18.0 if is_named else min(max(_HEIGHT / max(len(tasks), 1), 2.4), 9.0 if len(tasks) > 12 else 16.0)
    tops = {task: _TOP + step * place for place, task in enumerate(tasks)}
    bottom = _TOP + step * len(tasks)
    parts = [_labels(electron, tasks, tops, step, is_named), _phases(electron, tops, step, axis)]
    if electron.items is not None:
        parts += [_blocks(electron.items, tops, step, axis), _call(electron.items, electron.attempts, tops, step, axis)]
    title = f"The tasks of {short(electron.title)}, one line each"
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>').format(
        WIDTH, number(bottom + 4), title, axis.grid(bottom + 2), Markup("").join(parts)
    )


def _labels(
    electron: Electron, tasks: Sequence[tuple[int, int]], tops: dict[tuple[int, int], float], step: float, named: bool
) -> Markup:
    names = {(each.round, each.task): each.name for each in electron.attempts} if named else {}
    every = 1 if step >= 12 else next(count for count in (5, 10, 20, 50, 100, 500) if count * step >= 24)
    rows = (
        (tops[task], short(names[task], 24) if named else f"{f'round {task[0]}, ' if task[0] else ''}task {task[1]}")
        for place, task in enumerate(tasks)
        if place % every == 0
    )
    return Markup("").join(
        Markup('<text class="tick" x="158" y="{}" text-anchor="end">{}</text>').format(number(top + step / 2 + 4), text)
        for top, text in rows
    )


def _phases(electron: Electron, tops: dict[tuple[int, int], float], step: float, axis: TimeAxis) -> Markup:
    """Draw the tasks' phases, one path for each; of the code only its bed where its items are drawn."""
    spans: dict[str, list[tuple[float, Span]]] = {}
    for attempt in electron.attempts:
        for span in attempt.spans:
            # An attempt whose code raised is marked; a map's items are marked one by one
            kind = "bed" if electron.items is not None and span.phase == CODE else _kind(attempt, span)
            spans.setdefault(kind, []).append((tops[attempt.round, attempt.task], span))
    height = _block_height(step)
    return Markup("").join(
        Markup('<path class="{}" d="{}"/>').format(
            kind, Markup("").join(axis.bars((span,), top, height) for top, span in placed if span.seconds > 0)
        )
        for kind, placed in spans.items()
    )


def _kind(attempt: TaskAttempt, span: Span) -> str:
    return "p-bad" if span.phase == CODE and attempt.end not in ("value", "") else f"p-{span.phase}"


def _blocks(items: Items, tops: dict[tuple[int, int], float], step: float, axis: TimeAxis) -> Markup:
    """Draw the items: with a title each, or as one path for those of an end where they are many."""
    height = _block_height(step)
    by_kind: dict[str, list[Markup]] = {"p-code": [], "p-bad": []}
    is_titled = len(items.index) <= TITLED_ITEMS
    rows = zip(items.index, items.round, items.task, items.begin, items.took, items.end, strict=True)
    for index, round_, task, begin, took, end in rows:
        x, top = axis.x(begin), tops[round_, task]
        # A thin gap between items
        data = _block(x, top, max(axis.x(begin + took) - x - 0.6, 0.5), height)
        if is_titled:
            ended = "" if end == "value" else f", {end}"
            block = Markup('<path d="{}"><title>item {}: {}{}</title></path>').format(
                data, index, item_duration(took), ended
            )
        else:
            block = Markup(data)
        by_kind["p-code" if end in ("value", "") else "p-bad"].append(block)
    shape = '<g class="{}">{}</g>' if is_titled else '<path class="{}" d="{}"/>'
    return Markup("").join(Markup(shape).format(kind, Markup("").join(all_)) for kind, all_ in by_kind.items() if all_)


def _block(x: float, top: float, width: float, height: float) -> str:
    return f"M{number(x)} {number(top)}h{number(width)}v{number(height)}h-{number(width)}z"


def _block_height(step: float) -> float:
    return step - (0.4 if step < 4 else 1.2)


def _call(
    items: Items, attempts: Sequence[TaskAttempt], tops: dict[tuple[int, int], float], step: float, axis: TimeAxis
) -> Markup:
    """Name the longest item beside it, if it took far longer than half of them did."""
    place = max(range(len(items.took)), key=lambda each: items.took[each])
    key = (items.round[place], items.task[place])
    if items.took[place] <= 3 * sorted(items.took)[len(items.took) // 2]:
        return Markup("")
    ends = [span.end for each in attempts if (each.round, each.task) == key for span in each.spans]
    last = axis.x(max([*ends, items.begin[place] + items.took[place]]))
    text = f"item {items.index[place]}: {item_duration(items.took[place])}"
    return Markup('<text class="call" x="{}" y="{}">{}</text>').format(
        number(min(last + 8, WIDTH - _CHARACTER * len(text))), number(tops[key] + step / 2 + 4), text
    )
