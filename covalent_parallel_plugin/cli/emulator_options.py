"""What the values of the options of `covalent-parallel emulator` mean."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Faults


def read_images(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, list[str]]:
    """Read URI=COMMAND. Raises BadParameter."""
    images = {}
    for value in values:
        uri, equals, command = value.partition("=")
        if not uri or not equals or not command.strip():
            raise click.BadParameter(f"{value!r} must be URI=COMMAND")
        images[uri] = shlex.split(command)
    return images


def read_exports(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, Path]:
    """Read SERVER:/PATH=FOLDER. Raises BadParameter."""
    exports = {}
    for value in values:
        export, equals, folder = value.partition("=")
        server, colon, path = export.partition(":")
        if not (server and colon and path.startswith("/") and equals):
            raise click.BadParameter(f"{value!r} must be SERVER:/PATH=FOLDER")
        if not Path(folder).is_dir():
            raise click.BadParameter(f"{folder!r}, which is to stand for {export}, is no folder here")
        if ":" in str(Path(folder).absolute()):
            raise click.BadParameter(f"{folder!r} has a colon in its path, which container engines cannot mount")
        exports[export] = Path(folder)
    return exports


def read_secrets(path: Path | None, values: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE from a file's lines and from flags, which win. Raises ValueError, OSError."""
    lines = []
    if path is not None:
        try:
            lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no text: {error}") from error
    secrets = {}
    for number, line in enumerate([*lines, *values]):
        name, equals, value = line.partition("=")
        if not equals:
            # never the line itself, which may be a value
            where = f"an entry of {path}" if number < len(lines) else "a --secret"
            raise ValueError(f"{where} is not projects/PROJECT/secrets/SECRET/versions/VERSION=VALUE: it has no =")
        secrets[name.strip()] = value
    return secrets


def read_faults(path: Path | None, rules: Sequence[str], seed: int | None) -> Faults:
    """Join the file's rules and the flags', in this order. Raises FaultError, OSError."""
    from covalent_parallel_plugin.emulator import FaultError, Faults, parse_flag

    try:
        given = Faults() if path is None else Faults.from_text(path.read_text())
    except (FaultError, UnicodeDecodeError) as error:
        raise FaultError(f"{path}: {error}") from error
    return Faults((*given.rules, *map(parse_flag, rules)), given.seed if seed is None else seed)
