"""`covalent-parallel clean`: show, and with --yes remove, what a crashed server left on Batch and in the bucket."""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from covalent_parallel_plugin.cli.age import Age, age_of
from covalent_parallel_plugin.cli.clean_cache import clean_cache
from covalent_parallel_plugin.cli.exit_statuses import FAILED, shown_error
from covalent_parallel_plugin.settings import options as options

if TYPE_CHECKING:
    from covalent_parallel_plugin.batch.leftovers import Leftovers
    from covalent_parallel_plugin.batch.stored_cache import StoredEntry
    from covalent_parallel_plugin.cloud import Services
    from covalent_parallel_plugin.sweep.batch.stored_sweeps import StoredSweep

# Raised when a field changes its meaning or goes away; new ones may come without
JSON_VERSION = 1


@click.command()
@click.option("--dispatch", "dispatch_id", help="Of this dispatch only; all of them otherwise.")
@click.option(
    "--older-than", type=Age(), help="Leave alone what is younger. With --yes it has to be given, or else --dispatch."
)
@click.option(
    "--cache", is_flag=True, help="Of the values that are kept for equal electrons (option cache), and no more."
)
@click.option("--yes", is_flag=True, help="Cancel the jobs and delete the objects; without it they are only shown.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines.")
@click.option("--project-id", help="Else from Covalent's configuration file, as the next two.")
@click.option("--region", help="Of the jobs; else as for --project-id.")
@click.option("--bucket-name", help="With the objects; else as for --project-id.")
def clean(
    dispatch_id: str | None,
    older_than: float | None,
    cache: bool,
    yes: bool,
    as_json: bool,
    project_id: str | None,
    region: str | None,
    bucket_name: str | None,
) -> None:
    """List what Covalent servers left on Google, or use there, with the age of each; and with --yes remove it.

    What running servers use is listed as well: so removal asks for an age, or for one dispatch. That is: jobs of this
    plugin that have not ended, known by its label, and calls, outcomes and own modules under its prefix in the bucket
    (a server puts these back where it still needs them; with --dispatch they stay). Jobs of other programs, other
    objects and the runner's archives are not touched. Sweeps in the bucket are listed apart, and left alone: `sweep
    clean` removes them. So are values that are kept for equal electrons: with --cache these are listed, each with its
    age, and removed.
    """
    if cache and dispatch_id is not None:
        raise click.UsageError("--cache and --dispatch exclude each other: what is in the cache belongs to no dispatch")
    if yes and not cache and older_than is None and dispatch_id is None:
        raise click.UsageError(
            "with --yes give --older-than, such as --older-than 24h, or --dispatch: what running servers use is younger"
        )
    # Here, so that `--help` does not wait for Covalent.
    from covalent_parallel_plugin.covalent_api.config_file import import_configured_options

    given = {"project_id": project_id, "region": region, "bucket_name": bucket_name}
    try:
        resolved = options.resolve(given, import_configured_options(os.environ))
        settings = options.check(resolved, way=lambda name: f"give --{name.replace('_', '-')}")
        if cache:
            clean_cache(settings, older_than, yes, as_json)
            return
        problems = asyncio.run(_clean(settings, CleanRequest(dispatch_id, older_than, yes), as_json))
    except ValueError as error:
        raise shown_error(error) from error
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(FAILED)


@dataclass(frozen=True)
class CleanRequest:
    """What is to be listed, and whether it is to be removed; None is every dispatch, and every age."""

    dispatch_id: str | None
    older_than_seconds: float | None
    is_removal: bool


