"""`covalent-parallel sweep show`: the command line of a task, to try it by hand."""

from __future__ import annotations

import os
import shutil

import click

from covalent_parallel_plugin.cli.sweep.arguments import NAME_OR_FOLDER, find_sweep_and_task
from covalent_parallel_plugin.sweep.hand_trial import HandTrial
from covalent_parallel_plugin.sweep.opened_sweep import OpenedSweep


@click.command()
@click.argument("words", nargs=-1, required=True, metavar=f"{NAME_OR_FOLDER} TASK")
def show(words: tuple[str, ...]) -> None:
    """Print the `docker run` (or `podman run`) line of a task, or its command, in a folder for trials.

    What the task's folder holds before it runs is in there; the task's own outputs stay as they are. Secrets are
    named, and taken from this machine's variables.
    """
    out, task = find_sweep_and_task(words)
    trial = HandTrial(OpenedSweep.reopen(out, os.environ), task)
    try:
        shutil.rmtree(trial.folder, ignore_errors=True)
        trial.lay_out()
    except OSError as error:
        raise click.ClickException(f"{error.filename or trial.folder}: {error.strerror}") from error
    click.echo(trial.line())
