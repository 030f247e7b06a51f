"""Covalent's configuration file, read without Covalent: its path, and what stands in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .options import SECTION


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
    """Read the file without importing Covalent, which would write it again."""
    path = config_path(environment)
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ConfigFile(path)
    except (OSError, UnicodeDecodeError) as error:
        return ConfigFile(path, True, f"cannot be read: {error}", f"make {path} a text file that you can read")
    return read_config_text(path, text)


def read_config_text(path: Path, text: str) -> ConfigFile:
    """Read the text of a file that is at this path, with the parser that Covalent uses."""
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
        return ConfigFile(path, True, f"is not TOML: {error or type(error).__name__}", f"edit {path}, or move it away")


def _lines_of_repeated_section(text: str) -> list[int]:
    header = re.compile(rf"\s*\[\s*{re.escape(SECTION)}\s*\]\s*(#.*)?")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if header.fullmatch(line)]
    return lines if len(lines) > 1 else []
