"""`covalent-parallel sweep plan`: what would run and why; nothing is started, and nobody is asked."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from covalent_parallel_plugin.cli.sweep.file_options import file_options
from covalent_parallel_plugin.sweep.mistakes import mistake_line
from covalent_parallel_plugin.sweep.opened_sweep import FileRequest, OpenedSweep, SavedInput
from covalent_parallel_plugin.sweep.plan import Planner, RunRequest
from covalent_parallel_plugin.sweep.plan_document import plan_document, plan_lines
from covalent_parallel_plugin.sweep.preceding_sweeps import unfinished_sweeps
from covalent_parallel_plugin.sweep.result_changes import has_changed
from covalent_parallel_plugin.sweep.run_sweep import check_bound, missing_secrets
from covalent_parallel_plugin.sweep.sweep_status import is_running
from covalent_parallel_plugin.sweep.sweeps_index import SweepsIndex


@click.command()
@file_options
@click.option("--format", "form", type=click.Choice(["text", "yaml", "json"]), default="text", show_default=True)
def plan(
    file: Path,
    out: Path | None,
    overrides: tuple[str, ...],
    first: int | None,
    only: tuple[str, ...],
    again: str | None,
    is_local: bool,
    form: str,
) -> None:
    """Show how many tasks there are, the first and last commands, what would run and why, and a bound on machine-hours.

    The image and inputs count as the last run found them; `run` finds what has moved.
    """
    opened = OpenedSweep.open(FileRequest(file, overrides, out), os.environ, SavedInput())
    state = opened.out.state(opened.file.name)
    found = [*opened.warnings]
    missing = [*missing_secrets(opened.file, os.environ), *unfinished_sweeps(opened.file, SweepsIndex.of(os.environ))]
    found += [mistake_line(str(file), mistake) for mistake in missing]
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
    if form == "json":
        click.echo(json.dumps(document, indent=2))
    elif form == "yaml":
        import yaml

        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        click.echo(yaml.dump(document, Dumper=dumper, sort_keys=False, allow_unicode=True), nl=False)
    else:
        for line in plan_lines(document, made, bound):
            click.echo(line)
