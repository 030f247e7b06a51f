"""What a map printed, as one text: hooks by task, then items by index, each with a fair part of the room there is."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from ...protocol.item_call import format_indices
from ...protocol.object_names import STREAMS
from ..outcome import decode_output
from ..output_sections import Section, note, section
from .item_table import ValueStore
from .progress import MapProgress
from .report import InterruptedItem

# How much of each stream is shown, without the lines in between; as much of a lone electron's is kept
SHOWN_BYTES = 2 * 1024 * 1024
# Limits of what tasks print outside their items, and of how many tasks whose output differs
OUTSIDE_BYTES = 256 * 1024
OUTSIDE_TASKS = 20
# If there are more items than this, the first and the last are shown
MOST_SECTIONS = 20_000


def output_of(progress: MapProgress, store: ValueStore, stream: str, is_followed: bool = False) -> str:
    """What was printed: outside the items under the tasks it came from, then under each item's index what it printed.

    Nothing is shown twice: tasks whose hooks printed the same share a section. Where there is too much, of each long
    text the first and the last part is shown. `is_followed` says that something may come after it that has no title.
    """
    titled = [*_outside(progress, STREAMS.index(stream)), *_items(progress, store, stream)]
    return "".join(
        part if isinstance(part, str) else section(*part, is_followed and part is titled[-1] and _is_item(part.title))
        for part in titled
    )


def _is_item(title: str) -> bool:
    # What follows a task's section, such as a hook's traceback, is of that task.
    return title.startswith("item ")


def totals(progress: MapProgress) -> str:
    """One line of totals."""
    raised = len(progress.raised)
    missing = (progress.total or 0) - len(progress.places)
    told = [f"{progress.returned} returned"]
    if progress.retained:
        told.append(f"{progress.retained} of them in an earlier run")
    if raised:
        told.append(f"{raised} raised")
    if missing:
        told.append(f"{missing} {'were not read' if progress.is_unread else 'did not end'}")
    jobs = f" in {progress.jobs} jobs" if progress.jobs > 1 else ""
    plural = "task" if progress.tasks == 1 else "tasks"
    total = "" if progress.total is None else f"{progress.total} "
    return f"{total}items: {', '.join(told)}; {progress.tasks} {plural}{jobs}\n"


def _outside(progress: MapProgress, stream: int) -> Iterator[str | Section]:
    same: dict[str, list[tuple[int, int]]] = {}
    for task in sorted(progress.outside):
        text = progress.outside[task][stream]
        if text:
            same.setdefault(text, []).append(task)
    # The one that failed is shown whole, and so is the first.
    texts = sorted(same, key=lambda text: progress.failing not in same[text])
    room, silent = OUTSIDE_BYTES, 0
    for number, text in enumerate(texts):
        if number and (number >= OUTSIDE_TASKS or len(text) > room):
            silent += len(same[text])
            continue
        room -= len(text)
        yield Section(f"{_tasks(same[text])}, outside the items", text)
    if silent:
        yield note(f"{silent} more tasks printed something else outside the items")


def _tasks(tasks: Sequence[tuple[int, int]]) -> str:
    """Tasks by the numbers that Batch gives them, such as "tasks 0-3; task 1 of job 2"."""
    told = []
    for job in sorted({job for job, _ in tasks}):
        numbers = [task for each, task in tasks if each == job]
        plural = "task" if len(numbers) == 1 else "tasks"
        told.append(f"{plural} {format_indices(numbers)}" + (f" of job {job + 1}" if job else ""))
    return "; ".join(told)


def _items(progress: MapProgress, store: ValueStore, stream: str) -> Iterator[str | Section]:
    # Nothing is kept but numbers and the finished texts: of ten thousand tuples the garbage collector takes notice.
    words = {index: getattr(running, stream).encode() for index, running in _in_which_ended(progress)}
    indices, sizes = array("q"), array("q")
    for index in sorted({*progress.places, *words}):
        size = len(words[index]) if index in words else progress.table.printed(progress.places[index], stream)[1]
        if size:
            indices.append(index)
            sizes.append(size)
    left_out = range(MOST_SECTIONS // 2, max(len(indices) - MOST_SECTIONS // 2, 0))
    longest = _longest([size for row, size in enumerate(sizes) if row not in left_out], SHOWN_BYTES)
    for row, (index, size) in enumerate(zip(indices, sizes, strict=True)):
        if row in left_out:
            if row == left_out.start:
                yield note(f"the output of {len(left_out)} items is left out")
            continue

        def read(start: int, size: int, index: int = index) -> str:
            if index in words:
                return decode_output(words[index][start : start + size])
            return store.text((progress.table.printed(progress.places[index], stream)[0] + start, size))

        if size <= longest:
            text = read(0, size)
        else:
            half = longest // 2
            text = f"{read(0, half)}\n... {size - 2 * half} bytes left out ...\n{read(size - half, half)}"
        yield Section(f"item {index}", text)


def _in_which_ended(progress: MapProgress) -> Iterator[tuple[int, InterruptedItem]]:
    """The items in which a process was ended, or in whose task it was lost, and that did not end since."""
    for index, (stdout, stderr) in progress.lost_texts.items():
        if index not in progress.places:
            yield index, InterruptedItem(index, "", stdout, stderr)
    for index, (_, running) in progress.still_killed.items():
        yield index, running
    if progress.timed_out is not None and progress.timed_out[1] is not None:
        running = progress.timed_out[1]
        if running.index not in progress.places:
            yield running.index, running


def _longest(sizes: Sequence[int], room: int) -> int:
    """How long a text may be to be shown whole, where all the others get as much."""
    left = len(sizes)
    for size in sorted(sizes):
        if size * left > room:
            return room // left
        room -= size
        left -= 1
    return max(sizes, default=0)
