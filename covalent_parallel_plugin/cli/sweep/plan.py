"""`covalent-parallel sweep plan`: what would run and why; nothing is started, and only `--check` asks anybody."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import click

from covalent_parallel_plugin.cli.sweep.file_options import file_options
from covalent_parallel_plugin.sweep.mistakes import SweepFileError, mistake_line
from covalent_parallel_plugin.sweep.opened_sweep import FileRequest, OpenedSweep, SavedInput
from covalent_parallel_plugin.sweep.plan import Planner, RunRequest
from covalent_parallel_plugin.sweep.plan_document import plan_document, plan_lines
from covalent_parallel_plugin.sweep.preceding_sweeps import unfinished_sweeps
from covalent_parallel_plugin.sweep.records.sweeps_index import SweepsIndex
from covalent_parallel_plugin.sweep.result_changes import has_changed
from covalent_parallel_plugin.sweep.run_base import check_bound
from covalent_parallel_plugin.sweep.run_sweep import missing_secrets
from covalent_parallel_plugin.sweep.sweep_status import is_running


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
    opened, found = _open(FileRequest(file, overrides, out, is_local), may_be_local=not asks)
    state = opened.out.state(opened.file.name)
    missing = [*unfinished_sweeps(opened.file, SweepsIndex.of(os.environ))]
    if opened.file.is_local:
        missing[:0] = missing_secrets(opened.file, os.environ)
    found += [*opened.warnings, *(mistake_line(str(file), mistake) for mistake in missing)]
    if has_changed(opened.file, state):
        found.append("result has changed: a run reads the results of what is done anew")
    if state.run and is_running(opened.out):
        found.append("a run is under way: what it has begun counts as interrupted here")
    for warning in found:
        click.echo(f"warning: {warning}", err=True)
    tasks = opened.tasks_as_of(state)
    request = RunRequest(only, first, again == "all")
    made = Planner(opened.out, state, request, tasks.parts).plan(tasks)
    bound = check_bound(opened, made, state.used_hours)
    document = plan_document(opened, tasks, made, state, bound, found)
    if form == "json" and not opened.file.is_local:
        from covalent_parallel_plugin.sweep.batch.planned_job import job_document, planned_job

        document = job_document(planned_job(opened.file, tasks.pinned.image, made))
    if form == "json":
        click.echo(json.dumps(document, indent=2))
    elif form == "yaml":
        import yaml

        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        click.echo(yaml.dump(document, Dumper=dumper, sort_keys=False, allow_unicode=True), nl=False)
    else:
        for line in plan_lines(document, made, bound):
            click.echo(line)
    if asks:
        from covalent_parallel_plugin.cli.sweep.google_checks import run_sweep_checks
        from covalent_parallel_plugin.sweep.batch.planned_job import planned_job

        job = planned_job(opened.file, tasks.pinned.image, made)
        sys.exit(run_sweep_checks(opened.file, job, os.environ, is_error=form != "text"))


def _open(request: FileRequest, may_be_local: bool) -> tuple[OpenedSweep, list[str]]:
    """Read the file; one that lacks what Batch needs is planned as for this machine, with what it lacks as warnings.

    Raises:
        SweepFileError: its mistakes.
    """
    stdin = SavedInput()
    try:
        return OpenedSweep.open(request, os.environ, stdin), []
    except SweepFileError as error:
        if request.is_local or not may_be_local:
            raise
        opened = OpenedSweep.open(replace(request, is_local=True), os.environ, stdin)
        # Without an image there is no other way
        return opened, str(error).splitlines() if opened.file.image else []
