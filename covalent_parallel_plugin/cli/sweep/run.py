"""`covalent-parallel sweep run`: run what is missing or failed, and show how far it is."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli.exit_statuses import DONE, FAILED, INTERRUPTED
from covalent_parallel_plugin.cli.sweep.file_options import file_options
from covalent_parallel_plugin.programs.task_folder import FULL_REMEDY, is_full
from covalent_parallel_plugin.sweep.display.interruption import Interruption, discard_output
from covalent_parallel_plugin.sweep.display.plain_lines import FollowedOutput, PlainLines
from covalent_parallel_plugin.sweep.display.run_progress import RunProgress
from covalent_parallel_plugin.sweep.display.run_summary import run_summary
from covalent_parallel_plugin.sweep.local.run import RunEnd
from covalent_parallel_plugin.sweep.opened_sweep import FileRequest, OpenedSweep, SavedInput
from covalent_parallel_plugin.sweep.plan import RunRequest, reason_lines
from covalent_parallel_plugin.sweep.run_base import RunOutcome
from covalent_parallel_plugin.sweep.run_sweep import SweepRun

if TYPE_CHECKING:
    from covalent_parallel_plugin.sweep.batch.run_on_batch import BatchSweepRun
    from covalent_parallel_plugin.sweep.local.observer import RunObserver
    from covalent_parallel_plugin.sweep.records.journal import Journal

# Above this bound a terminal is asked
ASKED_HOURS = 10


@click.command()
@file_options
@click.option("--keep-image", is_flag=True, help="Stay with the image of the last run, wherever its tag has moved.")
@click.option("--follow", is_flag=True, help="Print every line of output after its task's name.")
@click.option("-v", "--verbose", is_flag=True, help="Lines with each task's folder, or each job's addresses; no table.")
@click.option("--yes", is_flag=True, help="Do not ask before what is done runs again, or before many machine-hours.")
@click.option("--detach", is_flag=True, help="On Batch: end as soon as the tasks are submitted.")
@click.option("--no-download", is_flag=True, help="On Batch: leave outputs in the bucket, for `gather`.")
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
    verbose: bool,
    yes: bool,
    detach: bool,
    no_download: bool,
) -> None:
    """Run the tasks that are missing or failed, and write OUT/results.csv and OUT/results.json.

    On Google Batch, or with --local on this machine.

    Ends with 0 if all are done, 1 if some are not, 2 for mistakes, 130 if it was interrupted.
    """
    _check_options(is_local, {"--detach": detach, "--no-download": no_download}, follow)
    opened = OpenedSweep.open(FileRequest(file, overrides, out, is_local), os.environ, SavedInput())
    if not is_local:
        # Here, so that a run on this machine loads no client of Google's
        from covalent_parallel_plugin.cloud.emulator_runtime import require_containers

        require_containers(os.environ)
    for warning in opened.warnings:
        click.echo(f"warning: {warning}", err=True)
    try:
        with opened.out.hold(opened.file.name) as journal:
            sweep = _sweep_run(opened, journal, not no_download)
            sweep.prepare(RunRequest(only, first, again == "all"), keep_image)
            _announce(sweep, yes)
            if warning := sweep.begin():
                click.echo(f"warning: {warning}", err=True)
            outcome, end = _run(sweep, opened, Shown(follow, verbose), detach)
    except OSError as error:
        remedy = FULL_REMEDY if is_full(error) else ""
        raise click.ClickException(f"{error.filename or opened.out.path}: {error.strerror or error}{remedy}") from error
    _print(run_summary(outcome, sweep.state, opened.out.path, end.detached))
    if outcome.is_interrupted:
        sys.exit(INTERRUPTED)
    is_left = end.detached and not end.stopped
    if is_left:
        for line in _detached_lines(opened.out.path, opened.file.most_machine_hours):
            _print(line)
    sys.exit(FAILED if outcome.not_done and not is_left else DONE)


def _check_options(is_local: bool, for_batch: Mapping[str, bool], follow: bool) -> None:
    """Raise UsageError for options that mean nothing where the tasks run."""
    wrong = [name for name, is_given in for_batch.items() if is_given and is_local]
    if wrong:
        raise click.UsageError(f"{wrong[0]} is for runs on Batch: leave it out, or --local")
    if follow and not is_local:
        raise click.UsageError(
            "--follow prints what tasks on this machine write: leave it out, or give --local; what a task on Batch has"
            " written comes when it has ended, for `sweep logs`"
        )


def _sweep_run(opened: OpenedSweep, journal: Journal, download: bool) -> SweepRun | BatchSweepRun:
    if opened.file.is_local:
        return SweepRun(opened, journal, os.environ)
    from covalent_parallel_plugin.sweep.batch.run_on_batch import BatchSweepRun

    return BatchSweepRun(opened, journal, os.environ, download)


def is_terminal() -> bool:
    """Whether somebody reads and types."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _print(line: str) -> None:
    try:
        click.echo(line)
    except OSError as error:
        discard_output()
        raise click.ClickException(f"standard output cannot be written to: {error.strerror}") from error


