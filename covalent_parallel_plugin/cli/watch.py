"""`covalent-parallel watch`: a dispatch's Batch jobs, live."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin import settings as options
from covalent_parallel_plugin.errors import ParallelError

if TYPE_CHECKING:
    from rich.console import Group

    from covalent_parallel_plugin.watching import JobView, Snapshot

INTERRUPTED_STATUS = 130  # what shells report for a program ended by Ctrl-C
COLOURS = {"SUCCEEDED": "green", "FAILED": "red", "RUNNING": "cyan", "CANCELLED": "yellow"}
Show = Callable[["Snapshot"], None]


@click.command()
@click.argument("dispatch_id")
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each look.")
@click.option(
    "--every", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Seconds between two looks."
)
@click.option("--project-id", help="Else from Covalent's configuration file, as the next one.")
@click.option("--region")
def watch(
    dispatch_id: str, once: bool, as_json: bool, every: float, project_id: str | None, region: str | None
) -> None:
    """Show the Batch jobs of a dispatch: state, tasks, and of a map how many items are done.

    Ends with the dispatch, or with Ctrl-C, which cancels nothing.
    """
    # Here, so that `--help` does not wait for Covalent.
    from covalent_parallel_plugin.gcpbatch import configured_options

    values = options.resolve({"project_id": project_id, "region": region}, configured_options())
    if not options.is_given(values["project_id"]):
        raise click.ClickException(
            f"project_id is not known: give --project-id, or set it under [{options.SECTION}] in Covalent's"
            " configuration file"
        )
    parent = f"projects/{values['project_id']}/locations/{values['region']}"
    try:
        with _shown(as_json) as show:
            asyncio.run(_watch(parent, dispatch_id, show, once, every))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_STATUS)
    except (ParallelError, ValueError) as error:
        raise click.ClickException(str(error).split("\n", 1)[0]) from error


async def _watch(parent: str, dispatch_id: str, show: Show, once: bool, every: float) -> None:
    from covalent._shared_files.utils import format_server_url

    from covalent_parallel_plugin.cloud.batch import BatchApi
    from covalent_parallel_plugin.watching import CovalentServer, Watch, follow

    batch = BatchApi.shared()
    try:
        looks = Watch(batch, parent, CovalentServer(format_server_url()), dispatch_id)
        if once:
            show(await looks.look())
        else:
            await follow(looks, show, every, batch.outage_seconds)
    finally:
        await batch.close()


@contextlib.contextmanager
def _shown(as_json: bool) -> Iterator[Show]:
    """How looks are shown: as JSON, as a table that changes in place, or a line per change where is no terminal."""
    if as_json:
        yield lambda snapshot: click.echo(snapshot.json())
    elif sys.stdout.isatty() and find_spec("rich") is not None:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(highlight=False), auto_refresh=False) as live:
            yield lambda snapshot: live.update(_table(snapshot), refresh=True)
    else:
        yield _Lines().show


class _Lines:
    """Prints a line for each job that has changed."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def show(self, snapshot: Snapshot) -> None:
        for job in snapshot.jobs:
            told = "  ".join(filter(None, (job.state, _tasks(job), _items(job), _trouble(job))))
            if self._seen.get(job.name) != told:
                click.echo("  ".join((_electron(job), job.name, _duration(job.seconds), told)))
            self._seen[job.name] = told
        told = _dispatch(snapshot)
        if self._seen.get("") != told:
            click.echo(told)
        self._seen[""] = told


def _table(snapshot: Snapshot) -> Group:
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    table = Table("electron", "job", "state", "time", "tasks", "items")
    for job in snapshot.jobs:
        colour = COLOURS.get(job.state, "dim")
        cells = (
            _electron(job),
            job.name,
            f"[{colour}]{job.state}[/]",
            _duration(job.seconds),
            _tasks(job),
            _items(job),
        )
        table.add_row(*(cell if cell.startswith("[") else escape(cell) for cell in cells))
    troubles = [escape(f"{_electron(job)}: {_trouble(job)}") for job in snapshot.jobs if job.event]
    return Group(escape(_dispatch(snapshot)), table, *troubles)


def _dispatch(snapshot: Snapshot) -> str:
    lattice = next((job.lattice for job in snapshot.jobs if job.lattice), "")
    name = f"dispatch {snapshot.dispatch_id}" + (f" ({lattice})" if lattice else "")
    told = f"{name}: {snapshot.state or 'state not known'}, {len(snapshot.jobs)} jobs"
    return f"{told}; {snapshot.note}" if snapshot.note else told


def _electron(job: JobView) -> str:
    return f"{job.electron} (node {job.node})" if job.electron else f"node {job.node}"


def _tasks(job: JobView) -> str:
    total = sum(job.tasks.values())
    if total <= 1:
        return ""
    states = ", ".join(f"{count} {state.lower()}" for state, count in sorted(job.tasks.items()))
    return f"{total} tasks: {states}"


def _items(job: JobView) -> str:
    if job.items is None:
        return ""
    items, about = job.items, "" if job.items.is_exact else "about "
    parts = [f"{about}{items.done} of {items.total} items done"]
    parts += [f"{count} {what}" for count, what in ((items.running, "running"), (items.failed, "failed")) if count]
    return ", ".join(parts)


def _trouble(job: JobView) -> str:
    return f"{job.event} ({job.meaning})" if job.meaning else job.event


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{rest:02}s" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
