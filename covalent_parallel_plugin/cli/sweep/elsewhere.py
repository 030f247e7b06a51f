"""Sweeps that this machine has no folder of: found on Batch, by their names."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from covalent_parallel_plugin.errors import SettingsError
from covalent_parallel_plugin.settings.config_file import read_config_file
from covalent_parallel_plugin.sweep.records.sweeps_index import UnknownSweepError

if TYPE_CHECKING:
    from covalent_parallel_plugin.settings import Settings
    from covalent_parallel_plugin.sweep.batch.found_sweep import FoundSweep

_OPTIONS = (
    click.option("--project-id", help="Where a sweep of another machine is; else from the configuration file."),
    click.option("--region", help="Of the jobs; else as for --project-id."),
    click.option("--bucket-name", help="With the objects; else as for --project-id."),
)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where on Google a sweep is; the command gets them as one mapping, `place`."""

    @functools.wraps(command)
    def with_place(
        *arguments: Any, project_id: str | None, region: str | None, bucket_name: str | None, **others: Any
    ) -> Any:
        place = {"project_id": project_id, "region": region, "bucket_name": bucket_name}
        return command(*arguments, place=place, **others)

    for option in reversed(_OPTIONS):
        with_place = option(with_place)
    return with_place


@dataclass(frozen=True)
class SweepElsewhere:
    """A sweep that Batch knows, and where."""

    name: str
    settings: Settings
    found: FoundSweep


def settings_here(place: Mapping[str, str | None]) -> Settings:
    """Return the settings of a place on Google, as the command line or else the configuration file names it.

    Raises:
        SettingsError: something is missing, or wrong.
    """
    from covalent_parallel_plugin.sweep.batch.sweep_place import settings_at

    return settings_at(place, read_config_file(os.environ).section)


def find_elsewhere(name: str | None, place: Mapping[str, str | None], unknown: UnknownSweepError) -> SweepElsewhere:
    """Ask Batch for a sweep that this machine does not know.

    Raises:
        UnknownSweepError: Batch does not know it either, or cannot be asked. CloudError: it refused.
    """
    if name is None or "/" in name:
        raise unknown
    from covalent_parallel_plugin.cloud.storage import ObjectStore
    from covalent_parallel_plugin.sweep.batch.found_sweep import find_on_batch
    from covalent_parallel_plugin.sweep.batch.stored_sweeps import find_stored

    try:
        settings = settings_here(place)
    except SettingsError as error:
        if not any(place.values()):
            hint = "a sweep of another machine is found on Batch: give --project-id, --region and --bucket-name"
            raise UnknownSweepError(f"{unknown}; {hint}") from error
        raise
    found = find_on_batch(name, settings)
    if found is not None:
        return SweepElsewhere(name, settings, found)
    text = f"{unknown}; Batch has no job of it in {settings.parent}: it is gone, or was never there"
    for stored in find_stored(ObjectStore.shared(settings.project_id, settings.bucket_name), name):
        text += (
            f"\ngs://{settings.bucket_name}/{stored.folder} has {stored.objects:,} objects of it; their key went with"
            " the job: only the folder that it was run in still has it"
        )
    raise UnknownSweepError(text)
