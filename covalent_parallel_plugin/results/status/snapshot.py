"""A dispatch and its jobs as they are shown: pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from ...batch.error_hints import find_last_hint
from ...batch.job_names import LABEL_LATTICE, LABEL_NODE
from ...batch.job_verdict import EXIT_CODES
from ...covalent_api.server_client import OVER
from .item_counts import ItemCounts, is_map, reckoned

if TYPE_CHECKING:
    from ...cloud.batch import JobStatus

WAITING_STATES = frozenset({"STATE_UNSPECIFIED", "QUEUED", "SCHEDULED"})
_EXIT_CODE = re.compile(r"\bexit code (\d{1,5})\b")


@dataclass(frozen=True)
class JobView:
    """One Batch job of a dispatch; `seconds` is how long it has taken so far, or took.

    Attributes:
        parent: the projects/PROJECT/locations/REGION it is in.
        tasks: how many there are in each of Batch's states.
        items: those of a map, if it is known how many there are, or have ended.
        is_map: whether it is a map's.
        ending: how its electron ended, such as "raised ValueError: no data"; "" before that, or if it is not known.
        event: the last event's text, if the job waits or has failed; `meaning` is what that means and what to do.
        machine_hours: how long its machines were there for it so far, added up.
        dispatch_id: the dispatch of a sublattice's job; "" for others.
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
    is_map: bool = False
    ending: str = ""
    event: str = ""
    meaning: str = ""
    machine_hours: float = 0.0
    dispatch_id: str = ""


@dataclass(frozen=True)
class Snapshot:
    """A dispatch at one moment.

    `state` is "" where Covalent's server could not report it. `note` says why, or why there are no jobs, or what
    else is to be known.
    """

    dispatch_id: str
    state: str
    jobs: Sequence[JobView]
    note: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be seen of it."""
        return all(job.has_ended for job in self.jobs) and (self.state in OVER or (not self.state and bool(self.jobs)))

    @property
    def machine_hours(self) -> float:
        """Those of all its jobs."""
        return sum(job.machine_hours for job in self.jobs)

    def json(self) -> str:
        """All of it as one line of JSON."""
        return json.dumps({**asdict(self), "machine_hours": round(self.machine_hours, 4)})


def job_view(job: JobStatus, now: float, names: Mapping[str, str], parent: str = "") -> JobView:
    """A job as it is shown; `names` are the electrons' by node, `now` is in seconds since 1970."""
    node = job.labels.get(LABEL_NODE, "")
    # Batch reports no end; its last event is that.
    end = job.events[-1].seconds if job.is_terminal and job.events else now
    event, meaning = "", ""
    if (job.state in WAITING_STATES or job.state == "FAILED") and job.events:
        texts = [entry.description for entry in job.events]
        known = find_last_hint(texts)
        event = texts[-1] if known is None else known[1]
        meaning = _meaning_of_code(event) if known is None else f"{known[0].meaning}: {known[0].remedy}"
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
        items=reckoned(job) if is_map(job) else None,
        is_map=is_map(job),
        event=event,
        meaning=meaning,
    )


def _meaning_of_code(event: str) -> str:
    """What the exit code says with which a job's task failed, and what to do; "" without one that is known."""
    found = _EXIT_CODE.search(event)
    known = EXIT_CODES.get(int(found[1])) if found else None
    if known is None:
        return ""
    meaning, remedy = known
    return f"{meaning}: {remedy[0].lower()}{remedy[1:].rstrip('.')}"
