"""A report as trace events, which ui.perfetto.dev opens: an electron is a process there, and a task one of its threads.

Source: "Trace Event Format", to which https://perfetto.dev/docs/getting-started/other-formats leads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, pairwise
from typing import NamedTuple

from .charts.load import machine_intervals
from .document import writable
from .model import CODE, LOST, Electron, Report, Span, TaskAttempt

# What is inside what: an attempt has phases, and these have items. What points to a slice comes after it
_ATTEMPT, _PHASE, _ITEM, _MARK = range(4)
_RAN = (CODE, LOST)


class _Event(NamedTuple):
    """An event; in this order, outer slices come before those inside that begin at the same moment."""

    ts: int
    minus_dur: int
    depth: int
    pid: int
    tid: int
    phase: str
    name: str
    more: Mapping[str, object]

    @property
    def line(self) -> str:
        """The event as JSON."""
        dur = {"dur": -self.minus_dur} if self.phase == "X" else {}
        found = {"ph": self.phase, "name": writable(self.name), "ts": self.ts, **dur, "pid": self.pid, "tid": self.tid}
        return json.dumps({**found, **self.more}, allow_nan=False)


class _Thread(NamedTuple):
    """The attempts of one task in one job, one after the other."""

    tid: int
    title: str
    key: tuple[int, int]
    attempts: list[TaskAttempt]


def trace_lines(report: Report, with_items: bool) -> Iterator[str]:
    """Yield the lines of the file; its times are microseconds since 1970."""
    # No two processes or threads have the same number, and none has 0, which stands for a kernel's own
    numbers = count(1)
    whole = next(numbers)
    names = _names(whole, whole, report.name or report.id, report.kind)
    end = report.made if report.is_running else report.ended
    events = [*_slice(whole, whole, _ATTEMPT, report.state, report.began, end), *_counters(whole, report)]
    wholes: dict[int, _Event] = {}
    for electron in report.electrons:
        pid = next(numbers)
        names += _names(pid, pid, electron.title, electron.kind)
        for event in _slice(pid, pid, _ATTEMPT, electron.state, *_extent(electron, report.made)):
            wholes[electron.node] = event
        threads = _threads(electron, numbers, with_items)
        for thread in threads:
            names += _names(pid, thread.tid, "", thread.title)
            events += (event for attempt in thread.attempts for event in _attempt(pid, thread.tid, attempt))
        events += _items(pid, electron, threads) if with_items else ()
    events += [*wholes.values(), *_arrows(report, wholes)]
    # The rest cannot be compared
    events.sort(key=lambda event: event[:5])
    yield '{"displayTimeUnit": "ms", "traceEvents": [\n'
    yield ",\n".join(names)
    for event in events:
        yield f",\n{event.line}"
    yield "\n]}\n"


def _names(pid: int, tid: int, process: str, thread: str) -> list[str]:
    named = {"process_name": process, "thread_name": thread}
    return [
        json.dumps({"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": writable(name)}})
        for what, name in named.items()
        if name
    ]


def _slice(
    pid: int,
    tid: int,
    depth: int,
    name: str,
    begin: float | None,
    end: float | None,
    args: Mapping[str, object] | None = None,
) -> Iterator[_Event]:
    """Yield a slice; none for what has no begin or no end."""
    if begin is None or end is None or not math.isfinite(begin) or not math.isfinite(end):
        return
    ts, category = _micros(begin), ("attempt", "phase", "item")[depth]
    more = {"cat": category, **({"args": args} if args else {})}
    yield _Event(ts, ts - max(_micros(end), ts), depth, pid, tid, "X", name or "unknown", more)


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _extent(electron: Electron, made: float) -> tuple[float | None, float | None]:
    """When an electron began and ended, as far as that is known from it or its attempts."""
    spans = [span for attempt in electron.attempts for span in attempt.spans]
    begin = min((span.begin for span in spans), default=None) if electron.entered is None else electron.entered
    is_running = any(not attempt.end for attempt in electron.attempts)
    seen = made if is_running else max((span.end for span in spans), default=None)
    return begin, seen if electron.ended is None else electron.ended


def _threads(electron: Electron, numbers: Iterator[int], with_items: bool) -> list[_Thread]:
    """The tasks of an electron; an attempt that began before the one before it had ended gets a thread of its own."""

    def thread(key: tuple[int, int], *attempts: TaskAttempt) -> _Thread:
        title = f"task {key[1]}{f', job {key[0] + 1}' if key[0] else ''}"
        return _Thread(next(numbers), next((each.name for each in attempts if each.name), title), key, [*attempts])

    threads: dict[tuple[int, int], list[_Thread]] = {}
    for attempt in sorted(electron.attempts, key=lambda each: (each.round, each.task, each.number)):
        if not attempt.spans:
            continue
        key = (attempt.round, attempt.task)
        of_task = threads.setdefault(key, [])
        free = [each for each in of_task if each.attempts[-1].spans[-1].end <= attempt.spans[0].begin]
        if free:
            free[0].attempts.append(attempt)
        else:
            of_task.append(thread(key, attempt))
    if with_items and electron.items is not None:
        # Of tasks whose attempts are not known
        for key in sorted(set(zip(electron.items.round, electron.items.task, strict=True)) - threads.keys()):
            threads[key] = [thread(key)]
    return [each for of_task in threads.values() for each in of_task]


def _attempt(pid: int, tid: int, attempt: TaskAttempt) -> Iterator[_Event]:
    facts = {
        "machine": attempt.machine.type, "spot": attempt.machine.spot, "zone": attempt.machine.zone,
        "instance": attempt.machine.instance, "exit_code": attempt.exit_code, "peak_bytes": attempt.peak_bytes,
        "cpu_seconds": attempt.cpu_seconds,
    }  # fmt: skip
    known = {name: writable(fact) if isinstance(fact, str) else fact for name, fact in facts.items() if _is_known(fact)}
    name = f"attempt {attempt.number}: {attempt.end or 'runs'}"
    yield from _slice(pid, tid, _ATTEMPT, name, attempt.spans[0].begin, attempt.spans[-1].end, known)
    for span in attempt.spans:
        if span.end > span.begin:
            yield from _slice(pid, tid, _PHASE, span.phase, span.begin, span.end)


def _is_known(fact: object) -> bool:
    return fact is not None and fact != "" and (not isinstance(fact, float) or math.isfinite(fact))


def _items(pid: int, electron: Electron, threads: Sequence[_Thread]) -> Iterator[_Event]:
    """Yield the items inside the phases in which they ran, each until the next one at most."""
    items = electron.items
    if items is None:
        return
    phases: dict[tuple[int, int], list[tuple[int, Span]]] = {}
    for thread in threads:
        spans = [span for attempt in thread.attempts for span in attempt.spans]
        of_code = [span for span in spans if span.phase in _RAN] or spans or [Span(CODE, -math.inf, math.inf)]
        phases.setdefault(thread.key, []).extend((thread.tid, span) for span in of_code)
    ran: dict[tuple[int, Span], list[tuple[float, float, int, str]]] = {}
    for round_, task, begin, took, index, end in zip(
        items.round, items.task, items.begin, items.took, items.index, items.end, strict=True
    ):
        if math.isfinite(begin) and math.isfinite(took):
            ended = begin + took
            where = phases[round_, task]
            best = max(where, key=lambda one: min(one[1].end, ended) - max(one[1].begin, begin))
            ran.setdefault(best, []).append((begin, ended, index, end))
    for (tid, span), inside in ran.items():
        inside.sort()
        for (begin, ended, index, end), (after, *_) in pairwise([*inside, (span.end, span.end, -1, "")]):
            begin = min(max(begin, span.begin), span.end)
            ended = max(min(ended, after, span.end), begin)
            yield from _slice(pid, tid, _ITEM, f"item {index}", begin, ended, {"end": writable(end)})


def _counters(pid: int, report: Report) -> Iterator[_Event]:
    """Yield how many machines are up, and how much memory their tasks have asked for and used."""
    machines, asked, used = machine_intervals(report.electrons), [], []
    for electron in report.electrons:
        for attempt in electron.attempts:
            if attempt.on_machine is not None:
                asked.append((*attempt.on_machine, electron.asked.memory_bytes or 0))
            used += [(span.begin, span.end, attempt.peak_bytes or 0) for span in attempt.spans if span.phase in _RAN]
    for name, intervals in (("machines", machines), ("bytes asked for", asked), ("bytes used", used)):
        for ts, level in _levels(intervals):
            yield _Event(ts, 0, _MARK, pid, pid, "C", name, {"args": {name: round(level)}})


def _levels(intervals: Iterable[tuple[float, float, float]]) -> Iterator[tuple[int, float]]:
    """Yield what amounts of intervals add up to from each moment at which that changes."""
    changes: dict[int, float] = {}
    for begin, end, amount in intervals:
        if math.isfinite(begin) and math.isfinite(end) and end > begin:
            changes[_micros(begin)] = changes.get(_micros(begin), 0) + amount
            changes[_micros(end)] = changes.get(_micros(end), 0) - amount
    level = 0.0
    for ts in sorted(changes):
        if changes[ts]:
            level += changes[ts]
            yield ts, level


def _arrows(report: Report, wholes: Mapping[int, _Event]) -> Iterator[_Event]:
    """Yield an arrow from each electron to those that take its value."""
    numbers = count(1)
    for electron in report.electrons:
        child = wholes.get(electron.node)
        for parent in (wholes.get(node) for node in electron.parents):
            if child is None or parent is None:
                continue
            # Where a slice has ended, an arrow would find nothing to begin at
            from_ts = max(parent.ts - parent.minus_dur - 1, parent.ts)
            if from_ts <= child.ts:
                more = {"cat": "value", "id": next(numbers)}
                yield _Event(from_ts, 0, _MARK, parent.pid, parent.tid, "s", "value", more)
                yield _Event(child.ts, 0, _MARK, child.pid, child.tid, "f", "value", {**more, "bp": "e"})
