"""What a sweep has in the bucket, shown and removed, unless a job of it may still run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from covalent_parallel_plugin.cli.age import age_of
from covalent_parallel_plugin.cli.sweep.elsewhere import settings_here
from covalent_parallel_plugin.errors import SettingsError
from covalent_parallel_plugin.sweep.records.journal import State
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder
from covalent_parallel_plugin.sweep.records.sweeps_index import UnknownSweepError

if TYPE_CHECKING:
    from covalent_parallel_plugin.settings import Settings
    from covalent_parallel_plugin.sweep.batch.stored_sweeps import StoredSweep


@dataclass(frozen=True)
class BucketRemoval:
    """What one sweep has in a bucket."""

    settings: Settings
    stored: StoredSweep

    def __str__(self) -> str:
        place = f"gs://{self.settings.bucket_name}/{self.stored.folder}"
        return f"{self.stored.size / 1e6:>10,.1f} MB  {age_of(self.age_seconds()):>12}  {place}"

    def age_seconds(self) -> float:
        """Since the newest of its objects was written."""
        return time.time() - self.stored.changed_seconds

    def running_jobs(self) -> Sequence[str]:
        """Name the jobs of the sweep that may still run. Raises CloudError."""
        from covalent_parallel_plugin.sweep.batch.waiting_jobs import running_jobs

        return running_jobs(self.settings, self.stored.name, self.stored.sweep_id)

    def remove(self) -> None:
        """Delete all of it. Raises CloudError."""
        from covalent_parallel_plugin.cloud.storage import ObjectStore
        from covalent_parallel_plugin.sweep.batch.stored_sweeps import delete_stored

        delete_stored(ObjectStore.shared(self.settings.project_id, self.settings.bucket_name), self.stored)


def removal_of(out: OutFolder) -> BucketRemoval | None:
    """Return what the sweep in a folder has in the bucket; None if it never ran on Batch, or nothing is there.

    Raises:
        CloudError: Google refused, or could not be reached.
    """
    state = State.read(out.journal_path)
    if state.place is None:
        return None
    from covalent_parallel_plugin.sweep.batch.sweep_place import settings_at

    found = _find(settings_at(state.place), state.name, state.sweep_id)
    return found[0] if found else None


def removal_elsewhere(name: str, place: Mapping[str, str | None], unknown: UnknownSweepError) -> list[BucketRemoval]:
    """Return what sweeps of a name have in the bucket, of which this machine has no folder.

    Raises:
        UnknownSweepError: nothing is there, or no bucket is known. CloudError: Google refused.
    """
    try:
        settings = settings_here(place)
    except SettingsError as error:
        if any(place.values()):
            raise
        raise unknown from error
    found = _find(settings, name) if "/" not in name else []
    if not found:
        raise UnknownSweepError(f"{unknown}; gs://{settings.bucket_name} has nothing of it either")
    return found


def _find(settings: Settings, name: str, sweep_id: str = "") -> list[BucketRemoval]:
    from covalent_parallel_plugin.cloud.storage import ObjectStore
    from covalent_parallel_plugin.sweep.batch.stored_sweeps import find_stored

    store = ObjectStore.shared(settings.project_id, settings.bucket_name)
    return [BucketRemoval(settings, stored) for stored in find_stored(store, name, sweep_id)]
