"""`covalent-parallel watch`: a dispatch's Batch jobs, live."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli import INTERRUPTED_STATUS
from covalent_parallel_plugin.errors import ParallelError, UnavailableError

if TYPE_CHECKING:
    from rich.console import Group

    from covalent_parallel_plugin.cli.watch.snapshot import JobView, Snapshot

STOPPED = "stopped watching; the dispatch goes on (ct.cancel ends it)"
# What Batch calls such a job while and after somebody ends it; its tasks are FAILED or UNEXECUTED then
CANCELLED_STATES = frozenset({"CANCELLED", "CANCELLATION_IN_PROGRESS"})
LOST_STATES = frozenset({"FAILED", "UNEXECUTED"})
COLOURS = {"SUCCEEDED": "green", "FAILED": "red", "RUNNING": "cyan", "CANCELLED": "yellow"}
# By Covalent's state of a dispatch; 2 is that of a wrong command line
EXIT_STATUSES = {"FAILED": 1, "CANCELLED": 3}
Show = Callable[["Snapshot"], None]


@click.command()
@click.argument("dispatch_id")
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each look.")
@click.option(
    "--every", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Seconds between two looks."
)
@click.option("--project-id", help="Else those of the executors, or of the configuration file; so for the next one.")
@click.option("--region")
def watch(
    dispatch_id: str, once: bool, as_json: bool, every: float, project_id: str | None, region: str | None
) -> None:
    """Show the Batch jobs of a dispatch: state, tasks, and of a map how many items are done.

    Ends with the dispatch, or with Ctrl-C, which cancels nothing. The exit status is 0 for a dispatch that COMPLETED or
    goes on, 1 for one that FAILED, 3 for one that was CANCELLED; without Covalent's server, 1 where a job failed.
    """
    try:
        # Here, so that `--help` does not wait for Covalent.
        from covalent_parallel_plugin.covalent_api.config_file import configured_options

        given = {"project_id": project_id, "region": region}
        with _shown(as_json) as show:
            last = asyncio.run(_watch(dispatch_id, given, configured_options(), show, once, every))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo(STOPPED, err=True)
        sys.exit(INTERRUPTED_STATUS)
    except UnavailableError as error:
        # Whole: of an emulator it goes on with what to do.
        raise click.ClickException(str(error)) from error
    except ParallelError as error:
        raise click.ClickException(str(error).split("\n", 1)[0]) from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    sys.exit(exit_status(last))


def exit_status(last: Snapshot) -> int:
    """Return what the command ends with after this look."""
    if not last.state:
        return int(any(job.state == "FAILED" for job in last.jobs))
    return EXIT_STATUSES.get(last.state, 0)


async def _watch(
    dispatch_id: str,
    given: Mapping[str, object],
    configured: Mapping[str, object],
    show: Show,
    once: bool,
    every: float,
) -> Snapshot:
    from covalent_parallel_plugin.cli.watch.dispatch_status import DispatchStatus, follow
    from covalent_parallel_plugin.cloud.batch import BatchApi
    from covalent_parallel_plugin.covalent_api.server_client import ServerClient

    batch = BatchApi.shared()
    task = asyncio.current_task()
    assert task is not None  # this is one
    # Python 3.10 would raise KeyboardInterrupt wherever it is, and leave what is waited for half done
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    try:
        status = DispatchStatus(batch, ServerClient.configured(), dispatch_id, given, configured)
        if once:
            last = await status.fetch()
            show(last)
        else:
            last = await follow(status, show, every, batch.outage_seconds)
    finally:
        await batch.close()
    return last


@contextlib.contextmanager
def _shown(as_json: bool) -> Iterator[Show]:
    """How looks are shown: as JSON, as a table that changes in place, or a line per change where is no terminal."""
    if as_json:
        yield lambda snapshot: click.echo(snapshot.json())
    elif sys.stdout.isatty() and find_spec("rich") is not None:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(highlight=False), auto_refresh=False) as live:
            yield lambda snapshot: live.update(table(snapshot), refresh=True)
    else:
        yield _ChangePrinter().show


class _ChangePrinter:
    """Prints a line for each job that has changed."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def show(self, snapshot: Snapshot) -> None:
        for job in snapshot.jobs:
            text = "  ".join(filter(None, (job.state, task_counts(job), item_counts(job), _trouble(job))))
            if self._seen.get(job.name) != text:
                place = job.parent if _is_spread(snapshot) else ""
                click.echo("  ".join(filter(None, (_electron(job), job.name, place, _duration(job.seconds), text))))
            self._seen[job.name] = text
        text = _dispatch(snapshot)
        if self._seen.get("") != text:
            click.echo(text)
        self._seen[""] = text


def table(snapshot: Snapshot) -> Group:
    """A look as a terminal shows it."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    # The empty line is where the terminal writes ^C; at the end of a full line that would push the table up by one.
    if not snapshot.jobs:
        return Group(escape(_dispatch(snapshot)), "")
    made = Table("electron", "job", "state", "time", "tasks", "items")
    if _is_spread(snapshot):
        made.add_column("place", overflow="fold")
    for job in snapshot.jobs:
        cells = [
            _electron(job),
            _end_of_name(job, snapshot),
            job.state,
            _duration(job.seconds),
            task_counts(job),
            item_counts(job),
        ]
        if _is_spread(snapshot):
            cells.append(" ".join(job.parent.split("/")[1::2]))
        made.add_row(*(Text(cell, COLOURS.get(cell, "")) for cell in cells))
    troubles = [escape(f"{_electron(job)}: {_trouble(job)}") for job in snapshot.jobs if job.event]
    return Group(escape(_dispatch(snapshot)), made, *troubles, "")


def _is_spread(snapshot: Snapshot) -> bool:
    """Whether its jobs are in several projects or regions."""
    return len({job.parent for job in snapshot.jobs}) > 1


def _end_of_name(job: JobView, snapshot: Snapshot) -> str:
    """The job's name without what all of them start with."""
    start = f"covalent-{snapshot.dispatch_id}"
    return f"…{job.name[len(start) :]}" if job.name.startswith(start) else job.name


def _dispatch(snapshot: Snapshot) -> str:
    lattice = next((job.lattice for job in snapshot.jobs if job.lattice), "")
    name = f"dispatch {snapshot.dispatch_id}" + (f" ({lattice})" if lattice else "")
    count = len(snapshot.jobs)
    text = f"{name}: {snapshot.state or 'state not known'}, {count} job{'' if count == 1 else 's'}"
    return f"{text}; {snapshot.note}" if snapshot.note else text


def _electron(job: JobView) -> str:
    return f"{job.electron} (node {job.node})" if job.electron else f"node {job.node}"


def task_counts(job: JobView) -> str:
    """How many of a job's tasks are in each state; "" where there is only one."""
    counts: Counter[str] = Counter()
    for state, count in job.tasks.items():
        counts["CANCELLED" if job.state in CANCELLED_STATES and state in LOST_STATES else state] += count
    if counts.total() <= 1:
        return ""
    states = ", ".join(f"{count} {state.lower()}" for state, count in sorted(counts.items()))
    return f"{counts.total()} tasks: {states}"


def item_counts(job: JobView) -> str:
    """What is known of a map's items; "" where the job is no map."""
    if job.items is None:
        # How many items a list has that an electron made, the first task finds out.
        return ("items: not known" + ("" if job.has_ended else " yet")) if job.is_map else ""
    items, about = job.items, "" if job.items.is_exact else "about "
    text = f"{about}{items.done} of {items.total} items done"
    if job.state == "RUNNING":
        text += " (counted when a task ends)"
    return f"{text}, {items.failed} in failed tasks" if items.failed and job.state not in CANCELLED_STATES else text


def _trouble(job: JobView) -> str:
    return f"{job.event} ({job.meaning})" if job.meaning else job.event


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{rest:02}s" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
