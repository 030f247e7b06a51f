"""The options that `plan` and `run` share: the file, its folder, what is set over it, and which tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("file", type=click.Path(dir_okay=False, path_type=Path)),
    click.option(
        "--out", type=click.Path(file_okay=False, path_type=Path), help="The folder to write to; else ./NAME."
    ),
    click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="In place of the file's; may be repeated."
    ),
    click.option("--first", type=click.IntRange(min=1), metavar="N", help="Only the first N tasks."),
    click.option(
        "--only",
        multiple=True,
        metavar="GLOB|NAME=VALUE",
        help="Only tasks of such a name, or with this value of a parameter; may be repeated.",
    ),
    click.option("--again", type=click.Choice(["all"]), help="Also what is done."),
    click.option("--local", "is_local", is_flag=True, help="On this machine."),
)


def file_options(command: Command) -> Command:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
