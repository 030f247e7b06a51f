"""Names of the objects that a call has in the bucket, made and read; no other module may spell one out."""

from __future__ import annotations

import re
from typing import Dict, Iterator, NamedTuple, Optional, Pattern, Tuple, Union

# What is staged for calls lies under this prefix, in PREFIX/DISPATCH/NODE/CALL
PREFIX = "covalent-parallel"
# Outside the calls' prefix, so that a lifecycle rule for what crashes leave there spares what running servers count on
RUNNER_PREFIX = "covalent-parallel-runner"
# Of calls whose value is kept, in PREFIX/KEY/CALL: a prefix of its own, as these objects live longer
CACHE_PREFIX = "covalent-parallel-cache"
# What may stand in a name as it is; anything else could climb out of the prefix or confuse a listing
DISPATCH_ID = "[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
STREAMS = ("stdout", "stderr")
# Own modules of electrons: no dispatch has such an id
MODULES_FOLDER = PREFIX + "/_modules"
# Kinds of objects that hold what tasks delivered: an outcome, or some items of a map
RESULT_KINDS = ("outcome", "chunk")


def call_folder(dispatch_id: str, node_id: int, call_id: str) -> str:
    """The folder of a call's objects."""
    return "%s/%s/%d/%s" % (PREFIX, dispatch_id, node_id, call_id)


def cached_call_folder(cache_key: str, call_id: str) -> str:
    """The folder of the objects of a call whose value is kept in the cache."""
    return "%s/%s/%s" % (CACHE_PREFIX, cache_key, call_id)


def cache_record(cache_key: str) -> str:
    """The write-once object that says which outcome in the cache has the value of calls with this key."""
    return "%s/%s/record" % (CACHE_PREFIX, cache_key)


def cache_key_of(name: str) -> str:
    """The key in the name of a folder or object in the cache; "" of any other."""
    found = re.match(CACHE_PREFIX + r"/([0-9a-f]{32})/", name)
    return found.group(1) if found else ""


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


def partial_name(folder: str, task_index: int, attempt: int, round: int = 0) -> str:
    """The output so far of an attempt whose machine was taken away."""
    return "%s/attempt-%d/partial-%d" % (round_folder(folder, round), attempt, task_index)


def stream_name(folder: str, task_index: int, stream: str, round: int = 0) -> str:
    """The whole of a task's stdout or stderr, where it was too long for the outcome."""
    return "%s/%s-%d.txt" % (round_folder(folder, round), stream, task_index)


def live_name(
    folder: str, task_index: int, attempt: int, number: int, done: int = 0, failed: int = 0, round: int = 0
) -> str:
    """The write-once object that holds some of the output of a task that runs: its `number`-th part, from 0 on.

    `done` counts the items of a map that this task has ended so far, `failed` those of them that raised.
    """
    counts = "%d.%d" % (done, failed) if failed else str(done)
    return "%s%d-%d-%d-%s" % (live_folder(folder, round), task_index, attempt, number, counts)


def live_folder(folder: str, round: int = 0) -> str:
    """What the names of all live parts of one of a call's jobs begin with; each continues with its task, and "-"."""
    return round_folder(folder, round) + "/live/"


def follow_name(folder: str) -> str:
    """The object with which somebody asks for the output of tasks that run, in the call's own folder."""
    return folder + "/follow"


def checkpoint_name(folder: str, task_index: int, number: int, tag: str) -> str:
    """The write-once object that holds a checkpoint; `tag` can only be made by whoever has the call's key."""
    return "%s%d-%d-%s" % (checkpoint_folder(folder), task_index, number, tag)


def checkpoint_folder(folder: str) -> str:
    """What the names of all checkpoints of a call begin with; each continues with its task, and "-"."""
    return folder + "/checkpoint-"


def modules_name(day: str, sha256: str) -> str:
    """The write-once object that holds own modules of electrons dispatched on a day, such as "2026-01-31"."""
    return "%s/%s/%s.zip" % (MODULES_FOLDER, day, sha256)


def is_modules_name(name: str) -> bool:
    """Whether an object holds own modules of electrons, which belong to no call alone."""
    pattern = re.escape(MODULES_FOLDER) + r"/[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9a-f]{64}\.zip"
    return re.fullmatch(pattern, name) is not None


