"""`covalent-parallel clean`: show, and with --yes remove, what a crashed server left on Batch and in the bucket."""

from __future__ import annotations

import asyncio
import math
import re
import time
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.errors import ParallelError
from covalent_parallel_plugin.settings import options as options

if TYPE_CHECKING:
    from covalent_parallel_plugin.cloud import Services

    _SecondsType = click.ParamType[float]
else:
    # Only newer releases of click let the class be subscripted
    _SecondsType = click.ParamType

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Age(_SecondsType):
    """A length of time such as 90s, 15m, 24h or 7d, in seconds."""

    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the text; fails with the forms that are understood."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
        if match is None:
            self.fail(f"{value!r} is no length of time: use a form such as 90s, 15m, 24h or 7d", param, ctx)
        return float(match[1]) * UNITS[match[2]]


@click.command()
@click.option("--dispatch", "dispatch_id", help="Of this dispatch only; all of them otherwise.")
@click.option(
    "--older-than", type=Age(), help="Leave alone what is younger. With --yes it has to be given, or else --dispatch."
)
@click.option("--yes", is_flag=True, help="Cancel the jobs and delete the objects; without it they are only shown.")
@click.option("--project-id", help="Else from Covalent's configuration file, as the next two.")
@click.option("--region", help="Of the jobs; else as for --project-id.")
@click.option("--bucket-name", help="With the objects; else as for --project-id.")
def clean(
    dispatch_id: str | None,
    older_than: float | None,
    yes: bool,
    project_id: str | None,
    region: str | None,
    bucket_name: str | None,
) -> None:
    """List what Covalent servers left on Google, or use there, with the age of each; and with --yes remove it.

    What running servers use is listed as well: so removal asks for an age, or for one dispatch. That is: jobs of this
    plugin that have not ended, known by its label, and calls, outcomes and own modules under its prefix in the bucket
    (a server puts these back where it still needs them; with --dispatch they stay). Jobs of other programs, other
    objects and the runner's archives are not touched. Sweeps in the bucket are listed apart, and left alone: `sweep
    clean` removes them.
    """
    if yes and older_than is None and dispatch_id is None:
        raise click.UsageError(
            "with --yes give --older-than, such as --older-than 24h, or --dispatch: what running servers use is younger"
        )
    # Here, so that `--help` does not wait for Covalent.
    from covalent_parallel_plugin.covalent_api.config_file import configured_options

    given = {"project_id": project_id, "region": region, "bucket_name": bucket_name}
    try:
        resolved = options.resolve(given, configured_options())
        settings = options.check(resolved, way=lambda name: f"give --{name.replace('_', '-')}")
        problems = asyncio.run(_clean(settings, dispatch_id, -math.inf if older_than is None else older_than, yes))
    except ParallelError as error:
        raise click.ClickException(str(error)) from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(1)


async def _clean(
    settings: options.Settings, dispatch_id: str | None, older_than_seconds: float, yes: bool
) -> list[str]:
    from covalent_parallel_plugin.batch.leftovers import delete_leftovers, find_leftovers
    from covalent_parallel_plugin.cloud import shared_services

    services = shared_services(settings.project_id, settings.bucket_name)
    try:
        now = time.time()
        left = await find_leftovers(services, settings.parent, older_than_seconds, now, dispatch_id)
        for job in left.jobs:
            click.echo(f"job     {age_of(now - job.created_seconds):>12}  {job.state:<10} {job.name}")
        for stored in left.objects:
            age = age_of(now - stored.created_seconds)
            click.echo(f"object  {age:>12}  {stored.size:>10,} gs://{settings.bucket_name}/{stored.name}")
        click.echo(f"{len(left.jobs)} unfinished jobs, {len(left.objects)} objects of {left.size:,} bytes")
        await _list_sweeps(services)
        if not left.jobs and not left.objects:
            return []
        if not yes:
            which = "" if dispatch_id is not None else " and --older-than"
            click.echo(f"Nothing was touched. With --yes{which} the jobs are cancelled and the objects deleted.")
            return []
        problems = await delete_leftovers(services, left)
        if not problems:
            click.echo("The jobs are cancelled and the objects deleted.")
        return problems
    finally:
        await services.batch.close()


async def _list_sweeps(services: Services) -> None:
    """Print what sweeps have in the bucket."""
    from covalent_parallel_plugin.cloud.threads import run_in_thread
    from covalent_parallel_plugin.sweep.batch.stored_sweeps import find_stored

    for sweep in await run_in_thread(find_stored, services.objects):
        age = age_of(time.time() - sweep.changed_seconds)
        place = f"gs://{services.objects.bucket_name}/{sweep.folder}"
        size = f"{sweep.objects:,} objects of {sweep.size:,} bytes"
        click.echo(f"sweep   {age:>12}  {place}  {size}; `covalent-parallel sweep clean {sweep.name}` removes it")


def age_of(seconds: float) -> str:
    """An age in its two largest units, such as "2 d 3 h"."""
    left, parts = max(int(seconds), 0), []
    for unit, size in reversed(UNITS.items()):
        count, left = divmod(left, size)
        parts.append(f"{count} {unit}")
    first = next((number for number, part in enumerate(parts) if not part.startswith("0 ")), len(parts) - 1)
    return " ".join(parts[first : first + 2])
