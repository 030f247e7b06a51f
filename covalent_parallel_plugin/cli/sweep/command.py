"""`covalent-parallel sweep`: any image or command over a table of parameters, without a Covalent server."""

from __future__ import annotations

import errno
from typing import Any

import click

from covalent_parallel_plugin.cli import LazyGroup, missing_package
from covalent_parallel_plugin.cli.exit_statuses import status_of
from covalent_parallel_plugin.errors import ParallelError
from covalent_parallel_plugin.sweep.display.interruption import discard_output


class SweepGroup(LazyGroup):
    """The commands of a sweep; mistakes of any kind end with one status, and with no traceback."""

    rows = {  # noqa: RUF012  # click's classes are configured so
        "best": (".best:best", "Show the tasks with the least or greatest value in a column of the table."),
        "cancel": (".cancel:cancel", "End a run, or what waits of it."),
        "clean": (".clean:clean", "List, and with --yes remove, what sweeps have left."),
        "gather": (".gather:gather", "Bring what a sweep on Batch has delivered, and write its tables anew."),
        "list": (".list:list_sweeps", "List all sweeps of this user."),
        "logs": (".logs:logs", "Print what a task has written."),
        "plan": (".plan:plan", "Show what would run and why; nothing is started."),
        "run": (".run:run", "Run what is missing or failed."),
        "show": (".show:show", "Print the command line of a task, to try it by hand."),
        "status": (".status:status", "Show how far a sweep is, and what failed."),
    }
    package = __name__.rpartition(".")[0]
    extra = "sweep"

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise missing_package(error, self.extra) from error
        except ParallelError as error:
            # Without click's "Error: ": mistakes in a file are lines that editors read
            click.echo(str(error), err=True)
            ctx.exit(status_of(error))
        except OSError as error:
            if error.errno == errno.EPIPE:  # click ends quietly then
                raise
            if error.filename is None:
                discard_output()
            raise click.ClickException(f"{error.filename or 'standard output'}: {error.strerror or error}") from error


@click.group(cls=SweepGroup)
def sweep() -> None:
    """Run any image or command over a table of parameters, and make one table of what comes back."""
