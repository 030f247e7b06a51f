"""What sweeps have in a bucket, found and removed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from ...cloud.interfaces import Bucket
from ...cloud.storage import StoredObject
from ...cloud.threads import map_in_threads
from ...protocol.sweep_objects import SWEEPS_PREFIX, sweep_folder

DELETIONS_AT_ONCE = 16


@dataclass(frozen=True)
class StoredSweep:
    """What one sweep has in the bucket.

    Attributes:
        objects: how many, with `size` bytes in all.
        changed_seconds: when the newest of them was written, since 1970.
    """

    name: str
    sweep_id: str
    objects: int
    size: int
    changed_seconds: float

    @property
    def folder(self) -> str:
        """What the names of its objects start with."""
        return sweep_folder(self.name, self.sweep_id)


def find_stored(store: Bucket, name: str = "", sweep_id: str = "") -> list[StoredSweep]:
    """List the sweeps that have objects in a bucket, by name: all, those of one name, or the one with this id too.

    Raises:
        CloudError: the bucket cannot be listed.
    """
    folder = "/".join(filter(None, (SWEEPS_PREFIX, name, sweep_id)))
    found: dict[tuple[str, str], list[StoredObject]] = defaultdict(list)
    for stored in store.list(f"{folder}/"):
        parts = stored.name.split("/", 3)
        if len(parts) == 4:
            found[parts[1], parts[2]].append(stored)
    return [_summed(*place, objects) for place, objects in sorted(found.items())]


def delete_stored(store: Bucket, sweep: StoredSweep) -> None:
    """Delete all that a sweep has in the bucket.

    Raises:
        CloudError: something cannot be deleted; what was is gone.
    """
    for _ in map_in_threads(store.delete, store.names(f"{sweep.folder}/"), DELETIONS_AT_ONCE):
        pass


def _summed(name: str, sweep_id: str, objects: list[StoredObject]) -> StoredSweep:
    size = sum(stored.size for stored in objects)
    return StoredSweep(name, sweep_id, len(objects), size, max(stored.created_seconds for stored in objects))
