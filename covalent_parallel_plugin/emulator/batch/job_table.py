"""Keep the jobs that exist by name, with their responses; sort, filter and page them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..execution.scheduled_job import ScheduledJob
from ..filters.field_masks import EVERYTHING, Fields
from ..filters.filter_language import Field, FilterLanguage, has_key, number, text, time
from ..model.errors import RpcError
from ..model.job import Task
from ..project.secrets import project_number
from .messages import JobName, nanoseconds
from .operations import Operation
from .response_cache import JobResponses, TaskResponses

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
T = TypeVar("T")


@dataclass
class JobRecord:
    """One job: `base` is its message without state, `number` its place in the order of creation.

    `open_operations` are the operations on it that are not done.
    """

    name: JobName
    base: Any
    scheduled: ScheduledJob
    number: int
    open_operations: list[Operation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._answers = JobResponses(self.base, self.scheduled.plan)
        self._task_answers = TaskResponses(self.base.task_groups[0].name)

    def answer(self, now: float, mask: str = "", fields: Fields = EVERYTHING) -> bytes:
        """Return the job's message; of it only `fields`, for which `mask` is a name."""
        return self._answers.answer(self.scheduled.job, now, mask, fields)

    def task_message(self, task: Task) -> bytes:
        """Return the message of one of the job's tasks."""
        return self._task_answers.answer(task)


_STATE = Field[JobRecord](lambda record: record.scheduled.job.state.name, text)
JOB_FILTERS = FilterLanguage[JobRecord](
    fields={
        "name": Field(lambda record: str(record.name), text),
        "uid": Field(lambda record: str(record.base.uid), text),
        "priority": Field(lambda record: record.base.priority, number),
        "status.state": _STATE,
        "state": _STATE,
        "create_time": Field(lambda record: nanoseconds(record.scheduled.job.created), time),
        "update_time": Field(lambda record: nanoseconds(record.scheduled.job.updated), time),
        "labels": Field(lambda record: record.base.labels, has_key),
    },
    keyed={"labels": Field(lambda record: record.base.labels, text)},
)
"""What filters of jobs understand."""


class JobTable:
    """All jobs. Not safe for threads: guard it with a lock. A project may be given by its number too."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, str], dict[str, JobRecord]] = {}
        self._projects: dict[str, str] = {}
        self._made = 0

    def __len__(self) -> int:
        return sum(len(jobs) for jobs in self._jobs.values())

    def add(self, name: JobName, base: Any, scheduled: ScheduledJob) -> JobRecord:
        """Keep a new job; the caller has seen that there is none of this name."""
        self._projects[project_number(name.project)] = name.project
        self._made += 1
        record = JobRecord(name, base, scheduled, self._made)
        self._jobs.setdefault((name.project, name.location), {})[name.job] = record
        return record

    def find(self, name: JobName) -> JobRecord | None:
        """Find a job."""
        return self._jobs.get((self._project(name.project), name.location), {}).get(name.job)

    def get(self, name: JobName) -> JobRecord:
        """Find a job. Raises RpcError (NOT_FOUND)."""
        record = self.find(name)
        if record is None:
            raise RpcError("NOT_FOUND", f'Resource "{name.numbered}" was not found')
        return record

    def remove(self, record: JobRecord) -> None:
        """Forget a job, if it is still the one of its name."""
        jobs = self._jobs.get((record.name.project, record.name.location), {})
        if jobs.get(record.name.job) is record:
            del jobs[record.name.job]

    def below(self, project: str, location: str) -> list[JobRecord]:
        """List the jobs of a project in a location ("-": in all), oldest first."""
        project = self._project(project)
        if location != "-":
            return list(self._jobs.get((project, location), {}).values())
        everywhere = [record for (owner, _), jobs in self._jobs.items() if owner == project for record in jobs.values()]
        return sorted(everywhere, key=lambda record: record.number)

    def _project(self, project: str) -> str:
        return self._projects.get(project, project)


def in_order(jobs: list[JobRecord], order_by: str) -> list[JobRecord]:
    """Sort jobs as asked: by "name" or "create_time", with " desc" the other way. Raises RpcError."""
    words = order_by.split()
    if not words:
        return jobs
    if words[0] not in ("name", "create_time", "createTime") or words[1:] not in ([], ["asc"], ["desc"]):
        raise RpcError("INVALID_ARGUMENT", f"order_by {order_by!r} must be name or create_time, with desc or without")
    by_name = words[0] == "name"
    return sorted(
        jobs, key=lambda record: str(record.name) if by_name else record.number, reverse=words[1:] == ["desc"]
    )


def page(
    items: Iterable[T], *, size: int, token: str, mark: Callable[[T], int], is_wanted: Callable[[T], bool]
) -> tuple[Sequence[T], str]:
    """Cut the page after the item with the token's mark out of what is wanted, and give the next page's token.

    A mark names an item for as long as it exists; an item that has gone since ends the listing with an error, as an
    old token does. Raises RpcError (INVALID_ARGUMENT).
    """
    if size < 0:
        raise RpcError("INVALID_ARGUMENT", f"page_size {size} must not be negative")
    limit = min(size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    is_past = not token
    last = int(token) if token.isdecimal() else -1
    chosen: list[T] = []
    for item in items:
        if not is_past:
            is_past = mark(item) == last
        elif is_wanted(item):
            if len(chosen) == limit:
                return chosen, str(mark(chosen[-1]))
            chosen.append(item)
    if not is_past:
        raise RpcError("INVALID_ARGUMENT", f"page_token {token!r} is not valid, or has expired")
    return chosen, ""
