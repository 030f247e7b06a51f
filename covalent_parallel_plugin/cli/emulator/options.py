"""What the values of the options of `covalent-parallel emulator` mean."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Faults
    from covalent_parallel_plugin.emulator.project.resources import ProjectResources

FILE_ERRORS = {
    "--secrets-file": "--secrets-file {path}: {error}: give the path of a file with lines"
    " projects/PROJECT/secrets/SECRET/versions/VERSION=VALUE",
    "--faults": "--faults {path}: {error}: give the path of a JSON file of rules, such as docs/reference/emulator.md"
    " shows, or single rules with --fault",
    "--known": "--known {path}: {error}: give the path of a TOML file of what exists, as docs/reference/emulator.md"
    " shows, or leave the option out for what a well-made project has",
    "--env-file": "--env-file {path}: {error}: give a path in a folder that exists and that you may write to",
}
"""What is said of a file that cannot be read or written, by option."""


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
            raise click.BadParameter(f"{folder!r}, which is to stand for {export}, is not a folder here")
        if ":" in str(Path(folder).absolute()):
            raise click.BadParameter(f"{folder!r} has a colon in its path, which container engines cannot mount")
        exports[export] = Path(folder)
    return exports


def read_secrets(path: Path | None, values: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE from a file's lines and from flags, which win. Raises ValueError."""
    lines = []
    if path is not None:
        try:
            text = _content("--secrets-file", path)
            lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        except UnicodeDecodeError as error:
            raise ValueError(f"--secrets-file {path}: this is not text: {error}") from error
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
    """Join the file's rules and the flags', in this order. Raises ValueError, of which FaultError is one."""
    from covalent_parallel_plugin.emulator import Faults
    from covalent_parallel_plugin.emulator.faults.fault import FaultError
    from covalent_parallel_plugin.emulator.faults.flag import parse_flag

    try:
        given = Faults() if path is None else Faults.from_text(_content("--faults", path))
    except (FaultError, UnicodeDecodeError) as error:
        raise FaultError(f"{path}: {error}") from error
    return Faults((*given.rules, *map(parse_flag, rules)), given.seed if seed is None else seed)


def read_known_file(path: Path) -> ProjectResources:
    """Read what exists in the project. Raises ValueError."""
    from covalent_parallel_plugin.emulator.project.resources import ProjectResourcesError
    from covalent_parallel_plugin.emulator.project.toml_file import read_project_file

    try:
        return read_project_file(path)
    except ProjectResourcesError as error:
        raise ValueError(f"--known {error}") from error
    except OSError as error:
        raise ValueError(FILE_ERRORS["--known"].format(path=path, error=error.strerror)) from error


def _content(option: str, path: Path) -> str:
    """Read a file that an option names. Raises ValueError, of which UnicodeDecodeError is one."""
    try:
        return path.read_text()
    except OSError as error:
        raise ValueError(FILE_ERRORS[option].format(path=path, error=error.strerror)) from error
