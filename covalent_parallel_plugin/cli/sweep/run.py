"""`covalent-parallel sweep run`: run what is missing or failed, and show how far it is."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli import INTERRUPTED_STATUS
from covalent_parallel_plugin.cli.sweep.file_options import file_options
from covalent_parallel_plugin.programs.task_folder import FULL_REMEDY, is_full
from covalent_parallel_plugin.sweep.display.interruption import Interruption
from covalent_parallel_plugin.sweep.display.plain_lines import FollowedOutput, PlainLines
from covalent_parallel_plugin.sweep.display.run_progress import RunProgress
from covalent_parallel_plugin.sweep.opened_sweep import FileRequest, OpenedSweep, SavedInput
from covalent_parallel_plugin.sweep.plan import RunRequest, reason_lines
from covalent_parallel_plugin.sweep.records.table import CSV_FILE
from covalent_parallel_plugin.sweep.run_sweep import RunOutcome, SweepRun

if TYPE_CHECKING:
    from covalent_parallel_plugin.sweep.local.observer import RunObserver


@click.command()
@file_options
@click.option("--keep-image", is_flag=True, help="Stay with the image of the last run, wherever its tag has moved.")
@click.option("--follow", is_flag=True, help="Print every line of output after its task's name.")
@click.option("--yes", is_flag=True, help="Do not ask before what is done runs again.")
def run(
    file: Path,
    out: Path | None,
    overrides: tuple[str, ...],
    first: int | None,
    only: tuple[str, ...],
    again: str | None,
    is_local: bool,
    keep_image: bool,
    follow: bool,
    yes: bool,
) -> None:
    """Run the tasks that are missing or failed, and write OUT/results.csv and OUT/results.json.

    Ends with 0 if all are done, 1 if some are not, 2 for mistakes, 130 if it was interrupted.
    """
    if not is_local:
        raise click.UsageError("give --local: a sweep runs on this machine only")
    opened = OpenedSweep.open(FileRequest(file, overrides, out), os.environ, SavedInput())
    for warning in opened.warnings:
        click.echo(f"warning: {warning}", err=True)
    try:
        with opened.out.hold(opened.file.name) as journal:
            sweep = SweepRun(opened, journal, os.environ)
            sweep.prepare(RunRequest(only, first, again == "all"), keep_image)
            _announce(sweep, yes)
            if warning := sweep.begin():
                click.echo(f"warning: {warning}", err=True)
            outcome = _run(sweep, opened, follow)
    except OSError as error:
        remedy = FULL_REMEDY if is_full(error) else ""
        raise click.ClickException(f"{error.filename or opened.out.path}: {error.strerror or error}{remedy}") from error
    _print(_summary(outcome, sweep, opened))
    if outcome.is_interrupted:
        sys.exit(INTERRUPTED_STATUS)
    sys.exit(1 if outcome.not_done else 0)


def is_terminal() -> bool:
    """Whether somebody reads and types."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _print(line: str) -> None:
    try:
        click.echo(line)
    except OSError as error:
        raise click.ClickException(f"standard output cannot be written to: {error.strerror}") from error


def _announce(sweep: SweepRun, yes: bool) -> None:
    """Say what runs and why; at a terminal ask before what was done runs again."""
    for line in (*sweep.moved, *reason_lines(sweep.plan)):
        _print(line)
    repeated = sum(map(len, sweep.plan.repeats.values()))
    if repeated and not yes and is_terminal() and not click.confirm(f"Run {repeated} that were done again?"):
        raise click.ClickException("nothing was started")


def _run(sweep: SweepRun, opened: OpenedSweep, follow: bool) -> RunOutcome:
    if not sweep.plan.to_run:
        return sweep.finish(False, "")
    progress = RunProgress(opened.file.name, sweep.plan.to_run, sweep.plan.done, opened.out.task_folder)
    asks = is_terminal()
    interruption = Interruption(asks)
    with interruption, _shown(progress, interruption, asks and not follow, follow) as observer:
        local_run = sweep.local_run(observer)
        interruption.cancel = local_run.cancel
        end = local_run.run()
    return sweep.finish(end.cancelled, end.stopped)


@contextlib.contextmanager
def _shown(progress: RunProgress, interruption: Interruption, is_live: bool, follow: bool) -> Iterator[RunObserver]:
    if is_live:
        from rich.console import Console

        from covalent_parallel_plugin.sweep.display.live_table import LiveTable

        with LiveTable(progress, interruption, Console(highlight=False)) as table:
            yield table
    else:
        yield (FollowedOutput if follow else PlainLines)(progress, interruption, click.echo)


def _summary(outcome: RunOutcome, sweep: SweepRun, opened: OpenedSweep) -> str:
    counts = sweep.state.counts()
    shown = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    why = "interrupted: " if outcome.is_interrupted else f"stopped: {outcome.stopped}: " if outcome.stopped else ""
    return f"{opened.file.name}: {why}{shown or 'no tasks'}; {opened.out.path / CSV_FILE}"
