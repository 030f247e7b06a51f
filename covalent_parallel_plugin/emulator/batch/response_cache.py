"""Build responses as bytes from cached parts: what does not change is serialized once.

Protocol buffers are made for it: bytes that follow each other are one message, and a message in a field that occurs
twice is merged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.cloud import batch_v1

from ..filters.field_masks import EVERYTHING, Fields, apply_mask
from ..model.job import Job, Task
from ..model.task_plan import TaskPlan
from .messages import fill_status, set_time, task_message

# ListJobsResponse and ListTasksResponse have the entries in field 1 and the token in field 2, both length-delimited
_ENTRY, _TOKEN = b"\x0a", b"\x12"
_KEPT_MASKS = 8


class JobResponses:
    """The answers of one job; `base` is its message without its state, as `with_defaults` made it."""

    def __init__(self, base: Any, plan: TaskPlan) -> None:
        self._base = base
        self._plan = plan
        # by mask: the part that never changes; the part that changes with the job, with the revision it was made for
        self._fixed: dict[str, bytes] = {}
        self._changing: dict[str, tuple[int, bytes]] = {}

    def answer(self, job: Job, now: float, mask: str, fields: Fields) -> bytes:
        """Return the job's message; `fields` are those requested, `mask` a name for them."""
        if mask not in self._fixed:
            if len(self._fixed) >= _KEPT_MASKS:
                self._fixed.clear()
                self._changing.clear()
            fixed = type(self._base)()
            fixed.CopyFrom(self._base)
            set_time(fixed.create_time, job.created)
            self._fixed[mask] = _bytes(fixed, fields)
        made_for, changing = self._changing.get(mask, (-1, b""))
        if made_for != job.revision:
            message = type(self._base)()
            set_time(message.update_time, job.updated)
            fill_status(message.status, job, self._plan)
            changing = _bytes(message, fields)
            self._changing[mask] = (job.revision, changing)
        return self._fixed[mask] + changing + self._duration(job, now, fields)

    def _duration(self, job: Job, now: float, fields: Fields) -> bytes:
        """Return the part that changes with the time: how long the job has run."""
        if job.started is None or (fields and "status" not in fields):
            return b""
        message = type(self._base)()
        seconds = job.run_seconds(now)
        message.status.run_duration.seconds, message.status.run_duration.nanos = int(seconds), int(seconds % 1 * 1e9)
        return _bytes(message, fields)


class TaskResponses:
    """The answers of the tasks of one group; a task's message changes with each of its events, and only so."""

    def __init__(self, group_name: str) -> None:
        self._group_name = group_name
        self._kept: dict[int, tuple[int, bytes]] = {}

    def answer(self, task: Task) -> bytes:
        """Return a task's message."""
        made_for, answer = self._kept.get(task.index, (-1, b""))
        if made_for != len(task.events):
            answer = task_message(self._group_name, task).SerializeToString()
            self._kept[task.index] = (len(task.events), answer)
        return answer


def list_response(entries: Iterable[bytes], token: str, fields: Fields = EVERYTHING) -> bytes:
    """Return a page: a ListJobsResponse or ListTasksResponse with these messages and the next page's token."""
    parts: list[bytes] = []
    if not fields or "jobs" in fields:
        for entry in entries:
            parts += (_ENTRY, _length(entry), entry)
    if token and (not fields or "next_page_token" in fields):
        text = token.encode()
        parts += (_TOKEN, _length(text), text)
    return b"".join(parts)


def message_type(name: str) -> Any:
    """Return the descriptor of a message of Batch's."""
    kind = getattr(batch_v1, name)
    return kind.pb(kind()).DESCRIPTOR


def _bytes(message: Any, fields: Fields) -> bytes:
    apply_mask(message, fields)
    return bytes(message.SerializeToString())


def _length(data: bytes) -> bytes:
    """Write a length as a varint."""
    rest, digits = len(data), bytearray()
    while rest > 0x7F:
        digits.append(rest & 0x7F | 0x80)
        rest >>= 7
    digits.append(rest)
    return bytes(digits)
