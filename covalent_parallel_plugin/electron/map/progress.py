"""What is known of a map's items, and what is to be done next: pure, but for the file that holds the values."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import NAMED_ITEMS, ElectronError, MapError, TaskKilledError
from ...protocol.envelope import KILLED
from ..outcome import Outcome
from ..verdict import exception_of
from .item_table import Item, ItemTable, ValueStore
from .report import InterruptedItem, TaskReport

# An item that killed its process so often is not run again; nor is anything, once tasks were killed before their first
# item in so many jobs
KILLS_BEFORE_GIVING_UP = 2
# What stands for an item that killed its process has this for its type
KILLED_NAME = f"{TaskKilledError.__module__}.{TaskKilledError.__qualname__}"


@dataclass
class MapProgress:
    """The items of one map, over all its jobs.

    Attributes:
        total: how many there are; None as long as nobody knows.
        table: those that ended, and where in it each one is, by its index.
        kills: how often a process was killed in an item.
        killed: how it ended the last time, with the item's arguments and output; the latest kill last.
        hook: the ending of a task that is the electron's own: a hook raised, a module is missing.
        early: by job, how a task was killed before its first item.
        timed_out: how a task ran into its time limit, and in which item.
        outside: what each task printed outside its items, by job and task.
        lost_texts: stdout and stderr of items that were begun in a task of which no outcome came.
        failing: the job and task of `hook`, the latest of `early`, or `timed_out`.
        is_unread: whether more may be delivered than could be read.
        retained: how many items had returned in an earlier run.
    """

    total: int | None
    table: ItemTable = field(default_factory=ItemTable)
    places: dict[int, int] = field(default_factory=dict)
    kills: dict[int, int] = field(default_factory=dict)
    killed: dict[int, tuple[Outcome, InterruptedItem]] = field(default_factory=dict)
    hook: Outcome | None = None
    early: dict[int, Outcome] = field(default_factory=dict)
    timed_out: tuple[Outcome, InterruptedItem | None] | None = None
    outside: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)
    lost_texts: dict[int, tuple[str, str]] = field(default_factory=dict)
    failing: tuple[int, int] | None = None
    python: str = ""
    cloudpickle: str = ""
    tasks: int = 0
    jobs: int = 0
    is_unread: bool = False
    retained: int = 0

    def add(self, report: TaskReport) -> None:
        """Take note of what a task delivered; an item that was delivered before stays as it was."""
        if report.total is not None:
            self.total = report.total
        self.python = self.python or report.python
        self.cloudpickle = self.cloudpickle or report.cloudpickle
        for item in report.items:
            if item.index not in self.places:
                self.places[item.index] = len(self.table)
                self.table.append(item)
        task = (report.round, report.task)
        if report.stdout or report.stderr:
            # A task's chunks come after its outcome, which has all of it.
            self.outside.setdefault(task, (report.stdout, report.stderr))
        ended = report.ended
        if ended is None:
            return
        if ended.reason == "time_limit":
            self.timed_out = (ended, report.running)
            self.failing = task
        elif report.running is not None:
            index = report.running.index
            self.kills[index] = self.kills.get(index, 0) + 1
            self.killed.pop(index, None)
            self.killed[index] = (ended, report.running)
        elif ended.kind == KILLED and report.total is None:
            self.early[report.round] = ended
            self.failing = task
        else:
            # Before the first item a hook that raised or a module that is missing; after the last one also a crash.
            self.hook = ended
            self.failing = task

    def add_interrupted(self, round: int, task: int, streams: tuple[str, str]) -> None:
        """Take note of what a task printed after what it delivered of its items, until it was stopped."""
        before = self.outside.get((round, task), ("", ""))
        self.outside[round, task] = (before[0] + streams[0], before[1] + streams[1])

    def item(self, index: int) -> Item:
        """One that ended."""
        return self.table[self.places[index]]

    @property
    def missing(self) -> list[int]:
        """The items that did not end, as far as it is known how many there are."""
        return [index for index in range(self.total or 0) if index not in self.places]

    def lost(self) -> list[int] | None:
        """The items to be run again, those last that killed a process before; None where it is not known which."""
        if self.total is None:
            return None
        again = (index for index in self.missing if self.kills.get(index, 0) < KILLS_BEFORE_GIVING_UP)
        return sorted(again, key=lambda index: index in self.kills)

    def forget_raised(self) -> None:
        """Have the items that raised run again."""
        for item in self.raised:
            del self.places[item.index]

    @property
    def is_complete(self) -> bool:
        return self.total is not None and len(self.places) == self.total

    @property
    def returned(self) -> int:
        """How many items have a value."""
        return len(self.places) - len(self.raised)

    @property
    def is_hopeless(self) -> bool:
        """Whether tasks are killed before their first items, and not by chance: more jobs would end like this one."""
        return bool(self.early) and (not self.places or len(self.early) >= KILLS_BEFORE_GIVING_UP)

    @property
    def raised(self) -> list[Item]:
        """The items that raised, in order."""
        rows = ((position, self.table[position]) for position in self.table.raised)
        found = (item for position, item in rows if self.places.get(item.index) == position)
        return sorted(found, key=lambda item: item.index)

    @property
    def still_killed(self) -> dict[int, tuple[Outcome, InterruptedItem]]:
        """The items that killed their process and did not end since."""
        return {index: ending for index, ending in self.killed.items() if index not in self.places}

    def errors(self) -> dict[int, ElectronError]:
        """What stands for each item that has no value."""
        found = {}
        for item in self.raised:
            assert item.raised is not None
            found[item.index] = ElectronError(item.raised.full_name, item.raised.message, item.raised.traceback)
        for index, (ended, running) in self.still_killed.items():
            found[index] = ElectronError(KILLED_NAME, how_killed(ended), running.stderr)
        return found

    def pickles(self, store: ValueStore, errors: Mapping[int, bytes]) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The pickle of each item in order: of its value, or of what stands for it."""
        for index in range(self.total or 0):
            if index in errors:
                yield len(errors[index]), iter((errors[index],))
            else:
                item = self.item(index)
                yield item.size, store.read(item.offset, item.size)

    def shown(self) -> str:
        """The list as text: the first values, and how many more there are."""
        first = [self.item(index).shown or "..." for index in range(min(self.total or 0, 20)) if index in self.places]
        more = (self.total or 0) - len(first)
        return f"[{', '.join(first)}{f', ... {more} more' if more else ''}]"[:4096]


