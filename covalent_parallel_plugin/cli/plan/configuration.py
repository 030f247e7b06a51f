"""The options of Covalent's configuration file, or one clear error where Covalent cannot read that file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from ...settings import OPTIONS, SECTION, nearest
from .errors import ConfigurationError


def configured_options() -> Mapping[str, object]:
    """The section of the executor; empty if there is none. Imports Covalent, which reads the file on import.

    Raises:
        ConfigurationError: Covalent cannot use the file.
    """
    try:
        import_module("covalent")
        from ...gcpbatch import configured_options as section

        return section()
        # KeyError, IndexError and TypeError are what the parser that Covalent uses raises for some broken files.
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"Covalent cannot use its configuration file {_file()}: {error or type(error).__name__}. Mend it, or name"
            " another folder in COVALENT_CONFIG_DIR"
        ) from error


def unknown_keys(configured: Mapping[str, object]) -> list[str]:
    """A sentence for each key of the section that is no option."""
    found = []
    for name in configured:
        if name not in OPTIONS:
            near = nearest(name)
            found.append(
                f"[{SECTION}] has the key {name!r}, which is no option{f' (did you mean {near!r}?)' if near else ''};"
                " it is ignored"
            )
    return found


def _file() -> Path:
    """Where Covalent looks for it (covalent._shared_files.defaults.get_default_sdk_config)."""
    folder = os.environ.get("COVALENT_CONFIG_DIR") or os.environ.get("XDG_CONFIG_DIR")
    return Path(folder or Path.home() / ".config" / "covalent") / "covalent.conf"
