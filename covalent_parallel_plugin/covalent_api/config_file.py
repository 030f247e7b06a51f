"""Covalent's configuration file as Covalent reads it, where its server is, and changes to the file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from ..errors import MistakeError, SettingsError
from ..settings import SECTION
from ..settings.config_file import ConfigFile, config_path

DEFAULT_PORT = 48008


class ConfigFileError(MistakeError):
    """Covalent cannot use its configuration file; the message names it."""


def server_address(file: ConfigFile, environment: Mapping[str, str]) -> tuple[str, int]:
    """Return where clients look for the server (covalent._shared_files.defaults.get_default_dispatcher_config, 0.240).

    Raises:
        SettingsError: the port is not a number.
    """
    host = file.value("dispatcher", "address") or environment.get("COVALENT_DISPATCHER_ADDR", "localhost")
    port = file.value("dispatcher", "port") or environment.get("COVALENT_SVC_PORT", DEFAULT_PORT)
    if not str(port).isdecimal():
        raise SettingsError([f"the port of [dispatcher] in {file.path} is {port!r}: write a number"])
    return str(host), int(port)


def configured_options() -> Mapping[str, object]:
    """Return the executor's section as Covalent holds it, other versions' keys included; empty if there is none.

    Imports Covalent, which reads the file when it is imported, and writes it again.

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
        raise SettingsError([f"{name} in Covalent's configuration file is not a section: write [{SECTION}]"]) from error
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
            " Fix it, or name another folder in COVALENT_CONFIG_DIR"
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
