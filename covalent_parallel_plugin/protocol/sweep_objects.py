"""Names of the objects that a sweep has in the bucket, made and read; no other module may spell one out."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple, Optional

# Not below the calls' prefix, whose lifecycle rule would delete results after some days
SWEEPS_PREFIX = "covalent-sweeps"
# Of an object
_MOST_NAME_BYTES = 1024
_OUTCOME = re.compile(r"round-(0|[1-9][0-9]*)/outcomes/([0-9]{7,})")
_ATTEMPT = re.compile(r"round-(0|[1-9][0-9]*)/attempts/([0-9]{7,})-(0|[1-9][0-9]*)-([0-9a-f]{16})")
_LIVE = re.compile(r"round-(0|[1-9][0-9]*)/live/([0-9]{7,})-([0-9]{3,})-([0-9a-f]{16})-([0-9]{7,})")


def sweep_folder(name: str, sweep_id: str) -> str:
    """The folder of all that one sweep has."""
    return "%s/%s/%s" % (SWEEPS_PREFIX, name, sweep_id)


def content_name(folder: str, sha256: str) -> str:
    """The write-once object with the bytes of a file that tasks are given, whatever the file is called."""
    return "%s/content/%s" % (folder, sha256)


def round_folder(folder: str, round: int) -> str:
    """The folder of one of the sweep's jobs; rounds count from 0."""
    return "%s/round-%d" % (folder, round)


def setup_name(folder: str, round: int) -> str:
    """The object that says what all tasks of a round have in common."""
    return "%s/setup" % round_folder(folder, round)


def shards_prefix(folder: str, round: int) -> str:
    """What the names of the objects with a round's tasks start with."""
    return "%s/shards/" % round_folder(folder, round)


def shard_name(folder: str, round: int, shard: int) -> str:
    """The object with some tasks of a round."""
    return "%s%d" % (shards_prefix(folder, round), shard)


def drain_name(folder: str, round: int) -> str:
    """The object that says that no task of a round is to begin any more; what is in it does not matter."""
    return "%s/drain" % round_folder(folder, round)


def drained_name(shard: str) -> str:
    """Where a shard is, by its name, once its tasks are not to begin any more: machines do not find it there."""
    return shard.replace("/shards/", "/shards-drained/")


def outcomes_prefix(folder: str, round: int) -> str:
    """What the names of a round's outcomes start with."""
    return "%s/outcomes/" % round_folder(folder, round)


def outcome_name(folder: str, round: int, index: int) -> str:
    """The write-once object that holds how a task ended; names are in the order of the tasks' indices."""
    return "%s%07d" % (outcomes_prefix(folder, round), index)


def attempts_prefix(folder: str, round: int) -> str:
    """What the names of attempts that were not the last start with."""
    return "%s/attempts/" % round_folder(folder, round)


def task_attempts_prefix(folder: str, round: int, index: int) -> str:
    """What the names of one task's attempts that were not the last start with."""
    return "%s%07d-" % (attempts_prefix(folder, round), index)


def attempt_name(folder: str, round: int, index: int, attempt: int, token: str) -> str:
    """The object that holds an attempt that is to be tried again, or whose machine was taken away."""
    return "%s%d-%s" % (task_attempts_prefix(folder, round, index), attempt, token)


def live_prefix(folder: str, round: int) -> str:
    """What the names of the output that tasks of a round have delivered while they ran start with."""
    return "%s/live/" % round_folder(folder, round)


def task_live_prefix(folder: str, round: int, index: int) -> str:
    """What the names of the output that one task has delivered while it ran start with."""
    return "%s%07d-" % (live_prefix(folder, round), index)


def live_name(folder: str, round: int, index: int, attempt: int, token: str, number: int) -> str:
    """The write-once object with some of the output of an execution that runs: its `number`-th part, from 0 on.

    Names of an attempt are in the order of their numbers, and before those of the next attempt.
    """
    return "%s%03d-%s-%07d" % (task_live_prefix(folder, round, index), attempt, token, number)


def follow_name(folder: str, index: int) -> str:
    """The object with which somebody asks for the output of a task that runs, in whichever round."""
    return "%s/follow/%07d" % (folder, index)


def output_name(folder: str, round: int, index: int, token: str, path: str) -> str:
    """The write-once object with a file of a task's folder; `token` is one execution's, `path` has `/`.

    A path that cannot be a part of an object's name (https://cloud.google.com/storage/docs/objects#naming) has its
    digest there.
    """
    prefix = "%s/output/%07d-%s/" % (round_folder(folder, round), index, token)
    data = path.encode("utf-8", "surrogateescape")
    is_name = len(prefix) + len(data) <= _MOST_NAME_BYTES and path.isprintable()
    return prefix + (path if is_name else ".sha256-%s" % hashlib.sha256(data).hexdigest())


def own_prefix(folder: str, round: int, index: int) -> str:
    """Where a task's program may write objects itself, SWEEP_PREFIX."""
    return "%s/own/%07d/" % (round_folder(folder, round), index)


class DeliveredName(NamedTuple):
    """The name of an outcome (`token` is "") or of an attempt, read."""

    round: int
    task: int
    attempt: int = 0
    token: str = ""


def parse_delivered(folder: str, name: str) -> Optional[DeliveredName]:
    """Read the name of an outcome or an attempt below a sweep's folder; None for any other."""
    if not name.startswith(folder + "/"):
        return None
    rest = name[len(folder) + 1 :]
    found = _OUTCOME.fullmatch(rest)
    if found is not None:
        return DeliveredName(int(found[1]), int(found[2]))
    found = _ATTEMPT.fullmatch(rest)
    return None if found is None else DeliveredName(int(found[1]), int(found[2]), int(found[3]), found[4])


class LiveName(NamedTuple):
    """The name of some output of an execution that ran, read."""

    round: int
    task: int
    attempt: int
    token: str
    number: int


def parse_live(folder: str, name: str) -> Optional[LiveName]:
    """Read the name of such output below a sweep's folder; None for any other."""
    found = _LIVE.fullmatch(name[len(folder) + 1 :])
    if found is None:
        return None
    read = LiveName(int(found[1]), int(found[2]), int(found[3]), found[4], int(found[5]))
    # Other ways to write a number are none of these names
    return read if name == live_name(folder, *read) else None
