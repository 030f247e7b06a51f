"""The identity of a sweep and of its tasks: what their objects are called, and what these are sealed for."""

from __future__ import annotations

import json
from typing import NamedTuple

from . import sweep_objects as names
from .envelope import FOLLOW, LIVE

SETUP = "sweep-setup"
SHARD = "sweep-shard"
OUTCOME = "sweep-outcome"
ATTEMPT = "sweep-attempt"
ROW = "sweep-row"


class SweepIdentity(NamedTuple):
    """A sweep: its id, the key of its seals, and its folder in the bucket."""

    sweep_id: str
    key: bytes
    folder: str

    def __repr__(self) -> str:
        return "SweepIdentity(%s)" % self.folder

    def setup_binding(self, round: int) -> bytes:
        """What the setup of a round is sealed for."""
        return self._binding(SETUP, round)

    def shard_binding(self, round: int, shard: int) -> bytes:
        """What a shard is sealed for."""
        return self._binding(SHARD, round, shard)

    def task(self, round: int, index: int) -> "SweepTaskAddress":
        """One task of one round, by its index in the sweep, which is the same in all rounds."""
        return SweepTaskAddress(self, round, index)

    def _binding(self, kind: str, *numbers: object) -> bytes:
        return json.dumps([kind, self.sweep_id, *numbers]).encode()


class SweepTaskAddress(NamedTuple):
    """One task of one round of a sweep."""

    sweep: SweepIdentity
    round: int
    task: int

    @property
    def key(self) -> bytes:
        """The key of its seals."""
        return self.sweep.key

    @property
    def outcome_name(self) -> str:
        """The write-once object that holds how it ended."""
        return names.outcome_name(self.sweep.folder, self.round, self.task)

    @property
    def outcome_binding(self) -> bytes:
        """What its outcome is sealed for."""
        return self.sweep._binding(OUTCOME, self.round, self.task)

    @property
    def row_binding(self) -> bytes:
        """What the row in its outcome's metadata is sealed for."""
        return self.sweep._binding(ROW, self.round, self.task)

    def attempt_name(self, attempt: int, token: str) -> str:
        """The object of an attempt that was not the last."""
        return names.attempt_name(self.sweep.folder, self.round, self.task, attempt, token)

    def attempt_binding(self, attempt: int, token: str) -> bytes:
        """What that object is sealed for."""
        return self.sweep._binding(ATTEMPT, self.round, self.task, attempt, token)

    def output_name(self, token: str, path: str) -> str:
        """The object with a file of its folder, written by the execution that has this token."""
        return names.output_name(self.sweep.folder, self.round, self.task, token, path)

    def execution(self, token: str) -> "SweepExecution":
        """The execution that has drawn this token."""
        return SweepExecution(self, token)

    @property
    def live_prefix(self) -> str:
        """What the names of all output start with that it delivers while it runs."""
        return names.task_live_prefix(self.sweep.folder, self.round, self.task)

    @property
    def follow_name(self) -> str:
        """The object with which somebody asks for its output while it runs."""
        return names.follow_name(self.sweep.folder, self.task)

    @property
    def follow_binding(self) -> bytes:
        """What such a request is sealed for."""
        return self.sweep._binding(FOLLOW, self.task)

    @property
    def own_prefix(self) -> str:
        """Where its program may write objects itself."""
        return names.own_prefix(self.sweep.folder, self.round, self.task)


class SweepExecution(NamedTuple):
    """One process that runs a task: two machines may run the same attempt of it, each with a token of its own."""

    address: SweepTaskAddress
    token: str

    @property
    def key(self) -> bytes:
        """The key of its seals."""
        return self.address.key

    @property
    def task(self) -> int:
        """The task's index."""
        return self.address.task

    @property
    def call(self) -> SweepTaskAddress:
        """What somebody follows who wants its output soon."""
        return self.address

    def live_name(self, attempt: int, number: int, done: int = 0, failed: int = 0) -> str:
        """The object with some of the output that it delivers while it runs; it has no items that could be done."""
        folder, (_, round, task) = self.address.sweep.folder, self.address
        return names.live_name(folder, round, task, attempt, self.token, number)

    def live_binding(self, attempt: int, number: int) -> bytes:
        """What that object is sealed for."""
        return self.address.sweep._binding(LIVE, self.address.round, self.address.task, attempt, self.token, number)
