"""The command `covalent-parallel`; a subcommand's module is loaded when it is called, so that help is quick."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "clean": (".clean:clean", "List, and with --yes remove, what a crashed server left on Google."),
    "demo": (".demo.command:demo", "Run a scikit-learn workflow as Batch jobs on this machine."),
    "deploy": (".deploy.command:deploy", "Make, look at and take down what jobs need on Google Cloud."),
    "dev": (".dev.command:dev", "Run a program with an emulator and a Covalent server of its own."),
    "doctor": (".doctor.command:doctor", "Look for what is wrong with a set-up, and say what mends it."),
    "emulator": (".emulator.command:emulator", "Stand in for Batch, Cloud Storage and Cloud Logging on this machine."),
    "fetch": (".fetch:fetch", "Write what a dispatch left in the bucket to files."),
    "image": (".image.command:image", "Build the image that electrons run in, or check whether one fits."),
    "logs": (".logs.command:logs", "Print what electrons print, while they run too."),
    "plan": (".plan.command:plan", "Print the Batch jobs that a workflow would be, checked and not submitted."),
    "sweep": (".sweep.command:sweep", "Run any image or command over a table of parameters."),
    "watch": (".watch.command:watch", "Show a dispatch's Batch jobs, live."),
}
"""Subcommand -> (module:attribute, one line of help)."""


class LazyGroup(click.Group):
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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.rows[name][1]) for name in self.list_commands(ctx)])


def missing_package(error: ModuleNotFoundError, extra: str = LazyGroup.extra) -> click.ClickException:
    """Say which package is missing and how to install it."""
    return click.ClickException(
        f"the package {error.name!r} is missing; install it with: pip install 'covalent-parallel-plugin[{extra}]'"
    )


INTERRUPTED_STATUS = 130
"""What shells report for a program ended by Ctrl-C."""


class Interruptible(LazyGroup):
    """Ends with 130 on Ctrl-C, whatever command it comes to: click's 1 is what commands use for what they found."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        # Each of Google's clients says so when it is loaded; which Pythons this package runs on, it says itself.
        warnings.filterwarnings("ignore", "You are using a (non-supported )?Python version", FutureWarning)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            ctx.exit(INTERRUPTED_STATUS)


@click.group(cls=Interruptible)
@click.version_option(package_name="covalent-parallel-plugin")
def main() -> None:
    """Covalent electrons and sweeps as Google Batch jobs, and an emulator of Google's services on this machine."""
