"""`covalent-parallel image`: build the image that electrons run in, and check whether one fits this environment."""

from __future__ import annotations

import json
import shlex
import tempfile
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import click

from covalent_parallel_plugin.cli.image.build import PLATFORM, BuildOptions, build, check, commands, default_tag
from covalent_parallel_plugin.cli.image.build_context import read_requirements, write_context
from covalent_parallel_plugin.cli.image.external_programs import (
    CLOUD_BUILD,
    ENGINES,
    EngineError,
    Programs,
    working_engine,
)
from covalent_parallel_plugin.cli.image.versions import Versions, versions_here
from covalent_parallel_plugin.errors import ParallelError
from covalent_parallel_plugin.settings.container_rules import stock_image

SIGNS = {"ok": "ok", "info": "--", "warning": "warning", "error": "ERROR"}


@click.group()
def image() -> None:
    """Build the image that electrons run in, and check whether one fits this environment."""


@image.command(name="build")
@click.option("--engine", type=click.Choice([*ENGINES, CLOUD_BUILD]), help="Default: docker, else podman.")
@click.option("--base", help="Image to start from; it needs Python and pip. Default: the stock image.")
@click.option("--python", help="Minor version of the image's Python, such as 3.11. Default: this environment's.")
@click.option("--requirements", metavar="FILE", help="Further packages, as for `pip install -r`.")
@click.option("--tag", metavar="NAME:TAG", help="Default: covalent-parallel:VERSION-pyX.Y.")
@click.option("--push", is_flag=True, help="Push it to its registry (Cloud Build always does).")
@click.option("--platform", default=PLATFORM, show_default=True, help="Batch's machines are linux/amd64.")
@click.option("--project", default="", help="Project whose Artifact Registry gets it, and whose Cloud Build builds it.")
@click.option("--region", default="us-east1", show_default=True, help="Where that registry is.")
@click.option(
    "--pip-conf", default="", metavar="FILE", help="pip's settings for the build; they stay out of the image."
)
@click.option("--engine-arg", multiple=True, metavar="ARG", help="Passed on to the engine's build; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Print the commands and what they build from; do nothing.")
def build_command(
    engine: str | None,
    base: str | None,
    python: str | None,
    requirements: str | None,
    tag: str | None,
    push: bool,
    platform: str,
    project: str,
    region: str,
    pip_conf: str,
    engine_arg: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Build an image with this plugin and Covalent in the versions of this environment.

    The line for Covalent's configuration file goes to standard output, all else to standard error.
    """
    here = versions_here()
    versions = replace(here, python=python or here.python)
    options = BuildOptions(
        tag=tag or default_tag(versions, project, region),
        base=base or stock_image(str(versions.python)),
        python=str(versions.python),
        platform=platform,
        push=push,
        pip_conf=str(Path(pip_conf).resolve()) if pip_conf else "",
        engine_arguments=engine_arg,
        project=project,
        region=region,
    )
    programs = Programs()
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    try:
        if requirements is not None:
            options = replace(options, requirements=read_requirements(requirements))
        if dry_run:
            chosen = engine or _first_engine(programs)
            check(options, chosen)
            _show_plan(chosen, options, versions, created)
            return
        if engine is not None:
            check(options, engine)
        chosen = working_engine(programs, engine)
        check(options, chosen)
        build(chosen, options, versions, created, programs, _tell)
    except (ParallelError, OSError) as error:
        raise click.ClickException(str(error)) from error
    _tell("")
    if not push and chosen != CLOUD_BUILD:
        _tell(f"{chosen} on this machine has it: for `covalent-parallel emulator --runtime {chosen}`.")
        _tell("For Batch, push it to a registry: --push, with --tag or --project.")
    if options.python != here.python:
        _tell(f"It runs electrons dispatched from Python {options.python}; this environment has {here.python}.")
    _tell("For [executors.gcpbatch] in Covalent's configuration file:")
    click.echo(f'container_image_uri = "{options.tag}"')


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
            raise SystemExit(1) from error
        raise click.ClickException(str(error)) from error
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
        raise SystemExit(1)


def _first_engine(programs: Programs) -> str:
    """The one that would be used; without any, what it would be if it were there."""
    try:
        return working_engine(programs)
    except EngineError:
        return ENGINES[0]


def _show_plan(engine: str, options: BuildOptions, versions: Versions, created: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = write_context(Path(folder), options.requirements)
        click.echo("# The folder CONTEXT:")
        for file in files:
            click.echo(f"#   {file.name:<50} {file.stat().st_size:>9,} bytes")
    for command in commands(engine, options, versions, "CONTEXT", created):
        click.echo(shlex.join(command))
    click.echo(f'container_image_uri = "{options.tag}"')


def _digest(digest: str) -> str:
    return f", {digest[:19]}" if digest else ""


def _tell(line: str) -> None:
    click.echo(line, err=True)
