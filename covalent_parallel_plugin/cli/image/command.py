"""`covalent-parallel image`: build the image that electrons run in, or any of one's own, and check whether one fits."""

from __future__ import annotations

import json

import click

from covalent_parallel_plugin.cli import SuggestingGroup
from covalent_parallel_plugin.cli.exit_statuses import FAILED, shown_error, status_of
from covalent_parallel_plugin.cli.image.build_command import build_command
from covalent_parallel_plugin.cli.image.external_programs import ENGINES, Programs
from covalent_parallel_plugin.cli.image.versions import versions_here
from covalent_parallel_plugin.errors import ParallelError

SIGNS = {"ok": "ok", "info": "--", "warning": "warning", "error": "ERROR"}


@click.group(cls=SuggestingGroup)
def image() -> None:
    """Build the image that electrons run in, or any of your own, and check whether one fits this environment."""


image.add_command(build_command)


@image.command(name="check")
@click.argument("uri")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--engine", type=click.Choice(ENGINES), help="Ask this engine's store only, before the registry.")
@click.option("--registry", is_flag=True, help="Ask the registry only: what this machine has may be older.")
def check_command(uri: str, as_json: bool, engine: str | None, registry: bool) -> None:
    """Compare what is inside an image with this environment; ends with status 1 if electrons could not run in it.

    An image that docker or podman has here is looked at there, any other in its registry, without downloading it.
    """
    # Here, so that `image build` does not wait for what speaks to registries.
    from covalent_parallel_plugin.cli.image.check import compare
    from covalent_parallel_plugin.cli.image.inspect_image import inspect_image

    try:
        engines = () if registry else (engine,) if engine else ENGINES
        report = compare(inspect_image(uri, Programs(), engines), versions_here())
    except (ParallelError, ValueError) as error:
        if as_json:
            click.echo(json.dumps({"image": uri, "fits": False, "error": str(error)}, indent=1))
            raise SystemExit(status_of(error)) from error
        raise shown_error(error) from error
    if as_json:
        click.echo(json.dumps(report.record(), indent=1))
    else:
        config = report.seen.config
        click.echo(f"{uri} ({report.seen.source}, {config.size_bytes / 1e6:.0f} MB{_digest(config.digest)})")
        for finding in report.findings:
            click.echo(f"  {SIGNS[finding.level]:<8}{finding.what:<25} {finding.text}")
            if finding.remedy:
                click.echo(f"{'':<36}{finding.remedy}")
    if not report.fits:
        raise SystemExit(FAILED)


def _digest(digest: str) -> str:
    return f", {digest[:19]}" if digest else ""