class ObjectName(NamedTuple):
    """The name of an object of a call, read; in the cache a call belongs to no dispatch.

    `kind` is "call", "outcome", "chunk", "partial", "stdout", "stderr", "live", "follow" or "checkpoint".
    """

    kind: str
    folder: str
    dispatch_id: str
    node_id: int
    call_id: str
    task: int = 0
    round: int = 0
    number: int = 0
    attempt: int = 0
    done: int = 0
    failed: int = 0
    tag: str = ""
    cache_key: str = ""


# What stands for a field where a name is made to become a pattern, and the field's pattern
_COUNT = "0|[1-9][0-9]*"
_FIELDS = (
    ("dispatch_id", "DISPATCH", DISPATCH_ID),
    ("call_id", "ID", "[0-9a-f]{16}"),
    ("cache_key", "KEY", "[0-9a-f]{32}"),
    ("node_id", 91, "0|-?[1-9][0-9]*"),
    ("round", 92, "[1-9][0-9]*"),
    ("task", 93, _COUNT),
    ("number", 94, _COUNT),
    ("attempt", 95, _COUNT),
    ("done", 96, _COUNT),
    ("failed", 97, "[1-9][0-9]*"),
    ("tag", "TAG", "[0-9a-f]{16}"),
)
_patterns: Dict[Pattern[str], str] = {}


def parse_name(name: str) -> Optional[ObjectName]:
    """Read a name; None where it is none that this module makes."""
    if not _patterns:
        _patterns.update(_make_patterns())
    for pattern, kind in _patterns.items():
        found = pattern.fullmatch(name)
        if found is not None:
            fields = found.groupdict()
            named = ("dispatch_id", "call_id", "cache_key", "tag")
            dispatch_id, call_id, key, tag = (fields.pop(field, "") for field in named)
            folder, node_id = name[: found.end("call_id")], int(fields.pop("node_id", 0))
            numbers = {field: int(text) for field, text in fields.items()}
            return ObjectName(kind, folder, dispatch_id, node_id, call_id, cache_key=key, tag=tag, **numbers)
    return None


def is_result(name: str) -> bool:
    """Whether an object holds what tasks of a call delivered: an outcome, or some items of a map."""
    parsed = parse_name(name)
    return parsed is not None and parsed.kind in RESULT_KINDS


def is_checkpoint(name: str) -> bool:
    """Whether an object holds a checkpoint."""
    parsed = parse_name(name)
    return parsed is not None and parsed.kind == "checkpoint"


def _make_patterns() -> Iterator[Tuple[Pattern[str], str]]:
    """Make a pattern of each name that the functions above make, so that what they make is read."""
    stands = {field: stand for field, stand, _ in _FIELDS}
    call_id = str(stands["call_id"])
    folders = (
        call_folder(str(stands["dispatch_id"]), int(stands["node_id"]), call_id),
        cached_call_folder(str(stands["cache_key"]), call_id),
    )
    for kind, name in (named for folder in folders for named in _names_in(folder, stands)):
        text = re.escape(name)
        for field, stand, pattern in _FIELDS:
            text = text.replace(str(stand), "(?P<%s>%s)" % (field, pattern), 1)
        yield re.compile(text), kind


def _names_in(folder: str, stands: "Dict[str, Union[int, str]]") -> Iterator[Tuple[str, str]]:
    """The kinds and names of all objects in a call's folder, with what stands for each field."""
    task, number, attempt = int(stands["task"]), int(stands["number"]), int(stands["attempt"])
    yield "call", call_name(folder)
    yield "follow", follow_name(folder)
    yield "checkpoint", checkpoint_name(folder, task, number, str(stands["tag"]))
    for round in (0, int(stands["round"])):
        yield "outcome", outcome_name(folder, task, round)
        yield "chunk", chunk_name(folder, task, round, number)
        yield "partial", partial_name(folder, task, attempt, round)
        for failed in (0, int(stands["failed"])):
            yield "live", live_name(folder, task, attempt, number, int(stands["done"]), failed, round)
        for stream in STREAMS:
            yield stream, stream_name(folder, task, stream, round)
