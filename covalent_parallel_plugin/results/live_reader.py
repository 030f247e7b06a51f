"""Output of running tasks, read from the bucket: each part once; what is not theirs is reported."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..cloud.interfaces import Bucket
from ..cloud.storage import CorruptObjectError, StoredObject
from ..cloud.timed_calls import Deadline, call_all_within, call_within
from ..electron.map.report import PrintedItems
from ..electron.server_secret import ServerSecret
from ..protocol.envelope import WireError
from ..protocol.identity import CallIdentity
from ..protocol.live_part import LARGEST_LIVE_BYTES, LivePart, read_live_part
from ..protocol.object_names import PREFIX, ObjectName, parse_name
from .ended_tasks import read_ended_task

READS_AT_ONCE = 12
# Of those who look again: a part has 512 KiB at most
PARTS_AT_ONCE = 400
LIST_SECONDS = 20.0
MOST_ATTEMPTS = 1_000_000
# Of so many nodes at most each one is listed by itself
LISTED_APART = 2
# A node has one call; what else has such a name somebody else has written
MOST_CALLS = 4


@dataclass
class LiveLook:
    """What one look at the bucket brought.

    Attributes:
        parts: that were not read before, in order.
        calls: by node, those whose output was read; before any was, those that have an object.
        live_tasks: of the calls, the tasks that have delivered output and not ended, as far as it was read.
        warnings: what is reported once.
        ended: of maps, tasks that have ended, with all that they printed.
        unread: how many parts are there that were not read in time.
        passed_over: nodes of which parts are there that are not wanted.
    """

    parts: list[tuple[ObjectName, LivePart]] = field(default_factory=list)
    calls: dict[int, list[CallIdentity]] = field(default_factory=dict)
    live_tasks: Mapping[str, Collection[tuple[int, int]]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    ended: list[tuple[ObjectName, PrintedItems]] = field(default_factory=list)
    unread: int = 0
    passed_over: set[int] = field(default_factory=set)


class LiveReader:
    """Reads the parts of a dispatch in one bucket, with the server's secret; for one thread.

    Args:
        lineage: the dispatch, and those that it continues, the nearest first; a node's parts are those of one of them.
    """

    def __init__(self, store: Bucket, secret: ServerSecret, lineage: Sequence[str]):
        self._store, self._secret, self._lineage = store, secret, lineage
        self._seen: set[str] = set()
        self._warned: set[str] = set()
        # What is known to be the tasks' own, by call: of names alone anybody may write any number
        self._delivering: dict[str, set[tuple[int, int]]] = {}
        self._over: set[tuple[str, int, int]] = set()

    def look(
        self,
        nodes: Collection[int],
        deadline: Deadline,
        is_wanted: Callable[[StoredObject], bool] | None = None,
        maps: Collection[int] = (),
        is_only: bool = False,
    ) -> LiveLook:
        """Read what is new of these nodes.

        Args:
            maps: those that are maps, whose tasks are read as soon as they end.
            is_only: whether all is to be read at once.
            is_wanted: whether an object is to be read at all.

        Raises:
            CloudError: the bucket could not be reached, or refused.
        """
        found = LiveLook()
        new: list[tuple[ObjectName, StoredObject]] = []
        called: dict[int, dict[str, None]] = {}
        owners: dict[int, str] = {}
        for stored in self._listed(nodes, deadline):
            name = parse_name(stored.name)
            if name is None or name.node_id not in nodes:
                continue
            if owners.setdefault(name.node_id, name.dispatch_id) != name.dispatch_id:
                continue
            called.setdefault(name.node_id, {})[name.call_id] = None
            if name.kind == "outcome" and name.node_id in maps and stored.name not in self._seen:
                new.append((name, stored))
            if name.kind != "live":
                continue
            if is_wanted is not None and not is_wanted(stored):
                found.passed_over.add(name.node_id)
            elif stored.name not in self._seen:
                new.append((name, stored))
        new.sort(key=lambda each: _order(each[0]))
        most = len(new) if is_only else PARTS_AT_ONCE
        found.unread = max(len(new) - most, 0)
        self._read(new[:most], found, deadline)
        found.calls = {node: self._own_calls(owners[node], node, list(ids)) for node, ids in called.items()}
        found.live_tasks = self._delivering
        return found

    def _own_calls(self, dispatch_id: str, node: int, call_ids: Sequence[str]) -> list[CallIdentity]:
        own = [call_id for call_id in call_ids if call_id in self._delivering]
        chosen = own or call_ids[:MOST_CALLS]
        return [self._secret.identity(dispatch_id, node, call_id) for call_id in chosen]

    def _listed(self, nodes: Collection[int], deadline: Deadline) -> Iterator[StoredObject]:
        folders = [f"{PREFIX}/{dispatch_id}/" for dispatch_id in self._lineage]
        is_apart = len(nodes) <= LISTED_APART
        prefixes = [f"{folder}{node}/" for folder in folders for node in sorted(nodes)] if is_apart else folders
        for prefix in prefixes:
            what = f"the bucket {self._store.bucket_name}"
            yield from call_within(deadline.share(LIST_SECONDS), what, partial(self._store.list, prefix))

    def _read(self, new: Sequence[tuple[ObjectName, StoredObject]], found: LiveLook, deadline: Deadline) -> None:
        reads = [partial(self._part, name, stored) for name, stored in new]
        results = call_all_within(deadline.share(LIST_SECONDS), reads, READS_AT_ONCE)
        skipped: set[tuple[int, int, int]] = set()
        for (name, stored), result in zip(new, results, strict=True):
            source = (name.node_id, name.round, name.task)
            if result is None or source in skipped:
                # What comes after it would be in the wrong order.
                skipped.add(source)
                found.unread += 1
                continue
            self._seen.add(stored.name)
            tasks = self._delivering.setdefault(name.call_id, set()) if not isinstance(result, str) else set()
            if isinstance(result, LivePart):
                found.parts.append((name, result))
                if (name.call_id, name.round, name.task) not in self._over:
                    tasks.add((name.round, name.task))
            elif isinstance(result, PrintedItems):
                found.ended.append((name, result))
                tasks.discard((name.round, name.task))
                self._over.add((name.call_id, name.round, name.task))
            elif result and name.folder not in self._warned:
                self._warned.add(name.folder)
                found.warnings.append(
                    f"gs://{self._store.bucket_name}/{stored.name} is skipped, and so is the like: {result}"
                )

    def _part(self, name: ObjectName, stored: StoredObject) -> LivePart | PrintedItems | str:
        """The part, or why it is skipped; "" where it was deleted meanwhile. Raises CloudError."""
        call = self._secret.identity(name.dispatch_id, name.node_id, name.call_id)
        if name.kind == "outcome":
            try:
                return read_ended_task(self._store, call.task(name.task, name.round)) or ""
            except (WireError, CorruptObjectError) as error:
                return str(error)
        if stored.size > LARGEST_LIVE_BYTES:
            return f"it has {stored.size:,} bytes, more than a task's output has at once"
        with io.BytesIO() as file:
            try:
                if not self._store.get(stored.name, file):
                    return ""
                return read_live_part(file, call.task(name.task, name.round), name.attempt, name.number)
            except (WireError, CorruptObjectError) as error:
                return str(error)


def _order(name: ObjectName) -> tuple[int, int, int, int, int]:
    # An outcome comes after all parts of its task.
    last = name.kind == "outcome"
    return name.node_id, name.round, name.task, name.attempt + last * MOST_ATTEMPTS, name.number


def tasks_by_call(look: LiveLook) -> Mapping[str, int]:
    """How many tasks of each call deliver output, one at least."""
    calls = [call for own in look.calls.values() for call in own]
    return {call.call_id: len(look.live_tasks.get(call.call_id, ())) or 1 for call in calls}
