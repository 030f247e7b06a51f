"""What is known of a map's items, and what is to be done next: pure, but for the file that holds the values."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import ElectronError, MapError, TaskKilledError
from .call import Call
from .items import Item, Running, TaskReport, ValueStore
from .outcome import Outcome, Raised
from .verdict import exception_of

# An item that killed its process so often is not run again
KILLS_BEFORE_GIVING_UP = 2
# How many items are named in a message, and how much of each one's output is shown
NAMED_ITEMS = 20
SHOWN_CHARACTERS = 2 * 1024 * 1024


@dataclass
class Progress:
    """The items of one map, over all its jobs.

    Attributes:
        total: how many there are; None as long as nobody knows.
        items: those that ended, by index.
        kills: how often a process was killed in an item.
        killed: how it ended the last time, with the item's arguments and output.
        hook: the ending of a task that never came to its items: a hook raised, a module is missing.
    """

    total: int | None
    items: dict[int, Item] = field(default_factory=dict)
    kills: dict[int, int] = field(default_factory=dict)
    killed: dict[int, tuple[Outcome, Running]] = field(default_factory=dict)
    hook: Outcome | None = None
    timed_out: tuple[Outcome, Running | None] | None = None
    python: str = ""
    cloudpickle: str = ""
    tasks: int = 0
    jobs: int = 0

    def add(self, report: TaskReport) -> None:
        """Take note of what a task delivered; an item that was delivered before stays as it was."""
        if report.total is not None:
            self.total = report.total
        self.python = self.python or report.python
        self.cloudpickle = self.cloudpickle or report.cloudpickle
        for item in report.items:
            self.items.setdefault(item.index, item)
        ended = report.ended
        if ended is None:
            return
        if ended.reason == "time_limit":
            self.timed_out = (ended, report.running)
        elif report.running is None:
            # Before the first item, or after the last one: a hook that raised, a module that is missing, a crash.
            self.hook = ended
        else:
            index = report.running.index
            self.kills[index] = self.kills.get(index, 0) + 1
            self.killed[index] = (ended, report.running)

    def lost(self) -> list[int] | None:
        """The items to be run again, those last that killed a process before; None where it is not known which."""
        if self.total is None:
            return None
        missing = [index for index in range(self.total) if index not in self.items]
        return sorted(
            (index for index in missing if self.kills.get(index, 0) < KILLS_BEFORE_GIVING_UP),
            key=lambda index: index in self.kills,
        )

    def forget_raised(self) -> None:
        """Have the items that raised run again."""
        for item in self.raised:
            del self.items[item.index]

    @property
    def is_complete(self) -> bool:
        return self.total is not None and len(self.items) == self.total

    @property
    def raised(self) -> list[Item]:
        """The items that raised, in order."""
        return [self.items[index] for index in sorted(self.items) if self.items[index].raised is not None]

    def pickles(self, store: ValueStore, errors: Mapping[int, bytes]) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The pickle of each item in order: of its value, or of what stands for it."""
        for index in range(self.total or 0):
            if index in errors:
                yield len(errors[index]), iter((errors[index],))
            else:
                item = self.items[index]
                yield item.size, store.read(item.offset, item.size)

    def shown(self) -> str:
        """The list as text: the first values, and how many more there are."""
        first = [self.items[index].shown or "..." for index in range(min(self.total or 0, 20)) if index in self.items]
        more = (self.total or 0) - len(first)
        return f"[{', '.join(first)}{f', ... {more} more' if more else ''}]"[:4096]


def pickle_of_error(raised: Raised) -> bytes:
    """The pickle of what stands for an item that raised."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    # Others register functions for exceptions in copyreg, such as tblib's in Covalent's server: their pickles would not
    # load where those packages are missing.
    pickler.dispatch_table = {}
    pickler.dump(ElectronError(raised.full_name, raised.message, raised.traceback))
    return buffer.getvalue()


def failure_of(call: Call, progress: Progress) -> MapError:
    """The error that names the items that raised or killed their process."""
    errors: dict[int, Exception] = {}
    lines = []
    for item in progress.raised:
        assert item.raised is not None
        errors[item.index] = exception_of(item.raised)
        first_line = item.raised.message.split("\n", 1)[0][:200]
        lines.append((item.index, f"item {item.index} ({item.arguments}): {item.raised.full_name}: {first_line}"))
    for index, (ended, running) in progress.killed.items():
        if index not in progress.items:
            signal = f"signal {ended.signal}" if ended.signal is not None else f"exit status {ended.exit_status}"
            text = f"item {index} ({running.arguments}): killed its process ({signal})"
            if ended.out_of_memory_kills:
                text += " for want of memory: raise `memory`"
            errors[index] = TaskKilledError(text)
            lines.append((index, text))
    lines.sort()
    listed = "\n".join(f"  {text}" for _, text in lines[:NAMED_ITEMS])
    more = f"\n  ... and {len(lines) - NAMED_ITEMS} more" if len(lines) > NAMED_ITEMS else ""
    which = ", ".join(str(index) for index, _ in lines[:NAMED_ITEMS]) + (", ..." if more else "")
    return MapError(
        f"{len(lines)} of {progress.total} items of {call} failed: {which}\n{listed}{more}",
        dict(sorted(errors.items())),
    )


def output_of(progress: Progress, stream: str) -> str:
    """What the items printed, each under a line with its index; where that is too much, the first and the last."""
    printed: dict[int, Item | Running] = {index: running for index, (_, running) in progress.killed.items()}
    printed.update(progress.items)
    parts = []
    for index in sorted(printed):
        text = getattr(printed[index], stream)
        if text:
            parts.append(f"--- item {index} ---\n{text}" + ("" if text.endswith("\n") else "\n"))
    whole = "".join(parts)
    if len(whole) <= SHOWN_CHARACTERS:
        return whole
    half = SHOWN_CHARACTERS // 2
    return f"{whole[:half]}\n... {len(whole) - 2 * half} characters left out ...\n{whole[-half:]}"


def totals(progress: Progress) -> str:
    """One line of totals."""
    raised = len(progress.raised)
    missing = (progress.total or 0) - len(progress.items)
    told = [f"{len(progress.items) - raised} returned"]
    if raised:
        told.append(f"{raised} raised")
    if missing:
        told.append(f"{missing} did not end")
    jobs = f" in {progress.jobs} jobs" if progress.jobs > 1 else ""
    plural = "task" if progress.tasks == 1 else "tasks"
    return f"{progress.total} items: {', '.join(told)}; {progress.tasks} {plural}{jobs}\n"


def named(indices: Sequence[int]) -> str:
    """Some of the indices, for a message."""
    return ", ".join(map(str, indices[:NAMED_ITEMS])) + (", ..." if len(indices) > NAMED_ITEMS else "")
