"""The command `covalent-parallel`; a subcommand's module is loaded when it is called, so that help is quick."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click

from covalent_parallel_plugin.cli.exit_statuses import FAILED, INTERRUPTED, is_lost_output, shown_error
from covalent_parallel_plugin.errors import ParallelError

COMMANDS = {
    "clean": (".clean:clean", "List, and with --yes remove, what a crashed server left on Google."),
    "demo": (".demo.command:demo", "Run a scikit-learn workflow as Batch jobs on this machine."),
    "deploy": (".deploy.command:deploy", "Make, inspect and remove what jobs need on Google Cloud."),
    "dev": (".dev.command:dev", "Run a program with an emulator and a Covalent server of its own."),
    "doctor": (".doctor.command:doctor", "Check a set-up, and show how to fix what is wrong."),
    "emulator": (".emulator.command:emulator", "Emulate Batch, Cloud Storage and Cloud Logging on this machine."),
    "fetch": (".fetch:fetch", "Write what a dispatch left in the bucket to files."),
    "image": (".image.command:image", "Build the image that electrons run in, or check whether one fits."),
    "logs": (".logs.command:logs", "Print what electrons print, while they run too."),
    "plan": (".plan.command:plan", "Print the Batch jobs that a workflow would be, checked and not submitted."),
    "prices": (".prices:prices", "Set what machines cost, so that reports and plans have dollars."),
    "report": (".report:report", "Show where time, machines and memory went, and what to change."),
    "resume": (".resume:resume", "Continue a dispatch whose server died, with the jobs that it has."),
    "sweep": (".sweep.command:sweep", "Run any image or command over a table of parameters."),
    "watch": (".watch.command:watch", "Show a dispatch's Batch jobs, live."),
}
"""Subcommand -> (module:attribute, one line of help)."""


class SuggestingGroup(click.Group):
    """A group whose list of subcommands is never cut, and that suggests one for a mistyped name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand. Raises UsageError."""
        name, known = args[0], self.list_commands(ctx)
        if name in known or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        # Here, so that a command that is known does not wait for what settings import
        from covalent_parallel_plugin.settings.near_names import nearest

        near = nearest(name, known)
        hint = f"Did you mean {near}?" if near else f"There are: {', '.join(known)}."
        raise click.UsageError(f"No such command {name!r}. {hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each subcommand with the whole first sentence of its help, which click would cut."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.line_of_help(ctx, name)) for name in self.list_commands(ctx)])

    def line_of_help(self, ctx: click.Context, name: str) -> str:
        """Return a subcommand's line in the list."""
        command = self.get_command(ctx, name)
        return "" if command is None else command.get_short_help_str(limit=10_000)


class LazyGroup(SuggestingGroup):
    """A group that knows its subcommands by name, and imports one to run it.

    Attributes:
        rows: of its subcommands, as in COMMANDS, with modules relative to `package`.
        extra: of this package, which has what its subcommands import.
    """

    rows = COMMANDS
    package = __name__
    extra = "local"

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the subcommands."""
        return sorted(self.rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand; None if there is none of this name. Raises ClickException for a missing package."""
        if cmd_name not in self.rows:
            return None
        module, _, attribute = self.rows[cmd_name][0].partition(":")
        try:
            command: click.Command = getattr(import_module(module, self.package), attribute)
        except ModuleNotFoundError as error:
            raise missing_package(error, self.extra) from error
        return command

    def line_of_help(self, ctx: click.Context, name: str) -> str:
        """Return a subcommand's line without importing it."""
        return self.rows[name][1]


def missing_package(error: ModuleNotFoundError, extra: str = LazyGroup.extra) -> click.ClickException:
    """Say which package is missing and how to install it."""
    return click.ClickException(
        f"the package {error.name!r} is missing; install it with: pip install 'covalent-parallel-plugin[{extra}]'"
    )


@contextlib.contextmanager
def _one_line_for_lost_output() -> Iterator[None]:
    """End with one line where output cannot be written: as on a full disk; click is silent where a pipe is closed."""
    try:
        yield
    except OSError as error:
        if not is_lost_output(error):
            raise
        from covalent_parallel_plugin.sweep.display.interruption import discard_output

        discard_output()
        click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
        raise SystemExit(FAILED) from error


class TopGroup(LazyGroup):
    """The command itself: one exit status for one kind of ending, whichever subcommand it was."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line."""
        with _one_line_for_lost_output():
            return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        # Each of Google's clients says so when it is loaded; which Pythons this package runs on, it says itself.
        warnings.filterwarnings("ignore", "You are using a (non-supported )?Python version", FutureWarning)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            ctx.exit(INTERRUPTED)
        except ParallelError as error:
            raise shown_error(error) from error


@click.group(cls=TopGroup)
@click.version_option(package_name="covalent-parallel-plugin")
def main() -> None:
    """Covalent electrons and sweeps as Google Batch jobs, and an emulator of Google's services on this machine."""
