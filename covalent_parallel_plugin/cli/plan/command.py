"""`covalent-parallel plan`: the exact Jobs that would be submitted, checked and printed; nothing is submitted."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, TextIO

import click

from covalent_parallel_plugin.cli.option_assignments import RequestError

from .. import missing_package

if TYPE_CHECKING:
    from covalent_parallel_plugin.cli.plan.outlook import PlanOutlook

# https://cloud.google.com/batch/quotas: tasks per task group
MAX_TASKS = 100_000


@click.command()
@click.argument("workflow", required=False, metavar="[FILE.py[:LATTICE]]")
@click.option("--arg", "args", multiple=True, metavar="NAME=JSON", help="Argument of the lattice; may be repeated.")
@click.option("--args", "arguments", metavar="JSON", help="All its arguments: a list, or an object by name.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Option of the executor; may be repeated.")
@click.option("--diff", "is_difference", is_flag=True, help="Show what --set changes in the Jobs.")
@click.option("--against", multiple=True, metavar="KEY=VALUE", help="With --diff: what the Jobs had before instead.")
@click.option("--tasks", type=click.IntRange(1, MAX_TASKS), default=1, metavar="N", help="The Job of a map of N tasks.")
@click.option("--node", type=int, metavar="ID", help="The Job of this node of the workflow alone.")
@click.option("--like", metavar="DISPATCH_ID", help="Expect the machine-hours that an earlier dispatch used.")
@click.option(
    "--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Of the document."
)
@click.option("--short", "is_short", is_flag=True, help="Leave out the source that the container starts with.")
def plan(
    workflow: str | None,
    args: tuple[str, ...],
    arguments: str | None,
    changes: tuple[str, ...],
    is_difference: bool,
    against: tuple[str, ...],
    tasks: int,
    node: int | None,
    like: str | None,
    form: str,
    is_short: bool,
) -> None:
    """Print the Batch Jobs that a workflow's electrons would be, checked and not submitted.

    Without a workflow: the Job of an electron with the options of Covalent's configuration file and of --set.
    Machine-hours are at most what the limits allow; `covalent-parallel prices` gives them prices.
    Standard output holds the document alone, all else goes to standard error. Ends with 2 if
    options or workflow have a mistake.
    """
    if workflow is None and (args or arguments is not None or node is not None or like is not None):
        raise click.UsageError("--arg, --args, --node and --like need a workflow, such as workflow.py:my_lattice")
    if against and not is_difference:
        raise click.UsageError("--against needs --diff")
    if is_difference and not (changes or against):
        raise click.UsageError("--diff needs something that differs: --set, --against or both")
    with _stdout_for_the_document() as stdout:
        try:
            # Here, so that `--help` does not wait for Covalent, and what Covalent says on import is not a document.
            from covalent_parallel_plugin.covalent_api.config_file import import_configured_options

            configured = import_configured_options(os.environ)
            from covalent_parallel_plugin.cli.plan import plan_request as planning

            request = planning.PlanRequest(
                workflow, args, arguments, changes, against, is_difference, tasks, node, form, is_short
            )
            made = planning.plan(request, configured, _outlook(like))
        except ModuleNotFoundError as error:
            # One of ours: what the user's file lacks is a WorkflowError.
            raise missing_package(error) from error
        except RequestError as error:
            raise click.UsageError(str(error)) from error
        _write(made.document, "diff" if is_difference else form, stdout)
    for remark in (*made.remarks, "Nothing was submitted."):
        click.echo(remark, err=True)


def _outlook(like: str | None) -> PlanOutlook:
    """Return the user's prices, and the report of an earlier dispatch. Raises ClickException if that has no trace."""
    from covalent_parallel_plugin.batch.trace import dispatch_traces, read_trace, trace_path
    from covalent_parallel_plugin.cli.plan.outlook import PlanOutlook
    from covalent_parallel_plugin.results.report.prices import prices_path, read_prices
    from covalent_parallel_plugin.results.report.traced_report import report_of

    outlook = PlanOutlook(read_prices(prices_path(os.environ)), date.today())
    if like is None:
        return outlook
    folder = dispatch_traces(os.environ)
    path = None if folder is None else trace_path(folder, like)
    try:
        earlier = report_of(like, [] if path is None else read_trace(path).records, None)
    except OSError as error:
        raise click.ClickException(f"the trace of --like {like!r} cannot be read: {error}") from error
    if not any(electron.machine_seconds for electron in earlier.electrons):
        raise click.ClickException(
            f"--like {like!r}: no attempt of an electron in {path or 'a trace: there is no home folder'}. Traces are on"
            " the machine of the dispatch's Covalent server, in the home of its user; is the id right?"
        )
    return replace(outlook, earlier=earlier)


@contextlib.contextmanager
def _stdout_for_the_document() -> Iterator[TextIO]:
    """Keep standard output; whatever the user's file, Covalent or their subprocesses print goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    with open(kept, "w", encoding="utf-8") as stream:
        try:
            yield stream
        finally:
            # before anything that comes to standard error later
            sys.stdout.flush()


def _write(document: str, language: str, stream: TextIO) -> None:
    if not stream.isatty():
        stream.write(document)
        return
    from rich.console import Console
    from rich.syntax import Syntax

    coloured = Syntax("", language, background_color="default").highlight(document)
    Console(file=stream).print(coloured, soft_wrap=True, end="")