def _announce(sweep: SweepRun | BatchSweepRun, yes: bool) -> None:
    """Say what runs and why; at a terminal ask before what was done runs again, or before many machine-hours."""
    for line in (*sweep.moved, *reason_lines(sweep.plan)):
        _print(line)
    questions = []
    if repeated := sum(map(len, sweep.plan.repeats.values())):
        questions.append(f"Run {repeated} that were done again?")
    if not isinstance(sweep, SweepRun) and sweep.bound.hours > ASKED_HOURS:
        questions.append(f"At most {sweep.bound} on Batch. Go on?")
    if not yes and is_terminal() and not all(map(click.confirm, questions)):
        raise click.ClickException("nothing was started")


@dataclass(frozen=True)
class Shown:
    """What of a run is shown: each line of output, and each task's folder or job's addresses."""

    follow: bool
    verbose: bool


def _run(sweep: SweepRun | BatchSweepRun, opened: OpenedSweep, shown: Shown, detach: bool) -> tuple[RunOutcome, RunEnd]:
    if not sweep.plan.to_run:
        return sweep.finish(False, ""), RunEnd(False, "")
    progress = RunProgress(opened.file.name, sweep.plan.to_run, sweep.plan.done, opened.out.task_folder)
    asks = is_terminal()
    interruption = Interruption(asks)
    with interruption, _observer(progress, interruption, asks, shown, isinstance(sweep, SweepRun)) as observer:
        if isinstance(sweep, SweepRun):
            local_run = sweep.local_run(observer)
            interruption.cancel = local_run.cancel
            progress.used_hours = lambda: local_run.used_hours
            end = local_run.run()
        else:
            runner = sweep.runner(observer)
            interruption.cancel, interruption.detach = runner.cancel, runner.detach
            progress.elsewhere = lambda: runner.look
            if shown.verbose:
                runner.on_round = partial(_print_round, sweep, interruption)
            if detach:
                runner.detach()
            end = runner.run()
    return sweep.finish(end.cancelled, end.message, end.detached, end.overrun is not None), end


@contextlib.contextmanager
def _observer(
    progress: RunProgress, interruption: Interruption, is_live: bool, shown: Shown, is_local: bool
) -> Iterator[RunObserver]:
    if is_live and not shown.follow and not shown.verbose:
        from rich.console import Console

        from covalent_parallel_plugin.sweep.display.live_table import LiveTable

        with LiveTable(progress, interruption, Console(highlight=False)) as table:
            yield table
    else:
        lines = FollowedOutput if shown.follow else PlainLines
        # A task on Batch is reported when it has ended
        yield lines(progress, interruption, click.echo, shown.verbose and is_local)


def _print_round(sweep: BatchSweepRun, interruption: Interruption, number: int, job_name: str) -> None:
    with interruption.showing():
        for line in sweep.round_lines(number, job_name):
            click.echo(line)


def _detached_lines(out: Path, most_hours: float | None) -> Iterator[str]:
    """Say how to go on with what runs on Batch, and that nobody keeps a limit on its machine-hours."""
    if most_hours is not None:
        yield f"max_machine_hours = {most_hours:g} is kept by nobody until `sweep run` waits for it again"
    for what, command in (("look", "status"), ("gather", "gather"), ("end it", "cancel")):
        yield f"{what:<8}covalent-parallel sweep {command} {shlex.quote(str(out))}"
