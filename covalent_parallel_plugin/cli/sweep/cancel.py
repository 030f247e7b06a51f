"""`covalent-parallel sweep cancel`: end a run, or the jobs that a run has left on Batch, and wait for their end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli.sweep.arguments import NAME_OR_FOLDER, find_sweep
from covalent_parallel_plugin.cli.sweep.elsewhere import find_elsewhere, place_options
from covalent_parallel_plugin.sweep.records.journal import State, is_held
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder
from covalent_parallel_plugin.sweep.records.sweeps_index import UnknownSweepError

if TYPE_CHECKING:
    from covalent_parallel_plugin.settings import Settings

# A task has 10 s to end; then there are containers to remove and tables to write
WAIT_SECONDS = 90.0
# A job on Batch takes its time to end, and what it has delivered is gathered then
BATCH_WAIT_SECONDS = 900.0
LOOK_EVERY_SECONDS = 0.1


@click.command()
@click.argument("sweep", required=False, metavar=NAME_OR_FOLDER)
@place_options
def cancel(sweep: str | None, place: Mapping[str, str | None]) -> None:
    """End a run, and wait until it has; on Batch the job as well, whoever waits for it."""
    try:
        out = find_sweep(sweep)
    except UnknownSweepError as unknown:
        found = find_elsewhere(sweep, place, unknown)
        running = [job.status.name for job in found.found.jobs if not job.status.is_terminal]
        _cancel_jobs(found.name, found.settings, running, f"`covalent-parallel sweep gather {found.name}`")
        return
    if is_held(out.journal_path):
        _end_run(out)
        return
    state = State.read(out.journal_path)
    if state.rounds and state.place is not None:
        from covalent_parallel_plugin.sweep.batch.sweep_place import settings_at

        jobs = [event["job"] for event in state.rounds.values()]
        _cancel_jobs(str(out.path), settings_at(state.place), jobs, f"`covalent-parallel sweep gather {out.path}`")
        return
    click.echo(f"{out.path} is not running")


def _end_run(out: OutFolder) -> None:
    state = State.read(out.journal_path)
    is_local = state.run is None or state.run.get("local", True)
    with contextlib.suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGTERM)
    seconds = WAIT_SECONDS if is_local else BATCH_WAIT_SECONDS
    deadline = time.monotonic() + seconds
    while is_held(out.journal_path):
        if time.monotonic() > deadline:
            raise click.ClickException(f"process {state.pid} still holds {out.path} after {seconds:g} s")
        time.sleep(LOOK_EVERY_SECONDS)
    click.echo(f"{out.path} is cancelled")


def _cancel_jobs(what: str, settings: Settings, names: Sequence[str], gather: str) -> None:
    """Cancel jobs that no run of this machine waits for."""
    from covalent_parallel_plugin.sweep.batch.waiting_jobs import cancel_jobs, look_at_jobs

    running = [job.name for job in look_at_jobs(settings, names) if job.may_run]
    if not running:
        click.echo(f"{what} is not running: its job on Batch has ended, or is gone; {gather} brings what it delivered")
        return
    for job in cancel_jobs(settings, running):
        if job.may_run:
            raise click.ClickException(f"{job}; it was told to end, and has not yet: look again later")
        click.echo(str(job))
    click.echo(f"{what} is cancelled; {gather} brings what it delivered")
