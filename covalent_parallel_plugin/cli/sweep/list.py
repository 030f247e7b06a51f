"""`covalent-parallel sweep list`: the sweeps of this machine, each with its state and folder."""

from __future__ import annotations

import os

import click

from covalent_parallel_plugin.sweep.records.journal import JournalError
from covalent_parallel_plugin.sweep.records.sweeps_index import SweepsIndex
from covalent_parallel_plugin.sweep.sweep_status import SweepStatus


@click.command(name="list")
def list_sweeps() -> None:
    """List all sweeps of this user: state, tasks done, rate, time left, machine-hours used, and folder."""
    known = SweepsIndex.of(os.environ).known()
    for out in known:
        try:
            found = SweepStatus.read(out)
        except JournalError as error:
            click.echo(str(error), err=True)
        else:
            done = f"{found.counts.get('done', 0)} of {found.total} done"
            rate, left, hours = found.pace.texts()
            pace = f"{rate:<15}  {left:<13}  {hours:<20}"
            click.echo(f"{found.name:<16}  {found.state:<11}  {done:<18}  {pace}  {found.folder}")
    if not known:
        click.echo("no sweeps")
