"""The buckets of a dispatch's electrons, for somebody who does not wait long."""

from __future__ import annotations

from ..cloud.interfaces import Bucket
from ..cloud.storage import ObjectStore
from ..cloud.timed_calls import Deadline, call_within
from .wanted_output import Place

# How long a request is tried again: who looks again soon need not insist
PATIENCE_SECONDS = 3.0
CONNECT_SECONDS = 10.0


class Stores:
    """Connects to buckets, to each one once."""

    def __init__(self) -> None:
        self._stores: dict[tuple[str, str], Bucket] = {}

    def at(self, place: Place, deadline: Deadline) -> Bucket:
        """The bucket of a place. Raises CloudError."""
        key = place.project_id, place.bucket_name
        if key not in self._stores:
            self._stores[key] = call_within(
                deadline.share(CONNECT_SECONDS),
                f"Google, asked for credentials for the bucket {place.bucket_name},",
                lambda: ObjectStore.shared(*key).with_patience(PATIENCE_SECONDS),
            )
        return self._stores[key]