def how_killed(ended: Outcome) -> str:
    """How an item ended its process."""
    signal = f"signal {ended.signal}" if ended.signal is not None else f"exit status {ended.exit_status}"
    memory = " for want of memory: raise `memory`" if ended.out_of_memory_kills else ""
    return f"killed its process ({signal}){memory}"


def pickle_of_error(error: object) -> bytes:
    """The pickle of an exception, such as what stands for an item that has no value, or of what holds exceptions."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    # Others register functions for exceptions in copyreg, such as tblib's in Covalent's server: their pickles would not
    # load where those packages are missing.
    pickler.dispatch_table = {}
    pickler.dump(error)
    return buffer.getvalue()


def failure_of(whose: str, progress: MapProgress, values: Mapping[int, Any] | None = None) -> MapError:
    """The error that names the items that raised or killed their process; `values` are those of the others."""
    return MapError.of(whose, progress.total, failures_of(progress), values)


def failures_of(progress: MapProgress) -> dict[int, tuple[str, Exception]]:
    """How items raised, or killed their process: a text and an error for each of them."""
    failures: dict[int, tuple[str, Exception]] = {}
    for item in progress.raised:
        assert item.raised is not None
        first_line = item.raised.message.split("\n", 1)[0][:200]
        what = f"{item.raised.full_name}: {first_line}" if first_line else item.raised.full_name
        failures[item.index] = (f"({item.arguments}): {what}", exception_of(item.raised))
    for index, (ended, running) in progress.still_killed.items():
        text = f"({running.arguments}): {how_killed(ended)}"
        failures[index] = (text, TaskKilledError(f"item {index} {text}"))
    return failures


def named_items(indices: Sequence[int]) -> str:
    """Some of the indices, for a message."""
    return ", ".join(map(str, indices[:NAMED_ITEMS])) + (", ..." if len(indices) > NAMED_ITEMS else "")
