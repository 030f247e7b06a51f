"""A map whose items did not all return, as the bucket has it: its call, and what its tasks delivered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ...batch.download_buffer import DownloadBuffer
from ...cloud.interfaces import Bucket
from ...cloud.storage import CorruptObjectError
from ...errors import OutcomeError
from ...protocol.envelope import OUTCOME, Part, read_part
from ...protocol.identity import CallIdentity, TaskAddress
from ...protocol.object_names import PREFIX, RESULT_KINDS, ObjectName, parse_name
from ..server_secret import ServerSecret
from ..value_buffer import IN_MEMORY_BYTES
from .item_table import Item, ItemTable, ValueStore
from .progress import MapProgress
from .report import TaskReport, read_chunk, read_task

# Of runs that each ran again what the one before had left, so many are looked at
MOST_RUNS = 1000


@dataclass(frozen=True)
class StoredMap:
    """One run of a map.

    Attributes:
        header: its call's.
        names: the outcomes of its tasks, and the items that they delivered before those.
    """

    store: Bucket = field(repr=False)
    identity: CallIdentity
    header: Mapping[str, Any]
    names: Sequence[ObjectName]

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

    def retain(self, progress: MapProgress, values: ValueStore) -> None:
        """Have `progress` begin with the items that returned in this run. Raises as `read`."""
        for name in self.names:
            report = self.read(name, values)
            # Without what they printed: that was shown when they ran.
            returned = ItemTable(_silent(report))
            progress.add(TaskReport(returned, report.total, python=report.python, cloudpickle=report.cloudpickle))
        progress.retained = len(progress.places)


def _silent(report: TaskReport) -> Iterator[Item]:
    for item in report.items:
        if item.raised is None:
            yield replace(item, stdout=(0, 0), stderr=(0, 0))


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


def find_maps(
    store: Bucket, secret: ServerSecret, dispatch_id: str, node_id: int, folder: str
) -> tuple[list[StoredMap], dict[str, Part]]:
    """The runs of a map that have values of it, the latest first, and the pickles of its items and constants.

    A run that ran again what another one had left counts on what that has; none where the bucket has no call of it.

    Args:
        folder: for what is too large for memory.

    Raises:
        OutcomeError: a call is not the one that was sealed.
        CloudError: Google refused, or could not be reached.
    """
    runs: list[StoredMap] = []
    inputs: dict[str, Part] = {}
    wanted: tuple[str, int, str] | None = (dispatch_id, node_id, "")
    while wanted is not None and len(runs) < MOST_RUNS:
        found = _find(store, secret, wanted)
        if found is None:
            break
        identity, names = found
        with DownloadBuffer(folder, identity.key, identity.binding, "the call", IN_MEMORY_BYTES) as arrival:
            if not arrival.fetch(store, identity.object_name) or arrival.envelope is None:
                break
            header = cast(Mapping[str, Any], arrival.envelope.header)
            if not runs:
                inputs = {
                    part.name: bytes(read_part(arrival.file, arrival.envelope, part.name))
                    for part in arrival.envelope.parts
                    if part.name == "arg0" or part.name.startswith("kwarg:")
                }
        runs.append(StoredMap(store, identity, header, names))
        earlier = header.get("earlier")
        wanted = (str(earlier[0]), int(earlier[1]), str(earlier[2])) if earlier else None
    return runs, inputs


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
