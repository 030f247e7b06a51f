"""What a task of a map printed that has ended before the map: from its outcome and its chunks, without values."""

from __future__ import annotations

from ..cloud.interfaces import Bucket
from ..electron.map.object_head import read_head
from ..electron.map.report import PrintedItems, read_printed
from ..protocol.envelope import OUTCOME, WireError
from ..protocol.identity import TaskAddress


def read_ended_task(store: Bucket, address: TaskAddress) -> PrintedItems | None:
    """What a task of a map printed, all of it; None where it is gone, or the task never came to its items.

    Raises:
        CloudError: the bucket could not be reached, or refused.
        WireError: it is not what the task sealed, or makes no sense.
    """
    found = _read(store, address, address.outcome_name, address.binding(OUTCOME))
    if found is None:
        return None
    items = dict(found.items)
    for number in range(found.chunks):
        chunk = _read(store, address, address.chunk_name(number), address.chunk_binding(number))
        items.update({} if chunk is None else chunk.items)
    return PrintedItems(items, found.outside)


def _read(store: Bucket, address: TaskAddress, name: str, binding: bytes) -> PrintedItems | None:
    file = read_head(store, name, address.key, binding)
    if file is None or file.envelope is None:
        return None
    try:
        return read_printed(file, file.envelope)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WireError(f"it makes no sense: {type(error).__name__}: {error!s:.300}") from error
