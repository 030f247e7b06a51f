"""Collect pip's index settings of this machine for containers: one file, and the local folders that it names."""

from __future__ import annotations

import configparser
import io
import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .task_environment import inherited, pip_settings

_log = logging.getLogger(__name__)

SETTINGS_PATH = "/mnt/covalent-parallel-emulator/pip.conf"
"""Where a container finds the settings."""
_KEPT = (
    "cert",
    "client-cert",
    "extra-index-url",
    "find-links",
    "index-url",
    "no-index",
    "proxy",
    "retries",
    "timeout",
    "trusted-host",
)
# https://pip.pypa.io/en/stable/topics/configuration/#location
_GLOBAL = ("/etc/xdg/pip/pip.conf", "/Library/Application Support/pip/pip.conf", "/etc/pip.conf")
_LOCAL_PATH = re.compile(r"(?:^|(?<=\s)|(?<=file://))/[^\s;,]+")


@dataclass(frozen=True)
class PipSettings:
    """The text of a settings file, "" for none; and what is to be seen in a container at the path it has here."""

    text: str
    paths: Sequence[str]


def settings_files(outer: Mapping[str, str]) -> list[str]:
    """Name the files that pip here reads, those that win last."""
    own = pip_settings(outer)
    candidates = [*_GLOBAL, *([own] if own else []), str(Path(sys.prefix) / "pip.conf")]
    return [path for path in candidates if Path(path).is_file()]


def read_pip_settings(outer: Mapping[str, str], files: Sequence[str]) -> PipSettings:
    """Join what the files say of indexes, and find the local paths in it and in the variables that tasks get."""
    parser = configparser.ConfigParser(interpolation=None)
    for path in files:
        read = configparser.ConfigParser(interpolation=None)
        try:
            read.read_string(Path(path).read_text())
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            _log.warning("pip's settings in %s do not reach containers: %s", path, error)
            continue
        for section in read.sections():
            for key, value in read.items(section):
                if key.replace("_", "-") in _KEPT:
                    if not parser.has_section(section):
                        parser.add_section(section)
                    parser.set(section, key, value)
    written = io.StringIO()
    parser.write(written)
    values = [value for section in parser.sections() for _, value in parser.items(section)]
    values += [value for name, value in inherited(outer).items() if name.startswith("PIP_")]
    return PipSettings(written.getvalue(), sorted(set(_local_paths(values))))


def _local_paths(values: Sequence[str]) -> Iterator[str]:
    for value in values:
        for found in _LOCAL_PATH.findall(value):
            path = Path(found)
            # the files of a simple index lie beside it as a rule, and its pages name them by relative links
            if path.name == "simple":
                path = path.parent
            if path.exists() and path != Path("/"):
                yield str(path)
