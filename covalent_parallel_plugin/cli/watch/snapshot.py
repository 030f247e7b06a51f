"""A dispatch and its jobs as they are shown: pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from ...batch.error_hints import find_last_hint
from ...batch.job_names import LABEL_ITEMS, LABEL_LATTICE, LABEL_NODE
from ...cloud.batch import JobStatus

# Covalent's states that a dispatch ends with (covalent._shared_files.util_classes.Status)
OVER = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
WAITING_STATES = frozenset({"STATE_UNSPECIFIED", "QUEUED", "SCHEDULED"})


@dataclass(frozen=True)
class ItemCounts:
    """A map's items, reckoned from its tasks: an item is done with its task, whether it returned or raised.

    The tasks take turns with the items, so each has as many as any other, or one more; `is_exact` says whether that
    makes no difference.

    Attributes:
        total: of this job.
        done: of tasks that succeeded, which a task also does whose items raised.
        failed: of tasks that failed or never ran. Some of these may have been delivered; the others may run again in
            another job.
    """

    total: int
    done: int
    failed: int
    is_exact: bool


@dataclass(frozen=True)
class JobView:
    """One Batch job of a dispatch; `seconds` is how long it has taken so far, or took.

    Attributes:
        parent: the projects/PROJECT/locations/REGION it is in.
        tasks: how many there are in each of Batch's states.
        items: of a map, where the job tells how many there are.
        event: of a job that waits or has failed, the last event's text; `meaning` is what that means and what to do.
    """

    name: str
    node: str
    electron: str
    lattice: str
    state: str
    seconds: float
    has_ended: bool
    parent: str = ""
    tasks: Mapping[str, int] = field(default_factory=dict)
    items: ItemCounts | None = None
    event: str = ""
    meaning: str = ""

    @property
    def is_map(self) -> bool:
        """Whether it is a map's: only these have several tasks; of one task that is known from the items alone."""
        return self.items is not None or sum(self.tasks.values()) > 1


@dataclass(frozen=True)
class Snapshot:
    """A dispatch at one moment.

    `state` is "" where Covalent's server could not tell it. `note` says why, or why there are no jobs, or what else is
    to be known.
    """

    dispatch_id: str
    state: str
    jobs: Sequence[JobView]
    note: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be seen of it."""
        return all(job.has_ended for job in self.jobs) and (self.state in OVER or (not self.state and bool(self.jobs)))

    def json(self) -> str:
        """All of it as one line of JSON."""
        return json.dumps(asdict(self))


def job_view(job: JobStatus, now: float, names: Mapping[str, str], parent: str = "") -> JobView:
    """A job as it is shown; `names` are the electrons' by node, `now` is in seconds since 1970."""
    node = job.labels.get(LABEL_NODE, "")
    # Batch tells no end; its last event is that.
    end = job.events[-1].seconds if job.is_terminal and job.events else now
    event, meaning = "", ""
    if (job.state in WAITING_STATES or job.state == "FAILED") and job.events:
        texts = [entry.description for entry in job.events]
        known = find_last_hint(texts)
        event = texts[-1] if known is None else known[1]
        meaning = "" if known is None else f"{known[0].meaning}: {known[0].remedy}"
    return JobView(
        name=job.name.rsplit("/", 1)[-1],
        node=node,
        electron=names.get(node, ""),
        lattice=job.labels.get(LABEL_LATTICE, ""),
        state=job.state,
        seconds=round(max(end - job.created_seconds, 0.0), 1),
        has_ended=job.is_terminal,
        parent=parent,
        tasks={state: count for state, count in job.counts.items() if count},
        items=_items(job),
        event=event,
        meaning=meaning,
    )


def _items(job: JobStatus) -> ItemCounts | None:
    text = job.labels.get(LABEL_ITEMS, "")
    tasks = sum(job.counts.values())
    if not text.isdecimal():
        return None
    total = int(text)

    def share(*states: str) -> int:
        count = sum(job.counts.get(state, 0) for state in states)
        return total * count // tasks if tasks else 0

    is_exact = not tasks or total % tasks == 0 or tasks in job.counts.values()
    return ItemCounts(total, share("SUCCEEDED"), share("FAILED", "UNEXECUTED"), is_exact)
