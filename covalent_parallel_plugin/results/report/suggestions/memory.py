"""Memory: asked for and not used, nearly all used, and too little, so that the kernel killed the process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ....batch.trace_ends import KILLED
from ..charts.words import memory as written
from ..model import COMPLETED, FAILED, MAP, SWEEP, Electron, Report, Suggestion, TaskAttempt, peak_of
from .grouping import RETURNED, attempts_of, by_request, cores_used, dependents, has_gpus, tasks_of
from .machine_choice import MIB, fitting, holding_type, rounded_mib, size_of, type_like
from .thresholds import Thresholds
from .wording import machine_hours, options, title_of, titles

# Of what was measured, for inputs that vary
MARGIN = 1.25
# What was killed at its limit would have used more, and nobody knows how much
KILLED_MARGIN = 1.5
# 128 + SIGKILL
KILLED_CODE = 137


def memory(report: Report, limits: Thresholds) -> Iterator[Suggestion]:
    """Suggest another `memory`, or another machine for it."""
    for group in by_request(report):
        asked = group[0].asked.memory_bytes
        if asked is None:
            continue
        found = _killed(report, group, asked, limits) or _near(group, asked, limits)
        found = found or _unused(group, asked, limits)
        if found is not None:
            yield found


def _killed(report: Report, group: Sequence[Electron], asked: int, limits: Thresholds) -> Suggestion | None:
    struck = [electron for electron in group if any(_is_killed(each, asked, limits) for each in electron.attempts)]
    if not struck:
        return None
    failed = [electron for electron in struck if electron.state == FAILED]
    named = failed or struck
    killed = [attempt for attempt in attempts_of(struck) if _is_killed(attempt, asked, limits)]
    peak = peak_of(killed)
    new = rounded_mib(max(asked * KILLED_MARGIN, (peak or 0) * MARGIN))
    used = "Nothing measured it, and it was killed as" if peak is None else f"It used {written(peak)} of"
    tail = " where memory runs out." if peak is None else " that it asked for."
    text = f"{used} {written(asked)}{tail}" if peak is not None else f"{used}{tail} It asked for {written(asked)}."
    lost = sum(attempt.machine_seconds for attempt in killed)
    gain = f"{machine_hours(lost)} that were lost"
    if failed:
        missed = [each for each in dependents(report, (one.node for one in failed)) if not each.attempts]
        gain = f"{titles(failed)} failed" + (f", and {titles(missed)} did not run" if missed else "")
    return Suggestion(
        "memory-exceeded",
        f"{titles(named)} {'was' if len(named) == 1 else 'were'} killed, most likely for want of memory",
        text + _siblings(report, struck),
        _more_memory(group[0], new),
        gain,
        machine_seconds=lost,
        nodes=tuple(electron.node for electron in named),
        is_failure=bool(failed),
    )


def _is_killed(attempt: TaskAttempt, asked: int, limits: Thresholds) -> bool:
    if attempt.end != KILLED or attempt.exit_code not in (None, KILLED_CODE):
        return False
    if attempt.peak_bytes is None:
        return attempt.exit_code == KILLED_CODE
    return attempt.peak_bytes >= limits.memory_killed_share * asked


def _siblings(report: Report, struck: Sequence[Electron]) -> str:
    """What others of the name used, the tasks of the same map among them."""
    own = {electron.node for electron in struck}
    others = [each for each in report.electrons if each.name == struck[0].name and each.node not in own]
    peaks = [each.peak_bytes for each in attempts_of([*others, *struck]) if each.peak_bytes and each.end in RETURNED]
    if not peaks:
        return ""
    low, high = written(min(peaks)), written(max(peaks))
    return f" Others of its kind used {low}." if low == high else f" Others of its kind used {low} to {high}."


def _more_memory(electron: Electron, new: int) -> str:
    """The remedy: with another machine type where the one that was named has not so much."""
    named = electron.asked.machine_type
    size = size_of(named) if named else None
    larger = type_like(named, electron.asked.vcpus or 1, new * MIB) if size is not None else None
    if size is not None and size.memory_mib < new and larger is not None:
        return options(electron, memory=new, machine_type=larger)
    return options(electron, memory=new)


def _near(group: Sequence[Electron], asked: int, limits: Thresholds) -> Suggestion | None:
    near = [each for each in group if (peak_of(each.attempts) or 0) >= limits.memory_near_share * asked]
    near = [each for each in near if each.state == COMPLETED]
    peak = peak_of(attempts_of(near))
    if peak is None:
        return None
    longest = max(attempt.machine_seconds for attempt in attempts_of(near))
    return Suggestion(
        "memory-near",
        f"{title_of(near)} used nearly all of its memory",
        f"It used {written(peak)} of {written(asked)}, {100 * peak / asked:.0f} %. Somewhat larger inputs, and its"
        " process is killed.",
        _more_memory(near[0], rounded_mib(max(peak, asked) * MARGIN)),
        f"{machine_hours(longest)}, if its longest attempt is killed at its end",
        machine_seconds=longest,
        nodes=tuple(electron.node for electron in near),
    )


def _unused(group: Sequence[Electron], asked: int, limits: Thresholds) -> Suggestion | None:
    attempts = attempts_of(group)
    # What failed, or was taken away, may have needed the most
    peak = peak_of(attempts)
    if peak is None or not any(each.end in RETURNED and each.peak_bytes is not None for each in attempts):
        return None
    if has_gpus(group[0]) or any(attempt.end == KILLED for attempt in attempts):
        return None
    new = rounded_mib(peak * MARGIN)
    for choice in (_smaller_by_request, _more_on_one, _smaller_by_name):
        found = choice(group, asked, peak, new, limits)
        if found is not None and found.machine_seconds >= limits.memory_machine_seconds:
            return found
    return None


def _is_unused(peak: int, of: float, new: int, limits: Thresholds) -> bool:
    return peak < limits.memory_unused_share * of and of - new * MIB >= limits.memory_unused_bytes


def _smaller_by_request(
    group: Sequence[Electron], asked: int, peak: int, new: int, limits: Thresholds
) -> Suggestion | None:
    """Batch chooses the machine by what is asked for."""
    request = group[0].asked
    if request.machine_type or request.vcpus is None or not _is_unused(peak, asked, new, limits):
        return None
    now, then = holding_type(request.vcpus, asked), holding_type(request.vcpus, new * MIB)
    if now is None or then is None or now == then:
        return None
    taken = next((each.machine.type for each in attempts_of(group) if _has(each.machine.type, asked)), "")
    took = f"Batch took {taken} for it." if taken else f"A machine that has so much is {now}, or larger."
    return _suggestion(
        group, f"asked for {written(asked)} and used {written(peak)}",
        f"{took} With {written(new * MIB)} {then} would do.",
        options(group[0], memory=new), taken or now, then,
    )  # fmt: skip


def _more_on_one(group: Sequence[Electron], asked: int, peak: int, new: int, limits: Thresholds) -> Suggestion | None:
    """Tasks share machines of a named type, as many as their requests let fit."""
    request = group[0].asked
    if group[0].kind not in (MAP, SWEEP) or not request.machine_type or request.vcpus is None:
        return None
    if not _is_unused(peak, asked, new, limits):
        return None
    now = fitting(request.machine_type, request.vcpus, asked)
    then = min(fitting(request.machine_type, request.vcpus, new * MIB), max(map(tasks_of, group)))
    if then <= now or (request.tasks_per_machine or now) < now:
        return None
    seconds = sum(electron.machine_seconds for electron in group)
    return Suggestion(
        "memory-unused",
        f"{title_of(group)} asked for {written(asked)} a task and used {written(peak)}",
        f"With {written(new * MIB)} {then} tasks share {request.machine_type}, in place of {now}.",
        options(group[0], memory=new),
        f"{machine_hours(seconds * (1 - now / then))} a run",
        machine_seconds=seconds * (1 - now / then),
        nodes=tuple(electron.node for electron in group),
    )


def _smaller_by_name(
    group: Sequence[Electron], asked: int, peak: int, new: int, limits: Thresholds
) -> Suggestion | None:
    """A named machine is one electron's, whatever that asked for."""
    request, cores = group[0].asked, cores_used(attempts_of(group))
    size = size_of(request.machine_type) if request.machine_type else None
    if size is None or cores is None or max(map(tasks_of, group)) > 1:
        return None
    has = size.memory_mib * MIB
    then = type_like(request.machine_type, max(cores, request.vcpus or 0), new * MIB)
    if then is None or not _is_unused(peak, has, new, limits):
        return None
    values: dict[str, object] = {"machine_type": then}
    smaller = size_of(then)
    if smaller is not None and asked > smaller.memory_mib * MIB:
        values["memory"] = new
    return _suggestion(
        group, f"has {written(has)} and used {written(peak)}",
        f"It kept {cores:.1f} of {size.vcpus} vCPUs busy. {then} would do.",
        options(group[0], **values), request.machine_type, then,
    )  # fmt: skip


def _suggestion(
    group: Sequence[Electron], title: str, text: str, remedy: str, now: str, then: str
) -> Suggestion | None:
    sizes = size_of(now), size_of(then)
    if sizes[0] is None or sizes[1] is None or sizes[1].vcpus >= sizes[0].vcpus:
        return None
    seconds = sum(electron.machine_seconds for electron in group)
    return Suggestion(
        "memory-unused",
        f"{title_of(group)} {title}",
        text,
        remedy,
        f"{machine_hours(seconds)} on {then}, in place of {now}",
        # In machines of the present size
        machine_seconds=seconds * (1 - sizes[1].vcpus / sizes[0].vcpus),
        nodes=tuple(electron.node for electron in group),
    )


def _has(machine_type: str, memory_bytes: int) -> bool:
    size = size_of(machine_type) if machine_type else None
    return size is not None and size.memory_mib * MIB >= memory_bytes
