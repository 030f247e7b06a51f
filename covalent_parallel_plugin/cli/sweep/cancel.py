"""`covalent-parallel sweep cancel`: end a run, or the jobs that a run has left on Batch, and wait for their end."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from covalent_parallel_plugin.cli.exit_statuses import DONE, FAILED
from covalent_parallel_plugin.cli.sweep.arguments import NAME_OR_FOLDER, find_sweep
from covalent_parallel_plugin.cli.sweep.elsewhere import find_elsewhere, place_options
from covalent_parallel_plugin.cli.sweep.run import is_terminal
from covalent_parallel_plugin.errors import ParallelError
from covalent_parallel_plugin.sweep.drain import drain_jobs, drain_sweep
from covalent_parallel_plugin.sweep.records.journal import JournalError
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder
from covalent_parallel_plugin.sweep.records.sweeps_index import SweepsIndex, UnknownSweepError
from covalent_parallel_plugin.sweep.run_cancellation import cancel_sweep, end_jobs
from covalent_parallel_plugin.sweep.sweep_status import SweepStatus

RUNNING = ("running", "on Batch")


@click.command()
@click.argument("sweep", required=False, metavar=NAME_OR_FOLDER)
@click.option("--waiting", is_flag=True, help="Only what has not begun: what runs goes on, and nothing is waited for.")
@click.option("--all", "is_all", is_flag=True, help="All sweeps of this user that run, here or on Batch.")
@click.option("--yes", is_flag=True, help="With --all: do not ask.")
@place_options
def cancel(sweep: str | None, waiting: bool, is_all: bool, yes: bool, place: Mapping[str, str | None]) -> None:
    """End a run, and wait until it has; on Batch the job as well, whoever waits for it."""
    if is_all:
        if sweep is not None or any(place.values()):
            raise click.UsageError(
                "--all means every sweep of `sweep list` that runs: leave out the name and the place"
            )
        _cancel_all(waiting, yes)
        return
    try:
        out = find_sweep(sweep)
    except UnknownSweepError as unknown:
        _cancel_elsewhere(sweep, waiting, place, unknown)
        return
    for line in drain_sweep(out) if waiting else cancel_sweep(out):
        click.echo(line)


def _cancel_elsewhere(
    name: str | None, waiting: bool, place: Mapping[str, str | None], unknown: UnknownSweepError
) -> None:
    """End the jobs of a sweep that this machine has no folder of. Raises ParallelError."""
    sweep = find_elsewhere(name, place, unknown)
    running = {job.round: job.status.name for job in sweep.found.jobs if not job.status.is_terminal}
    if waiting:
        lines = drain_jobs(sweep.name, sweep.settings, sweep.found.identity.folder, running)
    else:
        gather = f"`covalent-parallel sweep gather {sweep.name}`"
        lines = end_jobs(sweep.name, sweep.settings, list(running.values()), gather)
    for line in lines:
        click.echo(line)


def _cancel_all(waiting: bool, yes: bool) -> None:
    """End all sweeps that run, one after the other; one that cannot be ended keeps none of the others."""
    found = _running()
    if not found:
        click.echo("no sweep runs")
        return
    for status in found:
        click.echo(f"{status.name:<16}  {status.state:<11}  {status.folder}")
    question = "Start nothing more of all of these?" if waiting else "Cancel all of these?"
    if not yes and is_terminal() and not click.confirm(question):
        raise click.ClickException("nothing was cancelled")
    failed = 0
    for status in found:
        out = OutFolder(Path(status.folder))
        try:
            for line in drain_sweep(out) if waiting else cancel_sweep(out):
                click.echo(line)
        except ParallelError as error:
            click.echo(f"{out.path}: {error}", err=True)
            failed += 1
    sys.exit(FAILED if failed else DONE)


def _running() -> Sequence[SweepStatus]:
    """Return the sweeps of this user that run, or may run on Batch."""
    found = []
    for out in SweepsIndex.of(os.environ).known():
        try:
            found.append(SweepStatus.read(out))
        except JournalError as error:
            click.echo(str(error), err=True)
    return [status for status in found if status.state in RUNNING]
