"""`covalent-parallel image build`: the image that electrons run in, or one from a Dockerfile of the user's own."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from covalent_parallel_plugin.cli.exit_statuses import is_lost_output, shown_error
from covalent_parallel_plugin.cli.image.build import PLATFORM, BuildOptions, build, check, commands, default_tag
from covalent_parallel_plugin.cli.image.build_context import read_requirements, write_context
from covalent_parallel_plugin.cli.image.external_programs import (
    CLOUD_BUILD,
    ENGINES,
    EngineError,
    Programs,
    working_engine,
)
from covalent_parallel_plugin.cli.image.own_dockerfile import (
    CONFIG_FILE,
    DockerfileOptions,
    build_dockerfile,
    check_dockerfile,
    cloud_build_config,
    dockerfile_commands,
)
from covalent_parallel_plugin.cli.image.versions import Versions, versions_here
from covalent_parallel_plugin.errors import ParallelError
from covalent_parallel_plugin.settings.container_rules import stock_image


@click.command(name="build")
@click.option("--engine", type=click.Choice([*ENGINES, CLOUD_BUILD]), help="Default: docker, else podman.")
@click.option("--context", metavar="DIR", type=click.Path(path_type=Path), help="Build the Dockerfile in this folder.")
@click.option("--dockerfile", metavar="FILE", type=click.Path(path_type=Path), help="With --context: another one.")
@click.option("--build-arg", multiple=True, metavar="NAME=VALUE", help="With --context: of an ARG; may be repeated.")
@click.option("--base", help="Image to start from; it needs Python and pip. Default: the stock image.")
@click.option("--python", help="Minor version of the image's Python, such as 3.11. Default: this environment's.")
@click.option("--requirements", metavar="FILE", help="Further packages, as for `pip install -r`.")
@click.option("--tag", metavar="NAME:TAG", help="Default, without --context: covalent-parallel:VERSION-pyX.Y.")
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
    context: Path | None,
    dockerfile: Path | None,
    build_arg: tuple[str, ...],
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

    With --context DIR build the Dockerfile of your own in that folder, as it is: for `covalent-parallel sweep`, say.

    The line for Covalent's configuration file, or for a sweep's file, goes to standard output, all else to standard
    error.
    """
    target: dict[str, Any] = {
        "platform": platform,
        "push": push,
        "engine_arguments": engine_arg,
        "project": project,
        "region": region,
    }
    users = {"--dockerfile": dockerfile, "--build-arg": build_arg}
    ours = {"--base": base, "--python": python, "--requirements": requirements, "--pip-conf": pip_conf}
    try:
        if context is None:
            _refuse(users, "for a Dockerfile of your own: give its folder as --context")
            here = versions_here()
            versions = replace(here, python=python or here.python)
            options = BuildOptions(
                tag=tag or default_tag(versions, project, region),
                base=base or stock_image(str(versions.python)),
                python=str(versions.python),
                pip_conf=str(Path(pip_conf).resolve()) if pip_conf else "",
                requirements="" if requirements is None else read_requirements(requirements),
                **target,
            )
            _build_ours(options, versions, here, engine, dry_run)
        else:
            no_tag = [] if tag else ["--context needs --tag, the image's name"]
            _refuse(ours, "for this package's own Dockerfile: leave that out, or --context", no_tag)
            own = DockerfileOptions(tag=str(tag), context=context, dockerfile=dockerfile, arguments=build_arg, **target)
            _build_users(own, engine, dry_run)
    except (ParallelError, OSError) as error:
        if isinstance(error, OSError) and is_lost_output(error):
            raise
        raise shown_error(error) from error


def _refuse(options: Mapping[str, object], why: str, others: Sequence[str] = ()) -> None:
    """Raise UsageError for options that were given and mean nothing here, and for other mistakes."""
    given = [name for name, value in options.items() if value]
    mistakes = [f"{', '.join(given)}: {why}"] if given else []
    if mistakes or others:
        raise click.UsageError("; ".join([*mistakes, *others]))


def _chosen_engine(check: Callable[[str], None], programs: Programs, wanted: str | None, dry_run: bool) -> str:
    """Return the engine that is to build, checked. Raises ParallelError."""
    if dry_run:
        chosen = wanted or _first_engine(programs)
    else:
        if wanted is not None:
            check(wanted)
        chosen = working_engine(programs, wanted)
    check(chosen)
    return chosen


def _first_engine(programs: Programs) -> str:
    """The one that would be used; without any, what it would be if it were there."""
    try:
        return working_engine(programs)
    except EngineError:
        return ENGINES[0]


def _build_ours(options: BuildOptions, versions: Versions, here: Versions, wanted: str | None, dry_run: bool) -> None:
    programs = Programs()
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    engine = _chosen_engine(lambda engine: check(options, engine), programs, wanted, dry_run)
    line = f'container_image_uri = "{options.tag}"'
    if dry_run:
        _show_plan(engine, options, versions, created)
        click.echo(line)
        return
    build(engine, options, versions, created, programs, _tell)
    _tell("")
    if not options.push and engine != CLOUD_BUILD:
        _tell(f"{engine} on this machine has it: for `covalent-parallel emulator --runtime {engine}`.")
        _tell("For Batch, push it to a registry: --push, with --tag or --project.")
    if options.python != here.python:
        _tell(f"It runs electrons dispatched from Python {options.python}; this environment has {here.python}.")
    _tell("For [executors.gcpbatch] in Covalent's configuration file:")
    click.echo(line)


def _show_plan(engine: str, options: BuildOptions, versions: Versions, created: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = write_context(Path(folder), options.requirements)
        click.echo("# The folder CONTEXT:")
        for file in files:
            click.echo(f"#   {file.name:<50} {file.stat().st_size:>9,} bytes")
    for command in commands(engine, options, versions, "CONTEXT", created):
        click.echo(shlex.join(command))


def _build_users(options: DockerfileOptions, wanted: str | None, dry_run: bool) -> None:
    programs = Programs()
    engine = _chosen_engine(lambda engine: check_dockerfile(options, engine), programs, wanted, dry_run)
    if dry_run:
        if engine == CLOUD_BUILD:
            click.echo(f"# FOLDER/{CONFIG_FILE}:\n{json.dumps(cloud_build_config(options), indent=1)}")
        for command in dockerfile_commands(engine, options, "FOLDER"):
            click.echo(shlex.join(command))
        click.echo(f"image: {options.tag}")
        return
    image = build_dockerfile(engine, options, programs, _tell)
    _tell("")
    if not options.push and engine != CLOUD_BUILD:
        _tell(f"{engine} on this machine has it: for `sweep run --local`, and the emulator's `--runtime {engine}`.")
        _tell("For Batch, push it to a registry: --push.")
    _tell("For a sweep's file:")
    click.echo(f"image: {image}")


def _tell(line: str) -> None:
    click.echo(line, err=True)
