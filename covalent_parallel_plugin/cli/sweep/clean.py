"""`covalent-parallel sweep clean`: list, and with --yes remove, the folders of sweeps."""

from __future__ import annotations

import os
import time

import click

from covalent_parallel_plugin.cli.clean import Age, age_of
from covalent_parallel_plugin.cli.sweep.arguments import find_sweep
from covalent_parallel_plugin.sweep.sweep_removal import bytes_of, remove_sweep
from covalent_parallel_plugin.sweep.sweep_status import is_running
from covalent_parallel_plugin.sweep.sweeps_index import SweepsIndex


@click.command()
@click.argument("sweeps", nargs=-1, metavar="[NAME|FOLDER]...")
@click.option("--older-than", type=Age(), help="Only those whose last run is longer ago, such as 30d.")
@click.option("--yes", is_flag=True, help="Remove their folders; without it they are only shown.")
def clean(sweeps: tuple[str, ...], older_than: float | None, yes: bool) -> None:
    """List sweeps with the size and age of their folders; with --yes remove them: tables, outputs and logs.

    What is in a folder and not of the sweep stays. A sweep that runs is left alone.
    """
    if yes and not sweeps and older_than is None:
        raise click.UsageError("with --yes name the sweeps, or give --older-than, such as --older-than 30d")
    index = SweepsIndex.of(os.environ)
    found = [find_sweep(sweep) for sweep in sweeps] if sweeps else index.known()
    removed = 0
    for out in found:
        age = time.time() - out.journal_path.stat().st_mtime
        if older_than is not None and age < older_than:
            continue
        runs = is_running(out)
        shown = f"{bytes_of(out) / 1e6:>10,.1f} MB  {age_of(age):>12}  {out.path}"
        rest = []
        if yes and not runs:
            rest = remove_sweep(out)
            index.forget(out)
        click.echo(shown + ("  running, left alone" if runs else "  removed" if yes else ""))
        if rest:
            click.echo(f"left in {out.path}: {' '.join(rest)}", err=True)
        removed += not runs
    if not yes and removed:
        click.echo("Nothing was removed: --yes does that.")