@dataclass(frozen=True)
class CleanListing:
    """What was found in a project and bucket at one time; `spared` names the dispatch that uses what is left out."""

    settings: options.Settings
    now: float
    left: Leftovers
    sweeps: list[StoredSweep]
    entries: list[StoredEntry]
    spared: str = ""

    def text(self) -> str:
        """Return it in lines."""
        lines = [
            f"job     {age_of(self.now - job.created_seconds):>12}  {job.state:<10} {job.name}"
            for job in self.left.jobs
        ]
        lines += [
            f"object  {age_of(self.now - stored.created_seconds):>12}  {stored.size:>10,} {self._address(stored.name)}"
            for stored in self.left.objects
        ]
        count = f"{len(self.left.jobs)} unfinished jobs, {len(self.left.objects)} objects of {self.left.size:,} bytes"
        spared = f"what dispatch {self.spared} has taken up, which continues this one, is left alone"
        lines += [count, *([spared] if self.spared else [])]
        return "\n".join([*lines, *map(self._sweep_text, self.sweeps), *self._cache_lines()])

    def document(self, request: CleanRequest, problems: list[str]) -> dict[str, Any]:
        """Return it for programs: names of fields are stable."""
        return {
            "version": JSON_VERSION,
            "project": self.settings.project_id,
            "region": self.settings.region,
            "bucket": self.settings.bucket_name,
            "dispatch": request.dispatch_id,
            "older_than_seconds": request.older_than_seconds,
            "jobs": [
                {"name": job.name, "state": job.state, "age_seconds": self._age(job.created_seconds)}
                for job in self.left.jobs
            ],
            "objects": [
                {
                    "name": self._address(stored.name),
                    "size_bytes": stored.size,
                    "age_seconds": self._age(stored.created_seconds),
                }
                for stored in self.left.objects
            ],
            "sweeps": [
                {
                    "name": sweep.name,
                    "folder": self._address(sweep.folder),
                    "objects": sweep.objects,
                    "size_bytes": sweep.size,
                    "age_seconds": self._age(sweep.changed_seconds),
                }
                for sweep in self.sweeps
            ],
            "taken_up_by": self.spared or None,
            "cache": {"entries": len(self.entries), "size_bytes": sum(entry.size for entry in self.entries)},
            "removed": request.is_removal and not problems,
            "problems": problems,
        }

    def _cache_lines(self) -> list[str]:
        size = sum(entry.size for entry in self.entries)
        removal = "`covalent-parallel clean --cache` lists and removes them"
        return [f"cache   {len(self.entries):,} entries of {size:,} bytes; {removal}"] if self.entries else []

    def _sweep_text(self, sweep: StoredSweep) -> str:
        size = f"{sweep.objects:,} objects of {sweep.size:,} bytes"
        removal = f"`covalent-parallel sweep clean {sweep.name}` removes it"
        return (
            f"sweep   {age_of(self.now - sweep.changed_seconds):>12}  {self._address(sweep.folder)}  {size}; {removal}"
        )

    def _address(self, name: str) -> str:
        return f"gs://{self.settings.bucket_name}/{name}"

    def _age(self, seconds: float) -> float:
        return round(max(self.now - seconds, 0.0), 3)


async def _clean(settings: options.Settings, request: CleanRequest, as_json: bool) -> list[str]:
    """List what is there, and remove it if that is requested; return what could not be removed."""
    from covalent_parallel_plugin.batch.leftovers import delete_leftovers
    from covalent_parallel_plugin.cloud import shared_services

    services = shared_services(settings.project_id, settings.bucket_name)
    try:
        listing = await _listing(services, settings, request)
        if not as_json:
            click.echo(listing.text())
        is_empty = not listing.left.jobs and not listing.left.objects
        problems = await delete_leftovers(services, listing.left) if request.is_removal and not is_empty else []
        if as_json:
            click.echo(json.dumps(listing.document(request, problems), indent=2))
        elif not is_empty and not request.is_removal:
            which = "" if request.dispatch_id is not None else " and --older-than"
            click.echo(f"Nothing was touched. With --yes{which} the jobs are cancelled and the objects deleted.")
        elif not is_empty and not problems:
            click.echo("The jobs are cancelled and the objects deleted.")
        return problems
    finally:
        await services.batch.close()


async def _listing(services: Services, settings: options.Settings, request: CleanRequest) -> CleanListing:
    from covalent_parallel_plugin.batch.leftovers import find_leftovers
    from covalent_parallel_plugin.batch.stored_cache import find_entries
    from covalent_parallel_plugin.cloud.threads import run_in_thread
    from covalent_parallel_plugin.sweep.batch.stored_sweeps import find_stored

    now = time.time()
    least_age = -math.inf if request.older_than_seconds is None else request.older_than_seconds
    left = await find_leftovers(services, settings.parent, least_age, now, request.dispatch_id)
    kept, by = (left, "") if request.dispatch_id is None else await run_in_thread(_spare, left, request.dispatch_id)
    sweeps = await run_in_thread(find_stored, services.objects)
    return CleanListing(settings, now, kept, sweeps, await run_in_thread(find_entries, services.objects), by)


def _spare(left: Leftovers, dispatch_id: str) -> tuple[Leftovers, str]:
    """Leave out what a dispatch has taken up that continues this one; returns that one's id, "" if nothing was."""
    from covalent_parallel_plugin.batch.leftovers import without_nodes
    from covalent_parallel_plugin.covalent_api.server_client import UNANSWERED, ServerClient
    from covalent_parallel_plugin.results.resumable import nodes_taken_up

    try:
        newest, nodes = nodes_taken_up(ServerClient.configured(), dispatch_id)
    except UNANSWERED:
        # Nothing runs then that could have taken it up
        return left, ""
    kept = without_nodes(left, nodes)
    return kept, newest if kept != left else ""
