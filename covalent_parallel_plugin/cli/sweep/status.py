"""`covalent-parallel sweep status`: how far a sweep is, and what failed."""

from __future__ import annotations

import json

import click

from covalent_parallel_plugin.cli.sweep.arguments import NAME_OR_FOLDER, find_sweep
from covalent_parallel_plugin.sweep.sweep_status import SweepStatus

SHOWN_FAILURES = 20


@click.command()
@click.argument("sweep", required=False, metavar=NAME_OR_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every failure.")
def status(sweep: str | None, as_json: bool) -> None:
    """Show how far a sweep is, what runs and what failed."""
    found = SweepStatus.read(find_sweep(sweep))
    if as_json:
        click.echo(json.dumps(found.document(), indent=2))
        return
    click.echo(f"{found.name}: {found.state}" + (f", process {found.pid}" if found.pid else ""))
    click.echo(f"folder   {found.folder}")
    click.echo(f"tasks    {found.total}: " + ", ".join(f"{count} {name}" for name, count in found.counts.items()))
    if found.running:
        click.echo(f"running  {' '.join(found.running)}")
    for failure in found.failures[:SHOWN_FAILURES]:
        click.echo(str(failure))
    if len(found.failures) > SHOWN_FAILURES:
        click.echo(f"and {len(found.failures) - SHOWN_FAILURES} more: --json names them all")
