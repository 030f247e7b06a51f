"""The tasks of a round, as its machines read them: some in each object, in order, sealed."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from ...batch.download_buffer import DownloadBuffer
from ...cloud.interfaces import Bucket
from ...cloud.threads import map_in_threads
from ...errors import MissingResourceError, OutcomeError, ParallelError
from ...protocol.envelope import WireError, envelope_chunks, read_part, seal_envelope
from ...protocol.sweep_identity import SHARD, SweepIdentity
from ...protocol.sweep_objects import drain_name, drained_name, shard_name, shards_prefix

# Transfers at a time
THREADS = 8
PART = "tasks"


class ShardError(ParallelError):
    """The bucket holds other tasks than these under a round's names."""


@dataclass(frozen=True)
class ShardTask:
    """A task as its machine reads it.

    Attributes:
        argv: the program and its arguments, all filled in.
        environment: the program's, but for the image's, SWEEP_ATTEMPT and secrets.
        config: the text of its configuration file, None without one.
        templates: by their targets: `text`, `mode`, `mtime_ns` and `keep`.
        description: what task.json says of it beside these; for whoever gathers without the sweep's file.
    """

    index: int
    name: str
    key: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    config: str | None = None
    templates: Mapping[str, Mapping[str, Any]] | None = None
    description: Mapping[str, Any] = field(default_factory=dict)


def write_shards(
    store: Bucket, identity: SweepIdentity, round: int, shard_size: int, tasks: Iterable[ShardTask]
) -> int:
    """Write the tasks of a round, in the order of their positions; return how many shards they make.

    Shards of the very same tasks may be there already, from a run that was killed.

    Raises:
        ShardError: there are shards of other tasks.
        CloudError: the bucket could not be written to.
    """
    write = partial(_write, store, identity, round, shard_size)
    return sum(1 for _ in map_in_threads(write, enumerate(_chunks(tasks, shard_size)), THREADS))


def read_shards(store: Bucket, identity: SweepIdentity, round: int, total: int, shard_size: int) -> Iterator[ShardTask]:
    """Read the `total` tasks of a round back, in the order of their positions.

    Raises:
        MissingResourceError: a shard is not there.
        OutcomeError: one is not as it was sealed, or holds another number of tasks.
        CloudError: the bucket could not be read.
    """
    read = partial(_read, store, identity, round, total, shard_size)
    for tasks in map_in_threads(read, range(-(-total // shard_size)), THREADS):
        yield from tasks


def drain_round(store: Bucket, folder: str, round: int) -> None:
    """Take back the tasks of a round that have not begun; `read_shards` still finds them.

    Raises:
        CloudError: the bucket could not be read or written to; what was not taken back may begin.
    """
    store.put(drain_name(folder, round), b"drain")
    for _ in map_in_threads(partial(_drain, store), store.names(shards_prefix(folder, round)), THREADS):
        pass


def _drain(store: Bucket, name: str) -> None:
    shard = io.BytesIO()
    if store.get(name, shard):
        store.put(drained_name(name), shard.getvalue())
        store.delete(name)


def _chunks(tasks: Iterable[ShardTask], size: int) -> Iterator[list[ShardTask]]:
    left = iter(tasks)
    while chunk := list(islice(left, size)):
        yield chunk


def _write(
    store: Bucket, identity: SweepIdentity, round: int, shard_size: int, shard: tuple[int, list[ShardTask]]
) -> None:
    number, tasks = shard
    text = json.dumps([{**vars(task), "templates": task.templates or {}} for task in tasks], separators=(",", ":"))
    header = {"kind": SHARD, "round": round, "shard": number, "first": number * shard_size}
    parts = {PART: text.encode()}
    prefix = seal_envelope(header, parts, identity.key, identity.shard_binding(round, number))
    data = b"".join(envelope_chunks(prefix, parts))
    name = shard_name(identity.folder, round, number)
    if store.put(name, data):
        return
    found = io.BytesIO()
    if not store.get(name, found) or found.getvalue() != data:
        raise ShardError(f"gs://{store.bucket_name}/{name} holds other tasks than these: begin another round")


def _read(
    store: Bucket, identity: SweepIdentity, round: int, total: int, shard_size: int, number: int
) -> list[ShardTask]:
    name = shard_name(identity.folder, round, number)
    title = f"gs://{store.bucket_name}/{name}"
    bound_to = identity.shard_binding(round, number)
    with DownloadBuffer(tempfile.gettempdir(), identity.key, bound_to, f"{title}, some of the sweep's tasks,") as found:
        if not found.fetch(store, name) and not found.fetch(store, drained_name(name)):
            raise MissingResourceError(f"{title} is gone: the tasks in it are not known")
        try:
            if found.envelope is None:
                raise WireError("it ends within its header")
            return _tasks_in(read_part(found.file, found.envelope, PART), min(shard_size, total - number * shard_size))
        except WireError as error:
            raise OutcomeError(f"{title}, some of the sweep's tasks, is refused: {error}") from error


def _tasks_in(text: bytes, count: int) -> list[ShardTask]:
    try:
        tasks = [ShardTask(**fields | {"argv": tuple(fields["argv"])}) for fields in json.loads(text)]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WireError(f"its tasks cannot be read: {error!s:.300}") from error
    if len(tasks) != count:
        raise WireError(f"it holds {len(tasks)} tasks instead of {count}")
    return tasks
