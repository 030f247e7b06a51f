"""`covalent-parallel sweep cancel`: end a run of this machine, and wait until it has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import click

from covalent_parallel_plugin.cli.sweep.arguments import NAME_OR_FOLDER, find_sweep
from covalent_parallel_plugin.sweep.records.journal import State, is_held

# A task has 10 s to end; then there are containers to remove and tables to write
WAIT_SECONDS = 90.0
LOOK_EVERY_SECONDS = 0.1


@click.command()
@click.argument("sweep", required=False, metavar=NAME_OR_FOLDER)
def cancel(sweep: str | None) -> None:
    """End a run, and wait until it has."""
    out = find_sweep(sweep)
    if not is_held(out.journal_path):
        click.echo(f"{out.path} is not running")
        return
    pid = State.read(out.journal_path).pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + WAIT_SECONDS
    while is_held(out.journal_path):
        if time.monotonic() > deadline:
            raise click.ClickException(f"process {pid} still holds {out.path} after {WAIT_SECONDS:g} s")
        time.sleep(LOOK_EVERY_SECONDS)
    click.echo(f"{out.path} is cancelled")
