"""What is examined: the environment, Covalent's configuration file, and the options that come of both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ... import settings as options
from ...errors import SettingsError
from ...settings import OPTIONS, SECTION, Settings

SERVICES = ("STORAGE_EMULATOR_HOST", "BATCH_EMULATOR_HOST", "LOGGING_EMULATOR_HOST")
FROM_FILE, FROM_DEFAULT, FROM_COMMAND = "file", "default", "--set"


@dataclass(frozen=True)
class ConfigurationFile:
    """Covalent's configuration file as Covalent would read it; `problem` says why it cannot, `remedy` what to do."""

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
        """A value of another section; None if there is none."""
        values = self.content.get(section)
        return values.get(key) if isinstance(values, Mapping) else None


@dataclass(frozen=True)
class Case:
    """One set-up.

    Attributes:
        environment: the environment variables.
        file: the configuration file.
        given: options that stand above the file's.
        values: every option's value, unchecked; `sources` says where each comes from.
        settings: the same, with the default where a value is wrong or missing.
        mistakes: one sentence each; `unusable` are the options that they are about.
    """

    environment: Mapping[str, str]
    file: ConfigurationFile
    given: Mapping[str, object]
    values: Mapping[str, object]
    sources: Mapping[str, str]
    settings: Settings
    mistakes: tuple[str, ...]
    unusable: frozenset[str]

    @property
    def stand_ins(self) -> Mapping[str, str]:
        """Those of the three variables that are set."""
        return {name: self.environment[name] for name in SERVICES if self.environment.get(name)}


def read_case(environment: Mapping[str, str], given: Mapping[str, object]) -> Case:
    """Put a case together: read the file, and see which options are usable."""
    file = read_configuration(environment)
    values = options.resolve(given, file.section)
    sources = {name: _source(name, given, file.section) for name in OPTIONS}
    mistakes: tuple[str, ...] = ()
    try:
        options.check(values, way="give --set {}=...".format)
    except SettingsError as error:
        mistakes = error.mistakes
    kept, unusable = {}, set()
    for name, option in OPTIONS.items():
        kept[name] = option.default
        if options.is_given(values[name]):
            try:
                kept[name] = option.rule(values[name])
            except ValueError:
                unusable.add(name)
        elif option.required:
            unusable.add(name)
    settings = Settings(**kept)  # type: ignore[arg-type]  # each rule returns its field's type
    return Case(environment, file, given, values, sources, settings, mistakes, frozenset(unusable))


def configuration_path(environment: Mapping[str, str]) -> Path:
    """Where Covalent looks for its file (covalent._shared_files.defaults.get_default_sdk_config, 0.240)."""
    folder = environment.get("COVALENT_CONFIG_DIR") or environment.get("XDG_CONFIG_DIR")
    return Path(folder or Path(environment.get("HOME") or Path.home()) / ".config" / "covalent") / "covalent.conf"


def read_configuration(environment: Mapping[str, str]) -> ConfigurationFile:
    """Read the file with the parser that Covalent uses, without importing Covalent, which would write it anew."""
    path = configuration_path(environment)
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ConfigurationFile(path)
    except (OSError, UnicodeDecodeError) as error:
        return ConfigurationFile(path, True, f"cannot be read: {error}", f"make {path} a text file that you can read")
    again = _repeated_section(text)
    if again:
        return ConfigurationFile(
            path,
            True,
            f"has the section [{SECTION}] twice, in lines {again[0]} and {again[1]}: Covalent cannot read it",
            f"edit {path}: put all of [{SECTION}] under one such line",
        )
    try:
        import toml  # type: ignore[import-untyped]  # has no types
    except ModuleNotFoundError:
        return ConfigurationFile(path, True, "cannot be read without Covalent's own packages", "pip install covalent")
    try:
        return ConfigurationFile(path, True, content=toml.loads(text))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # All of these come from the parser, for some broken files.
        return ConfigurationFile(
            path, True, f"is no TOML: {error or type(error).__name__}", f"edit {path}, or move it away"
        )


def _source(name: str, given: Mapping[str, object], section: Mapping[str, object]) -> str:
    if options.is_given(given.get(name)):
        return FROM_COMMAND
    return FROM_FILE if options.is_given(section.get(name)) else FROM_DEFAULT


def _repeated_section(text: str) -> list[int]:
    header = re.compile(rf"\s*\[\s*{re.escape(SECTION)}\s*\]\s*(#.*)?")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if header.fullmatch(line)]
    return lines if len(lines) > 1 else []
