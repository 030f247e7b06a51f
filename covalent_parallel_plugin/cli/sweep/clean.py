"""`covalent-parallel sweep clean`: list, and with --yes remove, folders of sweeps and what they have in the bucket."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import click

from covalent_parallel_plugin.cli.age import Age, age_of
from covalent_parallel_plugin.cli.sweep.arguments import find_sweep
from covalent_parallel_plugin.cli.sweep.bucket_removal import BucketRemoval, removal_elsewhere, removal_of
from covalent_parallel_plugin.cli.sweep.elsewhere import place_options
from covalent_parallel_plugin.errors import CloudError
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder
from covalent_parallel_plugin.sweep.records.sweeps_index import SweepsIndex, UnknownSweepError
from covalent_parallel_plugin.sweep.sweep_removal import bytes_of, remove_sweep
from covalent_parallel_plugin.sweep.sweep_status import is_running


@click.command()
@click.argument("sweeps", nargs=-1, metavar="[NAME|FOLDER]...")
@click.option("--older-than", type=Age(), help="Only those whose last run is longer ago, such as 30d.")
@click.option("--yes", is_flag=True, help="Remove them; without it they are only shown.")
@place_options
def clean(sweeps: tuple[str, ...], older_than: float | None, yes: bool, place: Mapping[str, str | None]) -> None:
    """List sweeps with the size and age of their folders; with --yes remove them: tables, outputs and logs.

    With them goes what they have in the bucket; that of a sweep of another machine by its name. What is in a folder
    and not of the sweep stays. A sweep that runs, here or on Batch, is left alone.
    """
    if yes and not sweeps and older_than is None:
        raise click.UsageError("with --yes name the sweeps, or give --older-than, such as --older-than 30d")
    index = SweepsIndex.of(os.environ)
    found: list[OutFolder | BucketRemoval] = []
    for sweep in sweeps:
        try:
            found.append(find_sweep(sweep))
        except UnknownSweepError as unknown:
            found += removal_elsewhere(sweep, place, unknown)
    removed = 0
    for each in found if sweeps else index.known():
        if isinstance(each, OutFolder):
            removed += _clean_folder(index, each, older_than, yes)
        elif older_than is None or each.age_seconds() >= older_than:
            removed += _clean_bucket(each, yes)
    if not yes and removed:
        click.echo("Nothing was removed: --yes does that.")


def _clean_folder(index: SweepsIndex, out: OutFolder, older_than: float | None, yes: bool) -> bool:
    """Show, and perhaps remove, a folder and what is in the bucket; whether it could be, or was."""
    age = time.time() - out.journal_path.stat().st_mtime
    if older_than is not None and age < older_than:
        return False
    runs = is_running(out)
    removal = None if runs else _removal_of(out, yes)
    if removal is not None and not _clean_bucket(removal, yes):
        return False
    shown = f"{bytes_of(out) / 1e6:>10,.1f} MB  {age_of(age):>12}  {out.path}"
    rest = []
    if yes and not runs:
        rest = remove_sweep(out)
        index.forget(out)
    click.echo(shown + ("  running, left alone" if runs else "  removed" if yes else ""))
    if rest:
        click.echo(f"left in {out.path}: {' '.join(rest)}", err=True)
    return not runs


def _removal_of(out: OutFolder, yes: bool) -> BucketRemoval | None:
    """Find what a folder's sweep has in the bucket; where nothing is to be removed, nobody has to know."""
    try:
        return removal_of(out)
    except CloudError as error:
        if yes:
            raise
        click.echo(f"warning: what {out.path} has in the bucket is not known: {error}", err=True)
        return None


def _clean_bucket(removal: BucketRemoval, yes: bool) -> bool:
    """Show, and perhaps remove, what a sweep has in the bucket; whether it could be, or was."""
    running = removal.running_jobs()
    if running:
        click.echo(f"{removal}  left alone: {running[0]}; `covalent-parallel sweep cancel` ends it")
        return False
    if yes:
        removal.remove()
    click.echo(f"{removal}{'  removed' if yes else ''}")
    return True
