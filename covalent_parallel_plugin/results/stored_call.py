"""What one call left in the bucket: its objects, opened with the key that the server's secret gives for its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from ..batch.download_buffer import DownloadBuffer
from ..cloud.storage import CorruptObjectError, ObjectStore
from ..electron.live_text import checked_parts, joined, listed_parts
from ..electron.map.item_table import ValueStore
from ..electron.map.report import TaskReport, read_chunk, read_task
from ..electron.outcome import Outcome, read_outcome, read_streams
from ..electron.server_secret import ServerSecret
from ..electron.value_buffer import IN_MEMORY_BYTES
from ..errors import OutcomeError
from ..protocol.envelope import ITEMS, OUTCOME, PARTIAL, ForgedError, WireError
from ..protocol.identity import CallIdentity, TaskAddress
from ..protocol.object_names import PREFIX, STREAMS, ObjectName, parse_name

# In which order the objects of one of a call's jobs are read: an outcome has all that its task printed
KINDS = ("outcome", "chunk", "partial", "live", *STREAMS)


@dataclass(frozen=True)
class AttemptOutput:
    """What an attempt had printed whose machine was taken away, or that runs."""

    stdout: str
    stderr: str


@dataclass
class StoredCall:
    """One call's objects.

    Attributes:
        names: of what is to be read, in its order; an attempt's live parts have the first one's name.
        problems: what could not be read, a sentence each.
        opened, forged: how many objects had the call's seal, and how many another one.
    """

    store: ObjectStore
    node_id: int
    identity: CallIdentity
    names: Sequence[ObjectName]
    problems: list[str] = field(default_factory=list)
    opened: int = 0
    forged: int = 0

    @property
    def is_map(self) -> bool:
        """Whether the names alone say that it is a map."""
        return any(name.kind == "chunk" or name.task or name.round for name in self.names)

    def read(self, name: ObjectName, values: ValueStore) -> Outcome | TaskReport | AttemptOutput | None:
        """Read a sealed object; the values of a map's items go to `values`.

        Returns:
            None where it is refused or gone; `problems` says so then.

        Raises:
            CloudError: Google refused, or could not be reached.
        """
        address = self.identity.task(name.task, name.round)
        if name.kind == "live":
            return self._live_output(address, name.attempt)
        if name.kind == "outcome":
            object_name, binding, title = address.outcome_name, address.binding(OUTCOME), "the outcome"
        elif name.kind == "chunk":
            object_name, binding = address.chunk_name(name.number), address.chunk_binding(name.number)
            title = f"a chunk of items of task {name.task}"
        else:
            object_name, binding, title = address.partial_name(name.attempt), address.binding(PARTIAL), "the output"
        found: Outcome | TaskReport | AttemptOutput
        with DownloadBuffer(values.folder, self.identity.key, binding, title, IN_MEMORY_BYTES) as arrival:
            try:
                if not arrival.fetch(self.store, object_name):
                    self._note(object_name, "was deleted meanwhile")
                    return None
                file, envelope = arrival.file, arrival.envelope
                if name.kind == "partial":
                    found = AttemptOutput(*read_streams(file, self.identity.key, binding))
                elif name.kind == "chunk":
                    found = read_chunk(file, address, name.number, values, envelope)
                elif self.is_map or (envelope is not None and envelope.header.get("outcome") == ITEMS):
                    found = read_task(file, address, values, envelope)
                else:
                    found = read_outcome(file, address, arrival.sha256, envelope)
            except (OutcomeError, WireError, CorruptObjectError) as error:
                self.forged += isinstance(error, ForgedError) or isinstance(error.__cause__, ForgedError)
                self._note(object_name, str(error))
                return None
        self.opened += 1
        return found

    def _live_output(self, address: TaskAddress, attempt: int) -> AttemptOutput | None:
        parts, refused = checked_parts(self.store, address, listed_parts(self.store, address).get(attempt, ()))
        self.problems += map(str, refused)
        self.forged += sum(isinstance(error, ForgedError) for error in refused)
        self.opened += len(parts)
        return AttemptOutput(*joined(parts)) if parts else None

    def copy_stream(self, name: ObjectName, file: BinaryIO) -> None:
        """Copy the whole of a long stream, which has no seal. Raises CloudError."""
        object_name = self.identity.task(name.task, name.round).stream_name(name.kind)
        if not self.store.get(object_name, file):
            self._note(object_name, "was deleted meanwhile")

    def _note(self, object_name: str, what: str) -> None:
        self.problems.append(f"gs://{self.store.bucket_name}/{object_name}: {what}")


def stored_calls(
    store: ObjectStore, secret: ServerSecret, dispatch_id: str, node_id: int | None = None
) -> Iterator[StoredCall]:
    """The calls of a dispatch, or of one of its nodes, that left an object, in the nodes' order.

    Raises:
        CloudError: Google refused, or could not be reached.
    """
    prefix = f"{PREFIX}/{dispatch_id}/" + ("" if node_id is None else f"{node_id}/")
    calls: dict[tuple[int, str], list[ObjectName]] = {}
    for name in filter(None, map(parse_name, store.names(prefix))):
        calls.setdefault((name.node_id, name.call_id), []).append(name)
    for node, call_id in sorted(calls):
        names = [name for name in calls[node, call_id] if name.kind in KINDS]
        names.sort(key=lambda name: (name.round, KINDS.index(name.kind), name.task, name.number, name.attempt))
        yield StoredCall(store, node, secret.identity(dispatch_id, node, call_id), list(_worth_reading(names)))


def _worth_reading(names: Sequence[ObjectName]) -> Iterator[ObjectName]:
    """Leave out live parts whose output another object has as well, and of an attempt's parts all but the first."""
    tasks = {(name.round, name.task) for name in names if name.kind == "outcome"}
    attempts = {(name.round, name.task, name.attempt) for name in names if name.kind == "partial"}
    for name in names:
        attempt = (name.round, name.task, name.attempt)
        if name.kind != "live":
            yield name
        elif attempt[:2] not in tasks and attempt not in attempts:
            attempts.add(attempt)
            yield name
