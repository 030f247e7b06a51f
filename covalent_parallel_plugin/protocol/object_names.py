"""Names of the objects that a call has in the bucket; short, as no other module may spell one out."""

from __future__ import annotations

import re

# What is staged for calls lies under this prefix, in PREFIX/DISPATCH/NODE/CALL
PREFIX = "covalent-parallel"
# Outside the calls' prefix, so that a lifecycle rule for what crashes leave there spares what running servers count on
RUNNER_PREFIX = "covalent-parallel-runner"


def call_name(folder: str) -> str:
    """The object that holds the call, in the call's folder of the bucket."""
    return folder + "/call"


def outcome_name(folder: str, task_index: int = 0, round: int = 0) -> str:
    """The write-once object that holds the outcome of one task; `round` counts the jobs of one call."""
    return "%s/outcome-%d" % (round_folder(folder, round), task_index)


def chunk_name(folder: str, task_index: int, round: int, number: int) -> str:
    """The write-once object that holds some of a task's items."""
    return "%s/items-%d-%d" % (round_folder(folder, round), task_index, number)


def round_folder(folder: str, round: int) -> str:
    """The folder of what the tasks of one of a call's jobs deliver; the first job's is the call's own folder."""
    return "%s/round-%d" % (folder, round) if round else folder


def is_result(name: str, folder: str) -> bool:
    """Whether an object holds what tasks of the call in this folder delivered: an outcome, or some items of a map."""
    return re.fullmatch(r"(round-\d+/)?(outcome-\d+|items-\d+-\d+)", name[len(folder) + 1 :]) is not None


def partial_name(folder: str, task_index: int, attempt: int, round: int = 0) -> str:
    """The output so far of an attempt whose machine was taken away."""
    return "%s/attempt-%d/partial-%d" % (round_folder(folder, round), attempt, task_index)


def stream_name(folder: str, task_index: int, stream: str, round: int = 0) -> str:
    """The whole of a task's stdout or stderr, where it was too long for the outcome."""
    return "%s/%s-%d.txt" % (round_folder(folder, round), stream, task_index)
