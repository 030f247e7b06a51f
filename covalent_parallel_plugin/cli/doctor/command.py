"""`covalent-parallel doctor`: what is wrong with this set-up, and what mends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli import INTERRUPTED_STATUS

if TYPE_CHECKING:
    from rich.console import Console

    from covalent_parallel_plugin.cli.doctor.phases import Phase
    from covalent_parallel_plugin.cli.doctor.results import Finding
    from covalent_parallel_plugin.cli.doctor.setup import Case


@click.command()
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="An option above the file's; may be repeated."
)
@click.option("--run", is_flag=True, help="Also send one small electron, and show the time of each phase.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def doctor(changes: tuple[str, ...], run: bool, as_json: bool) -> None:
    """Look for what would go wrong: installation, configuration, credentials, project, bucket, image, server.

    Each line is ok, warning, error or skipped, with what mends it. It changes nothing but a small object in the
    bucket, which it removes. Ends with status 0, with 1 if there are errors, and with 2 if it was called wrongly.
    """
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    from rich.console import Console

    from covalent_parallel_plugin.cli.doctor import report
    from covalent_parallel_plugin.cli.doctor.check_runner import examine
    from covalent_parallel_plugin.cli.doctor.checks import all_checks, gate
    from covalent_parallel_plugin.cli.doctor.setup import read_case

    case = read_case(os.environ, _read(changes))
    console = Console(highlight=False, soft_wrap=True, stderr=as_json)
    try:
        with _busy(console, "Looking"):
            findings = examine(all_checks(case), gate(case))
        phases: Sequence[Phase] = ()
        if run:
            with _busy(console, "Sending an electron: Ctrl-C cancels its job"):
                finding, phases = _run(case, findings)
            findings.append(finding)
    except KeyboardInterrupt:
        click.echo("Stopped; nothing is left running", err=True)
        sys.exit(INTERRUPTED_STATUS)
    if as_json:
        click.echo(report.as_json(findings, case, phases))
    else:
        for line in (*report.lines(findings), *report.phase_lines(phases)):
            console.print(line)
        console.print(report.summary(findings))
    sys.exit(report.exit_status(findings))


def _read(changes: Sequence[str]) -> dict[str, object]:
    """The options given. Raises UsageError."""
    from covalent_parallel_plugin.cli.option_assignments import RequestError, read_changes

    try:
        read = read_changes(changes)
    except RequestError as error:
        raise click.UsageError(f"--set: {error}") from error
    if read.mistakes:
        raise click.UsageError(f"--set: {'; '.join(read.mistakes)}")
    return dict(read.values)


def _run(case: Case, findings: Sequence[Finding]) -> tuple[Finding, Sequence[Phase]]:
    """Send the electron, unless a check has failed that it rests on."""
    from covalent_parallel_plugin.cli.doctor.results import Finding, skipped
    from covalent_parallel_plugin.cli.doctor.trial_run import CHECK_NAME, RESTS_ON, try_run

    failed = [finding.name for finding in findings if finding.name in RESTS_ON and finding.judged.has_failed]
    if failed:
        return Finding(CHECK_NAME, skipped(f"see {', '.join(failed)}")), ()
    trial = asyncio.run(try_run(case.given, case.settings))
    return Finding(CHECK_NAME, trial.judged), trial.phases


@contextlib.contextmanager
def _busy(console: Console, text: str) -> Iterator[None]:
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield
