"""`covalent-parallel watch`: a dispatch's Batch jobs, live."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli.exit_statuses import CANCELLED, DONE, FAILED, INTERRUPTED, shown_error
from covalent_parallel_plugin.errors import CloudError, UnavailableError

if TYPE_CHECKING:
    from covalent_parallel_plugin.results.status.snapshot import Snapshot

STOPPED = "stopped watching; the dispatch goes on (ct.cancel ends it)"
# By Covalent's state of a dispatch
EXIT_STATUSES = {"FAILED": FAILED, "CANCELLED": CANCELLED}
Show = Callable[["Snapshot"], None]


@click.command()
@click.argument("dispatch_id")
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each look.")
@click.option(
    "--every", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Seconds between two looks."
)
@click.option("--project-id", help="Else those of the executors, or of the configuration file; so for the next one.")
@click.option("--region", help="Of the jobs; else as for --project-id.")
def watch(
    dispatch_id: str, once: bool, as_json: bool, every: float, project_id: str | None, region: str | None
) -> None:
    """Show the Batch jobs of a dispatch: state, or how the electron ended; of a map its items and the time left.

    Ends with the dispatch, or with Ctrl-C, which cancels nothing. The exit status is 0 for a dispatch that COMPLETED or
    goes on, 1 for one that FAILED, 3 for one that was CANCELLED; without Covalent's server, 1 where a job failed.
    """
    try:
        # Here, so that `--help` does not wait for Covalent.
        from covalent_parallel_plugin.covalent_api.config_file import import_configured_options

        configured = import_configured_options(os.environ)
        given = {"project_id": project_id, "region": region}
        with _shown(as_json, once) as show:
            last = asyncio.run(_watch(dispatch_id, given, configured, show, once, every))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo(STOPPED, err=True)
        sys.exit(INTERRUPTED)
    except UnavailableError:
        # Whole: of an emulator it goes on with what to do.
        raise
    except CloudError as error:
        raise click.ClickException(str(error).split("\n", 1)[0]) from error
    except ValueError as error:
        raise shown_error(error) from error
    sys.exit(exit_status(last))


def exit_status(last: Snapshot) -> int:
    """Return what the command ends with after this look."""
    if not last.state:
        return FAILED if any(job.state == "FAILED" for job in last.jobs) else DONE
    return EXIT_STATUSES.get(last.state, DONE)


async def _watch(
    dispatch_id: str,
    given: Mapping[str, object],
    configured: Mapping[str, object],
    show: Show,
    once: bool,
    every: float,
) -> Snapshot:
    from covalent_parallel_plugin.cloud.batch import BatchApi
    from covalent_parallel_plugin.covalent_api.server_client import ServerClient
    from covalent_parallel_plugin.results.status.dispatch_status import DispatchStatus, follow

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
def _shown(as_json: bool, is_once: bool) -> Iterator[Show]:
    """How looks are shown: as JSON, as a table that changes in place, or a line per change where is no terminal."""
    # Here, so that `--help` does not wait for Google's clients.
    from covalent_parallel_plugin.cli.watch.display import ChangePrinter, table
    from covalent_parallel_plugin.cli.watch.fitted_table import fitted_table

    if as_json:
        yield lambda snapshot: click.echo(snapshot.json())
    elif sys.stdout.isatty() and find_spec("rich") is not None:
        from rich.console import Console
        from rich.live import Live

        console = Console(highlight=False)
        with Live(console=console, auto_refresh=False) as live:

            def shown(snapshot: Snapshot) -> None:
                # The last look stays, and may be longer than the terminal.
                whole = snapshot.is_over or is_once
                live.update(table(snapshot, console.width) if whole else fitted_table(snapshot, console), refresh=True)

            yield shown
    else:
        yield ChangePrinter(click.echo).show
