"""A map whose items did not all return, as the bucket has it: its call, and what its tasks delivered."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ...batch.download_buffer import DownloadBuffer
from ...cloud.interfaces import Bucket
from ...cloud.storage import CorruptObjectError
from ...errors import OutcomeError
from ...protocol.envelope import OUTCOME, Part, WireError, read_part
from ...protocol.identity import CallIdentity, TaskAddress
from ...protocol.object_names import PREFIX, RESULT_KINDS, ObjectName, parse_name
from ..call import Call
from ..earlier_calls import EarlierCall
from ..server_secret import ServerSecret
from ..value_buffer import IN_MEMORY_BYTES
from .item_table import ItemTable, ValueStore
from .object_head import read_head
from .progress import MapProgress
from .report import TaskReport, read_chunk, read_task

logger = logging.getLogger(__name__)

# So many runs are looked at that each ran again what the one before had left
MOST_RUNS = 1000


@dataclass(frozen=True)
class StoredMap:
    """One run of a map.

    Attributes:
        header: its call's.
        names: the outcomes of its tasks, and the items that they delivered before those.
        is_continued: whether its dispatch ended with its server, which showed nothing of what items printed.
    """

    store: Bucket = field(repr=False)
    identity: CallIdentity
    header: Mapping[str, Any]
    names: Sequence[ObjectName]
    is_continued: bool = False

    @property
    def total(self) -> int | None:
        """How many items it has; None where only its tasks knew."""
        return cast("int | None", self.header.get("items"))

    @property
    def title(self) -> str:
        """The map for messages, as `Call` shows itself."""
        header = self.header
        return f"electron {header['name']!r} (node {header['node_id']} of dispatch {header['dispatch_id']})"

    def read(self, name: ObjectName, values: ValueStore) -> TaskReport:
        """Read what a task delivered; the items' values go to `values`.

        Raises:
            OutcomeError: it is not what the task sealed, or is gone.
            CloudError: Google refused, or could not be reached.
        """
        address = self.identity.task(name.task, name.round)
        number = name.number if name.kind == "chunk" else None
        found = read_delivered(self.store, address, number, values)
        if found is None:
            raise OutcomeError(f"what task {name.task} of {self.title} delivered was deleted from the bucket meanwhile")
        return found

    def inputs(self, folder: str) -> dict[str, Part]:
        """The pickles of its items and constants, by their names in a call; what is large is in `folder` meanwhile.

        Raises:
            OutcomeError: its call is not the one that was sealed, or is gone.
            CloudError: Google refused, or could not be reached.
        """
        identity = self.identity
        with DownloadBuffer(folder, identity.key, identity.binding, "the call", IN_MEMORY_BYTES) as arrival:
            if not arrival.fetch(self.store, identity.object_name) or arrival.envelope is None:
                raise OutcomeError(f"the call of {self.title} was deleted from the bucket meanwhile")
            names = [part.name for part in arrival.envelope.parts]
            try:
                return {
                    name: read_part(arrival.file, arrival.envelope, name)
                    for name in names
                    if name == "arg0" or name.startswith("kwarg:")
                }
            except WireError as error:
                raise OutcomeError(f"the call of {self.title} is refused: {error}") from error

    def read_items(self, name: ObjectName) -> TaskReport:
        """Read which items a task delivered, and how they ended; nothing of their values. Raises as `read`."""
        address = self.identity.task(name.task, name.round)
        is_chunk = name.kind == "chunk"
        object_name = address.chunk_name(name.number) if is_chunk else address.outcome_name
        bound_to = address.chunk_binding(name.number) if is_chunk else address.binding(OUTCOME)
        try:
            head = read_head(self.store, object_name, address.key, bound_to)
        except WireError as error:
            raise OutcomeError(f"gs://{self.store.bucket_name}/{object_name} is refused: {error}") from error
        if head is None:
            raise OutcomeError(f"gs://{self.store.bucket_name}/{object_name} was deleted meanwhile")
        if is_chunk:
            return read_chunk(head, address, name.number, _NO_VALUES, head.envelope)
        return read_task(head, address, _NO_VALUES, head.envelope)

    def retain(self, progress: MapProgress, values: ValueStore) -> None:
        """Have `progress` begin with the items that returned in this run; what is refused counts as not there.

        Raises:
            CloudError: Google refused, or could not be reached.
        """
        for name in self.names:
            try:
                report = self.read(name, values)
            except OutcomeError as error:
                logger.warning("items of %s run again: %s", self.title, error)
                continue
            returned = ItemTable(item for item in report.items if item.raised is None)
            if not self.is_continued:
                # What they printed was shown when they ran.
                returned = ItemTable(replace(item, stdout=(0, 0), stderr=(0, 0)) for item in returned)
            progress.add(TaskReport(returned, report.total, python=report.python, cloudpickle=report.cloudpickle))
        progress.retained = len(progress.places)


class _NoValues(ValueStore):
    """A store that takes no values: what it would be given is not read."""

    def add(self, chunks: Iterator[bytes]) -> int:
        return 0


_NO_VALUES = _NoValues(".")


def read_delivered(store: Bucket, address: TaskAddress, number: int | None, values: ValueStore) -> TaskReport | None:
    """The outcome of a task, or a chunk of its items; None if there is none.

    Raises:
        OutcomeError: it is not what the task sealed, or makes no sense.
        CloudError: Google refused, or could not be reached.
    """
    if number is None:
        name, bound_to, title = address.outcome_name, address.binding(OUTCOME), f"the outcome of task {address.task}"
    else:
        name, bound_to = address.chunk_name(number), address.chunk_binding(number)
        title = f"a chunk of items of task {address.task}"
    with DownloadBuffer(values.folder, address.key, bound_to, title, IN_MEMORY_BYTES) as arrival:
        try:
            if not arrival.fetch(store, name):
                return None
        except CorruptObjectError as error:
            raise OutcomeError(str(error)) from error
        if number is None:
            return read_task(arrival.file, address, values, arrival.envelope)
        return read_chunk(arrival.file, address, number, values, arrival.envelope)


def find_runs(store: Bucket, secret: ServerSecret, dispatch_id: str, node_id: int) -> list[StoredMap]:
    """The runs of a map that have values of it, the latest first; none where the bucket has no call of it.

    A run that ran again what another one had left counts on what that has.

    Raises:
        OutcomeError: a call is not the one that was sealed.
        CloudError: Google refused, or could not be reached.
    """
    runs: list[StoredMap] = []
    wanted: tuple[str, int, str] | None = (dispatch_id, node_id, "")
    while wanted is not None and len(runs) < MOST_RUNS:
        found = _find(store, secret, wanted)
        if found is None:
            break
        identity, names = found
        try:
            head = read_head(store, identity.object_name, identity.key, identity.binding)
        except WireError as error:
            raise OutcomeError(f"gs://{store.bucket_name}/{identity.object_name} is refused: {error}") from error
        if head is None or head.envelope is None:
            break
        header: Mapping[str, Any] = head.envelope.header
        runs.append(StoredMap(store, identity, header, names))
        earlier = header.get("earlier")
        wanted = (str(earlier[0]), int(earlier[1]), str(earlier[2])) if earlier else None
    return runs


def continued(
    call: Call, left: Sequence[EarlierCall], store: Bucket, runs: Sequence[StoredMap]
) -> tuple[Call, Sequence[StoredMap]]:
    """Return a map and its runs with what earlier dispatches, which its own continues, left of it; nearest first."""
    found = []
    for earlier in left:
        names = [name for name in map(parse_name, earlier.names) if name is not None and name.kind in RESULT_KINDS]
        if names and not earlier.has_changed:
            header = earlier.call.header(earlier.identity.call_id)
            found.append(StoredMap(store, earlier.identity, header, names, is_continued=True))
    if found and call.map is not None:
        first = found[0]
        dispatch_id = str(first.header["dispatch_id"])
        logger.warning("%s: what its items returned in dispatch %s is taken up again", call, dispatch_id)
        call = replace(call, map=replace(call.map, earlier=(dispatch_id, call.node_id, first.identity.call_id)))
    return call, [*found, *runs]


def _find(
    store: Bucket, secret: ServerSecret, wanted: tuple[str, int, str]
) -> tuple[CallIdentity, list[ObjectName]] | None:
    """The call of a node that is meant, or the one that has delivered most, and the names of what it delivered."""
    dispatch_id, node_id, call_id = wanted
    calls: dict[str, list[ObjectName]] = {}
    there: set[str] = set()
    for name in filter(None, map(parse_name, store.names(f"{PREFIX}/{dispatch_id}/{node_id}/"))):
        if name.kind == "call" and call_id in ("", name.call_id):
            there.add(name.call_id)
        elif name.kind in RESULT_KINDS:
            calls.setdefault(name.call_id, []).append(name)
    if not there:
        return None
    best = max(sorted(there), key=lambda each: len(calls.get(each, ())))
    return secret.identity(dispatch_id, node_id, best), calls.get(best, [])
