"""The identity of a call and of a task of its jobs, with the names of their objects and what these are sealed for."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import NamedTuple, Optional

from . import object_names as names
from .envelope import CALL, CHECKPOINT, FOLLOW, ITEMS, LIVE

TAG_DIGITS = 16


def task_binding(kind: str, call_id: str, task_index: int = 0, round: "Optional[int]" = None) -> bytes:
    """What an envelope is sealed for: its kind, the call, the task and, after the call's first job, which job."""
    return json.dumps([kind, call_id, task_index, round]).encode()


def chunk_binding(call_id: str, task_index: int, round: int, number: int) -> bytes:
    """What a chunk of a task's items is sealed for."""
    return json.dumps([ITEMS, call_id, task_index, round, number]).encode()


def live_binding(call_id: str, task_index: int, round: int, attempt: int, number: int) -> bytes:
    """What a part of the output of a task that runs is sealed for."""
    return json.dumps([LIVE, call_id, task_index, round, attempt, number]).encode()


class CallIdentity(NamedTuple):
    """One submission of a call: an id, a key for its seals, and its folder in the bucket."""

    call_id: str
    key: bytes
    folder: str

    def __repr__(self) -> str:
        return "CallIdentity(%s)" % self.folder

    @property
    def object_name(self) -> str:
        """The object that holds the call."""
        return names.call_name(self.folder)

    @property
    def binding(self) -> bytes:
        """What the call is sealed for."""
        return task_binding(CALL, self.call_id)

    @property
    def follow_name(self) -> str:
        """The object with which somebody asks for the output of tasks that run."""
        return names.follow_name(self.folder)

    @property
    def follow_binding(self) -> bytes:
        """What such a request is sealed for."""
        return task_binding(FOLLOW, self.call_id)

    def task(self, index: int = 0, round: int = 0) -> "TaskAddress":
        """One task of the call's job number `round`."""
        return TaskAddress(self, index, round)


class TaskAddress(NamedTuple):
    """One task: its call, its index in its job, and which of the call's jobs that is, from 0 on."""

    call: CallIdentity
    task: int = 0
    round: int = 0

    @property
    def key(self) -> bytes:
        """The key of its seals."""
        return self.call.key

    @property
    def outcome_name(self) -> str:
        """The write-once object that holds the task's outcome."""
        return names.outcome_name(self.call.folder, self.task, self.round)

    def chunk_name(self, number: int) -> str:
        """The write-once object that holds some of the task's items."""
        return names.chunk_name(self.call.folder, self.task, self.round, number)

    def partial_name(self, attempt: int) -> str:
        """The output so far of an attempt whose machine was taken away."""
        return names.partial_name(self.call.folder, self.task, attempt, self.round)

    def live_name(self, attempt: int, number: int, done: int = 0, failed: int = 0) -> str:
        """The write-once object that holds some of the output of an attempt that runs."""
        return names.live_name(self.call.folder, self.task, attempt, number, done, failed, self.round)

    def live_binding(self, attempt: int, number: int) -> bytes:
        """What such a part is sealed for."""
        return live_binding(self.call.call_id, self.task, self.round, attempt, number)

    def checkpoint_name(self, number: int) -> str:
        """The write-once object that holds the task's checkpoint of this number, from 0 on."""
        tag = hmac.new(self.key, b"name " + self.checkpoint_binding(number), hashlib.sha256).hexdigest()[:TAG_DIGITS]
        return names.checkpoint_name(self.call.folder, self.task, number, tag)

    def checkpoint_binding(self, number: int) -> bytes:
        """What that is sealed for."""
        return json.dumps([CHECKPOINT, self.call.call_id, self.task, number]).encode()

    def checkpoint_number(self, name: str) -> "Optional[int]":
        """The number of one of the task's checkpoints; None for any other object."""
        parsed = names.parse_name(name)
        if parsed is None or parsed.kind != CHECKPOINT or self.checkpoint_name(parsed.number) != name:
            return None
        return parsed.number

    def stream_name(self, stream: str) -> str:
        """The whole of the task's stdout or stderr, where it was too long for the outcome."""
        return names.stream_name(self.call.folder, self.task, stream, self.round)

    def binding(self, kind: str) -> bytes:
        """What an envelope of this kind is sealed for."""
        return task_binding(kind, self.call.call_id, self.task, self.round or None)

    def chunk_binding(self, number: int) -> bytes:
        """What a chunk of the task's items is sealed for."""
        return chunk_binding(self.call.call_id, self.task, self.round, number)
