"""What a run would do and why: which tasks are done, which run again for what reason, and a bound on machine-hours."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from ..errors import MistakeError
from .records.journal import EndReader, RecordedEnd, State, reading_ends
from .records.out_folder import OutFolder
from .sweep_file import SweepFile
from .tasks import SweepTask

DONE, NEW, LEFT_OUT = "done", "new", "left out"
# More names of one reason than this help nobody
SHOWN_NAMES = 8


class SelectionError(MistakeError):
    """No task is what `--only` asks for."""


@dataclass(frozen=True)
class RunRequest:
    """Which tasks are wanted: `only` names or values (all if empty), the first so many of them, done ones too."""

    only: tuple[str, ...] = ()
    first: int | None = None
    is_again: bool = False

    def includes(self, task: SweepTask) -> bool:
        """Return whether a task is what `only` asks for."""
        return not self.only or any(_is_meant(text, task) for text in self.only)

    def selected(self, tasks: Iterable[SweepTask]) -> Iterator[SweepTask]:
        """Return the tasks that are asked for."""
        return islice(filter(self.includes, tasks), self.first)


def _is_meant(text: str, task: SweepTask) -> bool:
    """Return whether a task has this name or pattern, or this value of a parameter."""
    parameter, equals, wanted = text.partition("=")
    value = task.combination.values.get(parameter) if equals else None
    return (value is not None and value.text == wanted) or fnmatchcase(task.name, text)


@dataclass
class Plan:
    """What a run would do.

    Attributes:
        total: tasks of the file.
        done: those that are done and stay so.
        reasons: why others run -> their names; "new" among them.
        left_out: those that `--first` and `--only` leave out.
        moved: new name -> old name of tasks that are done under another name.
        stale: names in the journal that the file has no more, or under another key.
        samples: the first, the second and the last task.
    """

    total: int = 0
    done: int = 0
    reasons: dict[str, list[str]] = field(default_factory=dict)
    left_out: int = 0
    moved: dict[str, str] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    samples: tuple[SweepTask, ...] = ()

    @property
    def to_run(self) -> int:
        """How many tasks run."""
        return sum(map(len, self.reasons.values()))

    @property
    def repeats(self) -> Mapping[str, Sequence[str]]:
        """The reasons for which tasks run again that were done."""
        return {why: names for why, names in self.reasons.items() if why.endswith(CHANGED)}


CHANGED = " changed"
PARTS = {
    "image": "the image",
    "command": "the command",
    "environment": "the environment",
    "files": "the files",
    "inputs": "the inputs",
    "config": "the config",
}


class Planner:
    """Decides which tasks run, from the state and from what is on disk.

    Args:
        parts: gives the digests of what a task's key is made of.
    """

    def __init__(
        self, out: OutFolder, state: State, request: RunRequest, parts: Callable[[SweepTask], Mapping[str, str]]
    ) -> None:
        self._out = out
        self._state = state
        self._request = request
        self._parts = parts
        self._folders = out.task_folders()

    def plan(self, tasks: Iterable[SweepTask], wanted: list[SweepTask] | None = None) -> Plan:
        """Go through all tasks; those that run are appended to `wanted`, in order.

        Raises:
            SelectionError: none is what the request asks for.
        """
        plan = Plan(moved=self._moves(tasks))
        if not self._state.ends and not self._state.running:
            self._fill(plan, tasks, wanted, None)
        else:
            with reading_ends(self._out.journal_path) as reader:
                self._fill(plan, tasks, wanted, reader)
        return plan

    def _fill(
        self, plan: Plan, tasks: Iterable[SweepTask], wanted: list[SweepTask] | None, reader: EndReader | None
    ) -> None:
        seen, included, last = set(), 0, None
        for task in tasks:
            plan.total += 1
            if plan.total <= 2:
                plan.samples += (task,)
            last = task
            why = self._why(task, plan.moved, reader)
            if why != NEW:
                seen.add(task.name)
                if why != DONE and why.endswith(CHANGED):
                    plan.stale.append(task.name)
            is_included = self._request.includes(task)
            included += is_included
            if why == DONE and not (self._request.is_again and is_included):
                plan.done += 1
            elif not is_included or (self._request.first is not None and included > self._request.first):
                plan.left_out += 1
            else:
                plan.reasons.setdefault("requested again" if why == DONE else why, []).append(task.name)
                if wanted is not None:
                    wanted.append(task)
        if last is not None and plan.total > 2:
            plan.samples += (last,)
        seen |= set(plan.moved.values())
        plan.stale += [name for name in self._state.ends if name not in seen]
        if not included and plan.total:
            only = " or ".join(map(repr, self._request.only))
            raise SelectionError(
                f"--only {only} names no task: give a task's name, a pattern such as '*={_example(last)}', or"
                " name=value of a parameter as the file writes it"
            )

    def _why(self, task: SweepTask, moved: Collection[str], reader: EndReader | None) -> str:
        """Return why a task runs: "done" if it does not, "new" if it never did."""
        if task.name in moved:
            return DONE
        end = self._state.ends.get(task.name)
        started = self._state.running.get(task.name)
        if reader is None or (end is None and started is None):
            return NEW
        if started is not None and (end is None or started["key"] == task.key):
            return "interrupted while it ran" if started["key"] == task.key else f"its key{CHANGED}"
        assert end is not None
        if end.key != task.key:
            return _what_changed(reader.event(end).get("parts", {}), self._parts(task))
        if end.status == DONE:
            return DONE if self._has_outputs(task.name, end) else "its folder is gone"
        return _how_it_ended(reader.event(end))

    def _has_outputs(self, name: str, end: RecordedEnd) -> bool:
        """Return whether what a task has left is in its folder, or was left in the bucket."""
        return not end.is_here or name in self._folders

    def _moves(self, tasks: Iterable[SweepTask]) -> dict[str, str]:
        """Find tasks that are done under another name: new name -> old one."""
        if not self._state.ends:
            return {}
        ends = self._state.ends.items()
        free = {name: end.key for name, end in ends if end.status == DONE and self._has_outputs(name, end)}
        missing = []
        for task in tasks:
            if free.get(task.name) == task.key:
                del free[task.name]
            elif (end := self._state.ends.get(task.name)) is None or end.key != task.key:
                missing.append((task.key, task.name))
        names: dict[str, list[str]] = {}
        for name, key in free.items():
            names.setdefault(key, []).append(name)
        return {name: names[key].pop(0) for key, name in missing if names.get(key)}


def _what_changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    changed = [text for part, text in PARTS.items() if before.get(part) != now.get(part)]
    if not changed or not before:
        return f"its key{CHANGED}"
    return f"{' and '.join(filter(None, (', '.join(changed[:-1]), changed[-1])))}{CHANGED}"


def _how_it_ended(event: Mapping[str, Any]) -> str:
    status = str(event["status"])
    if event.get("signal"):
        return f"{status}, signal {event['signal']}"
    return f"{status}, exit {event['exit']}" if event.get("exit") else status


def _example(task: SweepTask | None) -> str:
    values = [value.text for value in task.combination.values.values()] if task is not None else []
    return values[-1] if values else "1"


@dataclass(frozen=True)
class HoursBound:
    """At most so many hours of machines: every attempt of every task up to its limit of time."""

    tasks: int
    limit_seconds: float
    attempts: int

    @classmethod
    def of(cls, file: SweepFile, tasks: int) -> HoursBound:
        """Return the bound of so many tasks of a file."""
        return cls(tasks, file.settings.time_limit, file.settings.retries + 1)

    @property
    def hours(self) -> float:
        """The bound in hours."""
        return self.tasks * self.limit_seconds * self.attempts / 3600

    def __str__(self) -> str:
        attempts = f" x {self.attempts} attempts" if self.attempts > 1 else ""
        tasks = "1 task" if self.tasks == 1 else f"{self.tasks} tasks"
        return f"{tasks} x {self.limit_seconds:g} s{attempts} = {self.hours:,.4g} machine-hours"


def reason_lines(plan: Plan) -> Iterator[str]:
    """List what runs and why, and what does not, a line for each reason."""
    for why, names in plan.reasons.items():
        yield f"{len(names)} {'is' if len(names) == 1 else 'are'} new" if why == NEW else f"{len(names)}: {why}"
        if why != NEW:
            yield f"    {shown_names(names)}"
    if plan.done:
        yield f"{plan.done} {'is' if plan.done == 1 else 'are'} done"
    if plan.moved:
        yield f"{len(plan.moved)} of them under another name: their folders are renamed"
    if plan.left_out:
        yield f"{plan.left_out} are left out by --first or --only"


def shown_names(names: Sequence[str]) -> str:
    """Name the first few."""
    rest = len(names) - SHOWN_NAMES
    return " ".join(names[:SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "")
