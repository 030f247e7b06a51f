"""Covalent's configuration file: its path, its content read with and without Covalent, and changes to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import ParallelError, SettingsError
from ..settings import SECTION

DEFAULT_PORT = 48008


class ConfigFileError(ParallelError):
    """Covalent cannot use its configuration file; the message names it."""


@dataclass(frozen=True)
class ConfigFile:
    """The file as Covalent would read it; `problem` says why it cannot, `remedy` what to do."""

    path: Path
    exists: bool = False
    problem: str = ""
    remedy: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)

    @property
    def section(self) -> Mapping[str, object]:
        """The executor's section; empty if there is none."""
        executors = self.content.get("executors")
        section = executors.get("gcpbatch") if isinstance(executors, Mapping) else None
        return section if isinstance(section, Mapping) else {}

    def value(self, section: str, key: str) -> Any:
        """Return a value of another section; None if there is none."""
        values = self.content.get(section)
        return values.get(key) if isinstance(values, Mapping) else None


def config_path(environment: Mapping[str, str]) -> Path:
    """Return where Covalent looks for its file (covalent._shared_files.defaults.get_default_sdk_config, 0.240)."""
    folder = environment.get("COVALENT_CONFIG_DIR") or environment.get("XDG_CONFIG_DIR")
    return Path(folder or Path(environment.get("HOME") or Path.home()) / ".config" / "covalent") / "covalent.conf"


def read_config_file(environment: Mapping[str, str]) -> ConfigFile:
    """Read the file with the parser that Covalent uses, without importing Covalent, which would write it anew."""
    path = config_path(environment)
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ConfigFile(path)
    except (OSError, UnicodeDecodeError) as error:
        return ConfigFile(path, True, f"cannot be read: {error}", f"make {path} a text file that you can read")
    repeated = _lines_of_repeated_section(text)
    if repeated:
        return ConfigFile(
            path,
            True,
            f"has the section [{SECTION}] twice, in lines {repeated[0]} and {repeated[1]}: Covalent cannot read it",
            f"edit {path}: put all of [{SECTION}] under one such line",
        )
    try:
        import toml  # type: ignore[import-untyped]  # has no types
    except ModuleNotFoundError:
        return ConfigFile(path, True, "cannot be read without Covalent's own packages", "pip install covalent")
    try:
        return ConfigFile(path, True, content=toml.loads(text))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # All of these come from the parser, for some broken files.
        return ConfigFile(path, True, f"is no TOML: {error or type(error).__name__}", f"edit {path}, or move it away")


def server_address(file: ConfigFile, environment: Mapping[str, str]) -> tuple[str, int]:
    """Return where clients look for the server (covalent._shared_files.defaults.get_default_dispatcher_config, 0.240).

    Raises:
        SettingsError: the port is no number.
    """
    host = file.value("dispatcher", "address") or environment.get("COVALENT_DISPATCHER_ADDR", "localhost")
    port = file.value("dispatcher", "port") or environment.get("COVALENT_SVC_PORT", DEFAULT_PORT)
    if not str(port).isdecimal():
        raise SettingsError([f"the port of [dispatcher] in {file.path} is {port!r}: write a number"])
    return str(host), int(port)


def configured_options() -> Mapping[str, object]:
    """Return the executor's section as Covalent holds it, other versions' keys included; empty if there is none.

    Imports Covalent, which reads the file when it is imported, and writes it anew.

    Raises:
        SettingsError: what should hold the section holds something else.
    """
    from covalent._shared_files.config import get_config

    try:
        section = get_config(SECTION)
    except KeyError:
        return {}
    except TypeError as error:
        name = SECTION.partition(".")[0]
        raise SettingsError([f"{name} in Covalent's configuration file is no section: write [{SECTION}]"]) from error
    return section if isinstance(section, Mapping) else {}


def used_config_path() -> Path:
    """Return the file that Covalent uses in this process, which it chose when it was imported; imports Covalent."""
    from covalent._shared_files.config import _config_manager

    return Path(_config_manager.config_file)


def import_configured_options(environment: Mapping[str, str]) -> Mapping[str, object]:
    """Do as `configured_options`, with one error for whatever Covalent's import makes of a broken file.

    Raises:
        ConfigFileError: Covalent cannot use the file.
    """
    try:
        import_module("covalent")
        return configured_options()
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        # LookupError, TypeError and AttributeError are what Covalent's parser raises for some broken files.
        raise ConfigFileError(
            f"Covalent cannot use its configuration file {config_path(environment)}: {error or type(error).__name__}."
            " Mend it, or name another folder in COVALENT_CONFIG_DIR"
        ) from error


def write_options(options: Mapping[str, object]) -> None:
    """Write options into the executor's section, through Covalent: every other key stays.

    Raises:
        OSError: no leave to write, or another program holds the file's lock. ValueError: the file is broken.
    """
    from covalent._shared_files.config import update_config

    entries: dict[str, object] = dict(options)
    for part in reversed(SECTION.split(".")):
        entries = {part: entries}
    update_config(entries)


def _lines_of_repeated_section(text: str) -> list[int]:
    header = re.compile(rf"\s*\[\s*{re.escape(SECTION)}\s*\]\s*(#.*)?")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if header.fullmatch(line)]
    return lines if len(lines) > 1 else []
