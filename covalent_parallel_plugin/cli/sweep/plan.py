"""`covalent-parallel sweep plan`: what would run and why; nothing is started, and only `--check` asks anybody."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli.sweep.file_options import file_options
from covalent_parallel_plugin.sweep.opened_sweep import FileRequest, SavedInput
from covalent_parallel_plugin.sweep.plan import RunRequest
from covalent_parallel_plugin.sweep.plan_document import plan_lines
from covalent_parallel_plugin.sweep.planned_sweep import PlannedSweep, open_for_plan

if TYPE_CHECKING:
    from covalent_parallel_plugin.results.report.model import MachineHours
    from covalent_parallel_plugin.sweep.sweep_file import SweepFile


@click.command()
@file_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "yaml", "json"]),
    default="text",
    show_default=True,
    help="json: the Job that Batch would get, and with --local the plan.",
)
@click.option("--check", "asks", is_flag=True, help="Ask Google for the image, the bucket, the account and the quota.")
def plan(
    file: Path,
    out: Path | None,
    overrides: tuple[str, ...],
    first: int | None,
    only: tuple[str, ...],
    again: str | None,
    is_local: bool,
    form: str,
    asks: bool,
) -> None:
    """Show how many tasks there are, the first and last commands, what would run and why, and a bound on machine-hours.

    The image and inputs count as the last run found them; `run` finds what has moved. With --check it ends with 1 if
    something is wrong.
    """
    if asks and is_local:
        raise click.UsageError("--check asks Google, and with --local all runs on this machine: leave one of them out")
    request = FileRequest(file, overrides, out, is_local)
    opened, found = open_for_plan(request, os.environ, SavedInput(), may_be_local=not asks)
    planned = PlannedSweep.of(opened, RunRequest(only, first, again == "all"), os.environ, found)
    for warning in planned.warnings:
        click.echo(f"warning: {warning}", err=True)
    machines = _machines(opened.file, planned)
    document = planned.document if machines is None else {**planned.document, "dollars": machines.dollars}
    if form == "json" and not opened.file.is_local:
        from covalent_parallel_plugin.sweep.batch.planned_job import job_document, planned_job

        document = job_document(planned_job(opened.file, planned.image, planned.plan))
    if form == "json":
        click.echo(json.dumps(document, indent=2))
    elif form == "yaml":
        import yaml

        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        click.echo(yaml.dump(document, Dumper=dumper, sort_keys=False, allow_unicode=True), nl=False)
    else:
        for line in plan_lines(document, planned.plan, planned.bound, _cost(machines)):
            click.echo(line)
    if asks:
        from covalent_parallel_plugin.cli.sweep.google_checks import run_sweep_checks
        from covalent_parallel_plugin.sweep.batch.planned_job import planned_job

        job = planned_job(opened.file, planned.image, planned.plan)
        sys.exit(run_sweep_checks(opened.file, job, os.environ, is_error=form != "text"))


def _cost(machines: MachineHours | None) -> str:
    if machines is None:
        return ""
    from covalent_parallel_plugin.results.report.costs import cost_text

    return f", {cost_text([machines]) or 'no price'}"


def _machines(file: SweepFile, planned: PlannedSweep) -> MachineHours | None:
    """Return what a run holds of machines at most, with the user's price; None if none are paid for."""
    if file.is_local or not planned.plan.to_run:
        return None
    from covalent_parallel_plugin.results.report.model import MachineHours
    from covalent_parallel_plugin.results.report.prices import prices_path, read_prices, with_prices

    prices, settings = read_prices(prices_path(os.environ)), file.settings
    if prices.problem:
        click.echo(f"warning: {prices.problem}", err=True)
    seconds = planned.bound.hours * 3600
    machines = MachineHours(settings.machine_type, settings.spot, settings.region, 0, seconds, 0.0)
    if settings.gpu_type:
        machines = replace(machines, gpu_type=settings.gpu_type, gpu_count=settings.accelerators)
    return with_prices([machines], prices, date.today())[0]
