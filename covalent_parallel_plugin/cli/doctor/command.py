"""`covalent-parallel doctor`: what is wrong with this set-up, and the remedy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli.exit_statuses import INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from covalent_parallel_plugin.cli.doctor.phases import Phase
    from covalent_parallel_plugin.cli.doctor.results import CheckResult
    from covalent_parallel_plugin.cli.doctor.setup import Setup


@click.command()
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="An option above the file's; may be repeated."
)
@click.option("--run", is_flag=True, help="Also send one small electron, and show the time of each phase.")
@click.option("--all", "is_all", is_flag=True, help="Also show the checks that are ok or were skipped.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines, always with every check.")
def doctor(changes: tuple[str, ...], run: bool, is_all: bool, as_json: bool) -> None:
    """Look for what would go wrong: installation, configuration, credentials, project, bucket, image, server.

    Errors come first, then warnings, each with its fix; of the other checks the number. It changes nothing but a small
    object in the bucket, which it removes. Ends with status 0, with 1 if there are errors, and with 2 if it was called
    wrongly.
    """
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    from rich.console import Console

    from covalent_parallel_plugin.cli.doctor import report
    from covalent_parallel_plugin.cli.doctor.check_runner import run_checks
    from covalent_parallel_plugin.cli.doctor.checks import all_checks
    from covalent_parallel_plugin.cli.doctor.results import on_emulator
    from covalent_parallel_plugin.cli.doctor.setup import read_setup

    setup = read_setup(os.environ, _read(changes))
    console = Console(highlight=False, soft_wrap=True, stderr=as_json)
    try:
        with _busy(console, "Looking"):
            results = run_checks(all_checks(), setup)
        phases: Sequence[Phase] = ()
        if run:
            with _busy(console, "Sending an electron: Ctrl-C cancels its job"):
                result, phases = _run(setup, results)
            results.append(result)
    except KeyboardInterrupt:
        click.echo("Stopped; nothing is left running", err=True)
        sys.exit(INTERRUPTED)
    results = [on_emulator(result) for result in results] if setup.emulator_addresses else results
    if as_json:
        click.echo(report.as_json(results, setup, phases))
    else:
        # What was sent is shown in any case, above its phases
        checks, sent = (results[:-1], results[-1:]) if run else (results, [])
        checks = report.shown_results(checks, is_all)
        for line in (*report.lines(checks), *report.lines(sent), *report.phase_lines(phases)):
            console.print(line)
        console.print(report.summary(results, is_all))
    sys.exit(report.exit_status(results))


def _read(changes: Sequence[str]) -> dict[str, object]:
    """Read the options given. Raises UsageError."""
    from covalent_parallel_plugin.cli.option_assignments import RequestError, read_option_assignments

    try:
        read = read_option_assignments(changes)
    except RequestError as error:
        raise click.UsageError(f"--set: {error}") from error
    if read.mistakes:
        raise click.UsageError(f"--set: {'; '.join(read.mistakes)}")
    return dict(read.values)


def _run(setup: Setup, results: Sequence[CheckResult]) -> tuple[CheckResult, Sequence[Phase]]:
    """Send the electron, unless a check has failed that it rests on."""
    from covalent_parallel_plugin.cli.doctor.results import skipped
    from covalent_parallel_plugin.cli.doctor.trial_run import CHECK_NAME, RESTS_ON, trial_run

    failed = [result.name for result in results if result.name in RESTS_ON and result.has_failed]
    if failed:
        return replace(skipped(f"see {', '.join(failed)}"), name=CHECK_NAME), ()
    result, phases = asyncio.run(trial_run(setup.given, setup.settings))
    return replace(result, name=CHECK_NAME), phases


@contextlib.contextmanager
def _busy(console: Console, text: str) -> Iterator[None]:
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield
