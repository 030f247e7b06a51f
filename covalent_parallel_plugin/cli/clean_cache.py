"""`covalent-parallel clean --cache`: show, and with --yes remove, the values that are kept in the bucket."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli.age import age_of
from covalent_parallel_plugin.settings import options as options

if TYPE_CHECKING:
    from covalent_parallel_plugin.batch.stored_cache import StoredEntry

# Raised when a field changes its meaning or goes away; new ones may come without
JSON_VERSION = 1


def clean_cache(settings: options.Settings, older_than_seconds: float | None, is_removal: bool, as_json: bool) -> None:
    """List the cache's entries that are so old, and remove them if that is requested.

    Without an age those stay whose call is there: a job that makes their value needs it.

    Raises:
        CloudError: Google refused, or could not be reached.
    """
    from covalent_parallel_plugin.batch.stored_cache import delete_entries, find_entries
    from covalent_parallel_plugin.cloud.storage import ObjectStore

    store, now = ObjectStore.shared(settings.project_id, settings.bucket_name), time.time()
    entries = find_entries(store)
    if older_than_seconds is not None:
        entries = [entry for entry in entries if now - entry.changed_seconds >= older_than_seconds]
    removed = [entry for entry in entries if older_than_seconds is not None or not entry.is_in_use]
    if not as_json:
        click.echo(_text(settings.bucket_name, entries, now))
    if is_removal:
        delete_entries(store, removed)
    if as_json:
        click.echo(json.dumps(_document(settings.bucket_name, entries, removed if is_removal else (), now), indent=2))
    elif entries and not is_removal:
        click.echo("Nothing was touched. With --yes they are deleted.")
    elif entries:
        stay = len(entries) - len(removed)
        in_use = f" {stay} stay, whose call is there: --older-than removes them too." if stay else ""
        click.echo(f"{len(removed)} entries are deleted.{in_use}")


def _text(bucket_name: str, entries: Sequence[StoredEntry], now: float) -> str:
    lines = [
        f"entry   {age_of(now - entry.changed_seconds):>12}  {entry.size:>10,} gs://{bucket_name}/{entry.folder}"
        + ("  its call is there: its value is being made, a server died, or keep_objects" if entry.is_in_use else "")
        for entry in entries
    ]
    size = sum(entry.size for entry in entries)
    return "\n".join([*lines, f"{len(entries)} entries of {size:,} bytes in the cache"])


def _document(
    bucket_name: str, entries: Sequence[StoredEntry], removed: Sequence[StoredEntry], now: float
) -> dict[str, object]:
    """Return it for programs: names of fields are stable."""
    return {
        "version": JSON_VERSION,
        "bucket": bucket_name,
        "entries": [
            {
                "folder": f"gs://{bucket_name}/{entry.folder}",
                "objects": len(entry.objects),
                "size_bytes": entry.size,
                "age_seconds": round(max(now - entry.changed_seconds, 0.0), 3),
                "in_use": entry.is_in_use,
                "removed": entry in removed,
            }
            for entry in entries
        ],
    }
