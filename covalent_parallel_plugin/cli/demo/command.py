"""`covalent-parallel demo`: the demonstration workflow, its progress, its table and its score."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from covalent_parallel_plugin.cli.demo import workflow_run as demonstration
from covalent_parallel_plugin.cli.demo.workflow_run import WorkflowOutcome, WorkflowState
from covalent_parallel_plugin.cli.dev.electron_states import failed_texts
from covalent_parallel_plugin.cli.dev.signals import Signals, Terminated
from covalent_parallel_plugin.cli.exit_statuses import INTERRUPTED
from covalent_parallel_plugin.covalent_api.private_server import STOP_SECONDS, PrivateCovalentServer
from covalent_parallel_plugin.covalent_api.server_client import ServerClient

COLOURS = {"COMPLETED": "green", "FAILED": "red", "RUNNING": "cyan"}


@click.command()
@click.option("--keep", is_flag=True, help="Leave the server and its UI running until Ctrl-C.")
@click.option(
    "--report",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a report, a page for the browser, to FILE: where the time went.",
)
def demo(keep: bool, page: Path | None) -> None:
    """Run a scikit-learn workflow as Batch jobs on this machine.

    Starts the emulator and a private Covalent server, dispatches three electrons, and prints their states
    and the score. Ends with status 0 only if the workflow completed and its score came back.
    """
    missing = demonstration.missing_packages()
    if missing is not None:
        raise click.ClickException(missing)
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    console = Console(highlight=False)
    outcome = None
    try:
        with Signals(2 * STOP_SECONDS):
            console.print("Starting the emulator and a private Covalent server")
            with demonstration.demo_session() as session:
                server = session.server
                console.print(f"Covalent's UI is at {server.address}")
                with _progress(console) as progress:
                    outcome = demonstration.run_workflow(server, progress.show)
                _print_outcome(console, server, outcome)
                if page is None:
                    console.print(f"To see where the time went: {_own_name()} demo --report demo.html")
                elif outcome.state.dispatch_id:
                    demonstration.write_report(server, outcome.state.dispatch_id, page)
                    click.echo(f"Where the time went: {page}")
                if keep:
                    _keep(console, server, outcome)
                else:
                    console.print(f"To look at it in Covalent's UI: {_own_name()} demo --keep")
    except (KeyboardInterrupt, Terminated):
        console.print("Stopped; nothing is left running")
        if outcome is None:
            sys.exit(INTERRUPTED)
    sys.exit(0 if outcome is not None and outcome.succeeded else 1)


class _Progress:
    """Shows states: a table that changes in place or, where there is no terminal, a line per change."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self._console = console
        self._live = live
        self._seen: dict[int, str] = {}

    def show(self, state: WorkflowState) -> None:
        if self._live is not None:
            self._live.update(_table(state) if state.electrons else "Dispatching the workflow")
            return
        for electron in state.electrons:
            text = electron.progress or electron.shown
            if text != self._seen.get(electron.node) and electron.status != "NEW_OBJECT":
                self._console.print(f"{electron.name}: {text}", markup=False)
            self._seen[electron.node] = text


@contextlib.contextmanager
def _progress(console: Console) -> Iterator[_Progress]:
    if not console.is_terminal:
        yield _Progress(console, None)
        return
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield _Progress(console, live)


def _table(state: WorkflowState) -> Table:
    table = Table("electron", "executor", "status")
    table.add_column("seconds", justify="right")
    for electron in state.electrons:
        colour = COLOURS.get(electron.status, "dim")
        status = "WAITING" if electron.status == "NEW_OBJECT" else escape(electron.progress or electron.shown)
        seconds = "" if electron.seconds is None else f"{electron.seconds:.1f}"
        table.add_row(electron.name, electron.executor, f"[{colour}]{status}[/]", seconds)
    return table


def _print_outcome(console: Console, server: PrivateCovalentServer, outcome: WorkflowOutcome) -> None:
    console.print(_table(outcome.state))
    if outcome.succeeded:
        console.print(f"Workflow COMPLETED, score {outcome.score:.3f}")
        return
    console.print(f"[red]Workflow {outcome.status}[/]")
    if outcome.client_output:
        click.echo(f"--- stderr of the client\n{outcome.client_output}")
    try:
        texts = list(failed_texts(ServerClient(server.address), outcome.state.dispatch_id).values())
    except OSError as error:
        texts = [("the electrons", f"could not be read from the server: {error}")]
    for name, text in texts:
        click.echo(f"--- stderr of {name}\n{text}")
    click.echo(f"--- end of the server's log\n{server.log_tail()}")


def _keep(console: Console, server: PrivateCovalentServer, outcome: WorkflowOutcome) -> None:
    console.print(f"Look at it in Covalent's UI: {server.address}/{outcome.state.dispatch_id}")
    console.print("Ctrl-C ends it")
    # Bounded by the user's Ctrl-C or the server's own end.
    while server.is_running:
        time.sleep(0.5)


def _own_name() -> str:
    """The command as it can be typed again: its path where the shell would not find it."""
    return "covalent-parallel" if shutil.which("covalent-parallel") else sys.argv[0]
