"""A dispatch as a terminal shows it, in a table that changes in place, or in lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...results.status import words
from ...results.status.snapshot import JobView, Snapshot
from ...sweep.display.run_progress import duration

if TYPE_CHECKING:
    from rich.console import Group

COLOURS = {"SUCCEEDED": "green", "FAILED": "red", "RUNNING": "cyan", "CANCELLED": "yellow"}
# Columns of a terminal from which on the table has the jobs' names, and their places; what gives way goes first here
JOB_COLUMNS, PLACE_COLUMNS = 100, 120
# A map's line comes so often at most if only its items have changed, and so often at least while it runs
LEAST_SECONDS, MOST_SECONDS = 10.0, 60.0


class ChangePrinter:
    """Prints a line for each job that has changed.

    Args:
        write: prints a line.
        clock: seconds from any start.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._seen: dict[str, tuple[str, str, float]] = {}
        self._dispatch = ""

    def show(self, snapshot: Snapshot) -> None:
        """Print what has changed since the look before."""
        for job in snapshot.jobs:
            state = "  ".join(filter(None, (words.job_state(job), words.task_counts(job), words.trouble(job))))
            items, now = words.item_counts(job), self._clock()
            before = self._seen.get(job.name)
            if before is not None and before[0] == state:
                passed = now - before[2]
                due = passed >= LEAST_SECONDS if before[1] != items else passed >= MOST_SECONDS and words.item_pace(job)
                if not due:
                    continue
            place = words.place(job) if words.is_spread(snapshot) else ""
            parts = (
                words.electron_title(job),
                job.name,
                place,
                duration(job.seconds),
                words.job_state(job),
                words.progress(job),
                words.trouble(job),
            )
            self._write("  ".join(filter(None, parts)))
            self._seen[job.name] = state, items, now
        text = words.dispatch_line(snapshot)
        if _without_hours(snapshot) != self._dispatch:
            self._write(text)
        self._dispatch = _without_hours(snapshot)


def table(snapshot: Snapshot, width: int, whole: Snapshot | None = None) -> Group:
    """Return a look as a terminal of so many columns shows it.

    Each job has a row; what else there is to know of it stands below the rows, since a line may be as long as it wants
    to be. A narrow terminal has no column for the jobs' names, which mostly end with the node's number. `whole` is the
    dispatch where only some of its jobs are shown.
    """
    from rich import box
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    # The empty line is where the terminal writes ^C; at the end of a full line that would push the table up by one.
    first = escape(words.dispatch_line(whole or snapshot))
    if not snapshot.jobs:
        return Group(first, "")
    shown = _columns(snapshot, width)
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in shown:
        is_number = heading in ("node", "time", "items")
        made.add_column(
            heading, overflow="fold", no_wrap=is_number or heading == "job", justify="right" if is_number else "left"
        )
    for job in snapshot.jobs:
        cells = {
            "node": job.node,
            "electron": words.electron_name(job),
            "job": _end_of_name(job, snapshot),
            "state": words.job_state(job),
            "time": duration(job.seconds),
            "items": words.items_done(job),
            "place": words.place(job),
        }
        made.add_row(
            *(Text(cells[heading], COLOURS.get(job.state, "") if heading == "state" else "") for heading in shown)
        )
    below = []
    for job in snapshot.jobs:
        place = words.place(job) if words.is_spread(snapshot) and "place" not in shown else ""
        text = "; ".join(filter(None, (place, words.progress(job), words.trouble(job))))
        below += [escape(f"{words.electron_title(job)}: {text}")] if text else []
    return Group(first, made, *below, "")


def _columns(snapshot: Snapshot, width: int) -> list[str]:
    """The headings of the columns that a terminal of this width has room for."""
    is_left_out = {
        "electron": not any(map(words.electron_name, snapshot.jobs)),
        "job": width < JOB_COLUMNS,
        "items": not any(job.is_map for job in snapshot.jobs),
        "place": width < PLACE_COLUMNS or not words.is_spread(snapshot),
    }
    every = ("node", "electron", "job", "state", "time", "items", "place")
    return [heading for heading in every if not is_left_out.get(heading)]


def _end_of_name(job: JobView, snapshot: Snapshot) -> str:
    """The job's name without what all of them start with."""
    start = f"covalent-{snapshot.dispatch_id}"
    return f"…{job.name[len(start) :]}" if job.name.startswith(start) else job.name


def _without_hours(snapshot: Snapshot) -> str:
    """What is new of a dispatch where it changes: not that time passes."""
    return f"{snapshot.state} {len(snapshot.jobs)} {snapshot.note}"
