"""What is shown of a dispatch, its jobs and their items, in words; pure."""

from __future__ import annotations

from collections import Counter

from ...sweep.display.printable import printable
from ...sweep.display.run_progress import duration, hours_text
from .ending import short_ending
from .snapshot import JobView, Snapshot

# What Batch calls such a job while and after somebody ends it; its tasks are FAILED or UNEXECUTED then
CANCELLED_STATES = frozenset({"CANCELLED", "CANCELLATION_IN_PROGRESS"})
LOST_STATES = frozenset({"FAILED", "UNEXECUTED"})
NO_BASIS = "time left not known yet"


def dispatch_line(snapshot: Snapshot) -> str:
    """Return one line on the dispatch as a whole."""
    lattice = next((job.lattice for job in snapshot.jobs if job.lattice), "")
    name = f"dispatch {snapshot.dispatch_id}" + (f" ({lattice})" if lattice else "")
    count = len(snapshot.jobs)
    text = f"{name}: {snapshot.state or 'state not known'}, {count} job{'' if count == 1 else 's'}"
    if snapshot.machine_hours:
        text += f", {hours_text(snapshot.machine_hours)}"
    return printable(f"{text}; {snapshot.note}" if snapshot.note else text)


def electron_name(job: JobView) -> str:
    """Return a job's electron, after the lattice's name if that is a sublattice; "" where it is not known."""
    lattice = f"{job.lattice or job.dispatch_id}: " if job.dispatch_id else ""
    return printable(f"{lattice}{job.electron}" if job.electron else lattice.removesuffix(": "))


def electron_title(job: JobView) -> str:
    """Return a job's electron, with its node."""
    name = electron_name(job)
    return f"{name} (node {printable(job.node)})" if name else f"node {printable(job.node)}"


def job_state(job: JobView) -> str:
    """Return how a job's electron ended, in a few words, or else the state of the job."""
    return printable(short_ending(job.ending)) or job.state


def trouble(job: JobView) -> str:
    """Return what there is to know of a job that waits, or whose electron failed; "" of others."""
    if job.ending and job.ending != job_state(job):
        return printable(job.ending)
    return printable(f"{job.event} ({job.meaning})" if job.meaning else job.event)


def task_counts(job: JobView) -> str:
    """Return how many of a job's tasks are in each state; "" where there is only one."""
    counts: Counter[str] = Counter()
    for state, count in job.tasks.items():
        counts["CANCELLED" if job.state in CANCELLED_STATES and state in LOST_STATES else state] += count
    if counts.total() <= 1:
        return ""
    states = ", ".join(f"{count} {state.lower()}" for state, count in sorted(counts.items()))
    return f"{counts.total()} tasks: {states}"


def items_done(job: JobView) -> str:
    """Return how many of a map's items are done, as briefly as can be; "" of other jobs."""
    items = job.items
    if items is None:
        return "?" if job.is_map else ""
    return f"{'' if items.is_exact else '~'}{items.done}" + ("" if items.total is None else f"/{items.total}")


def item_counts(job: JobView) -> str:
    """Return what is known of a map's items; "" of other jobs."""
    items = job.items
    if items is None:
        # How many items a list has that an electron made, the first task finds out.
        return ("items: not known" + ("" if job.has_ended else " yet")) if job.is_map else ""
    about = "" if items.is_exact else "about "
    total = "" if items.total is None else f"of {items.total} "
    texts = [f"{about}{items.done} {total}items done"]
    counts = {"failed": items.failed, "running": items.running, "waiting": items.waiting}
    if job.state not in CANCELLED_STATES:
        counts["lost"] = items.lost
    texts += [f"{count} {name}" for name, count in counts.items() if count]
    return ", ".join(texts)


def item_pace(job: JobView) -> str:
    """Return how fast the items of a map that runs end, and how long the rest may take; "" where none is left."""
    items = job.items
    if items is None or job.has_ended or not (items.running or items.waiting):
        return ""
    if items.per_second is None or items.left_seconds is None:
        return NO_BASIS
    left = f"{duration(items.left_seconds)} left" if items.left_seconds >= 1 else "about to end"
    return f"{rate(items.per_second)}, {left}"


def progress(job: JobView) -> str:
    """Return all that is known of how far a map is; "" of other jobs."""
    if not job.is_map:
        return ""
    hours = hours_text(job.machine_hours)
    return "; ".join(filter(None, (item_counts(job), item_pace(job), hours, task_counts(job))))


def rate(per_second: float) -> str:
    """Return how often something happens, in the unit that makes it a number from 1 on."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:.1f}/{unit}"
    return f"{per_second * 3600:.1f}/h"


def is_spread(snapshot: Snapshot) -> bool:
    """Return whether a dispatch's jobs are in several projects or regions."""
    return len({job.parent for job in snapshot.jobs}) > 1


def place(job: JobView) -> str:
    """Return a job's project and region."""
    return " ".join(job.parent.split("/")[1::2])
