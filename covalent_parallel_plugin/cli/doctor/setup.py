"""The set-up that is examined: the environment, Covalent's configuration file, and the options that result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ... import settings as options
from ...errors import SettingsError
from ...protocol.environment import SERVICES
from ...settings import OPTIONS, Settings
from ...settings.config_file import ConfigFile, read_config_file

FROM_FILE, FROM_DEFAULT, FROM_COMMAND = "file", "default", "--set"


@dataclass(frozen=True)
class Setup:
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
    file: ConfigFile
    given: Mapping[str, object]
    values: Mapping[str, object]
    sources: Mapping[str, str]
    settings: Settings
    mistakes: tuple[str, ...]
    unusable: frozenset[str]

    @property
    def emulator_addresses(self) -> Mapping[str, str]:
        """Those of the three variables that are set."""
        return {name: self.environment[name] for name in SERVICES if self.environment.get(name)}


def read_setup(environment: Mapping[str, str], given: Mapping[str, object]) -> Setup:
    """Read the configuration file, and find out which options are usable."""
    file = read_config_file(environment)
    values = options.resolve(given, file.section)
    sources = {name: _source(name, given, file.section) for name in OPTIONS}
    mistakes: tuple[str, ...] = ()
    try:
        options.check(values, way="give --set {}=...".format)
    except SettingsError as error:
        mistakes = error.mistakes
    usable: dict[str, object] = {}
    for name, option in OPTIONS.items():
        if options.is_given(values[name]):
            if not options.mistakes_in({name: values[name]}):
                usable[name] = options.plain(name, values[name])
        elif not option.required:
            usable[name] = option.default
    settings = Settings(**usable)  # type: ignore[arg-type]  # each rule returns its field's type
    return Setup(environment, file, given, values, sources, settings, mistakes, frozenset(OPTIONS.keys() - usable))


def _source(name: str, given: Mapping[str, object], section: Mapping[str, object]) -> str:
    if options.is_given(given.get(name)):
        return FROM_COMMAND
    return FROM_FILE if options.is_given(section.get(name)) else FROM_DEFAULT
