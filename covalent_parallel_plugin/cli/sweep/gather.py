"""`covalent-parallel sweep gather`: write the tables of a sweep anew from its journal."""

from __future__ import annotations

import os

import click

from covalent_parallel_plugin.cli.sweep.arguments import NAME_OR_FOLDER, find_sweep
from covalent_parallel_plugin.sweep.opened_sweep import OpenedSweep
from covalent_parallel_plugin.sweep.records.journal import State
from covalent_parallel_plugin.sweep.records.table import CSV_FILE, parameter_names, write_tables


@click.command()
@click.argument("sweep", required=False, metavar=NAME_OR_FOLDER)
def gather(sweep: str | None) -> None:
    """Write results.csv and results.json anew, of a sweep that runs, too."""
    out = find_sweep(sweep)
    opened = OpenedSweep.reopen(out, os.environ)
    state = State.read(out.journal_path)
    try:
        write_tables(out, opened.pinned_tasks(state.pinned), parameter_names(opened.file.grids), state)
    except OSError as error:
        raise click.ClickException(f"{error.filename or out.path}: {error.strerror}") from error
    counts = ", ".join(f"{count} {status}" for status, count in state.counts().items() if count)
    click.echo(f"{opened.file.name}: {counts}; {out.path / CSV_FILE}")
