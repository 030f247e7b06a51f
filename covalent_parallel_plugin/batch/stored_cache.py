"""What the cache has in a bucket, by entry, found and removed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ..cloud.interfaces import Bucket
from ..cloud.storage import StoredObject
from ..cloud.threads import map_in_threads
from ..protocol.object_names import CACHE_PREFIX, cache_key_of, cache_record, parse_name

DELETIONS_AT_ONCE = 16


@dataclass(frozen=True)
class StoredEntry:
    """The objects of one entry.

    Attributes:
        is_in_use: whether a call is among them: a job makes its value, or a server died while one did.
    """

    key: str
    objects: Sequence[StoredObject]
    is_in_use: bool

    @property
    def folder(self) -> str:
        """What the names of its objects start with."""
        return f"{CACHE_PREFIX}/{self.key}/"

    @property
    def size(self) -> int:
        """Bytes in all objects."""
        return sum(stored.size for stored in self.objects)

    @property
    def changed_seconds(self) -> float:
        """When the newest of them was written, since 1970."""
        return max(stored.created_seconds for stored in self.objects)


def find_entries(store: Bucket) -> list[StoredEntry]:
    """List the entries of the cache, oldest first.

    Raises:
        CloudError: the bucket cannot be listed.
    """
    found: dict[str, list[StoredObject]] = defaultdict(list)
    in_use: set[str] = set()
    for stored in store.list(f"{CACHE_PREFIX}/"):
        key, name = cache_key_of(stored.name), parse_name(stored.name)
        if name is not None or (key and stored.name == cache_record(key)):
            found[key].append(stored)
        if name is not None and name.kind == "call":
            in_use.add(key)
    entries = [StoredEntry(key, objects, key in in_use) for key, objects in found.items()]
    return sorted(entries, key=lambda entry: entry.changed_seconds)


def delete_entries(store: Bucket, entries: Sequence[StoredEntry]) -> None:
    """Delete all that entries have in the bucket, the records first.

    Raises:
        CloudError: something cannot be deleted; what was is gone.
    """
    names = [stored.name for entry in entries for stored in entry.objects]
    names.sort(key=lambda name: not name.endswith("/record"))
    for _ in map_in_threads(store.delete, names, DELETIONS_AT_ONCE):
        pass
