"""What pages say of commands and keys: each that stands in backquotes, looked up in the program itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from covalent_parallel_plugin.cli import COMMANDS, main
from covalent_parallel_plugin.settings import OPTIONS
from covalent_parallel_plugin.sweep.reading.sweep_schema import KEYS

# Those of an axis, of `files` and of `result`
SMALL_KEYS = {"start", "stop", "step", "count", "scale", "path", "keep", "stdout", "file"}
KEYS_OF_FILES = {*KEYS, *OPTIONS, *SMALL_KEYS}
_CODE = re.compile(r"`([^`\n]+)`")


def command_lines(text: str) -> Iterator[str]:
    """Yield what stands in backquotes or after `$ ` and begins with a command of this program."""
    for line in [*_CODE.findall(text), *re.findall(r"^\$ (.*)$", text, re.MULTILINE)]:
        words = line.removeprefix("covalent-parallel ").split()
        if len(words) > 1 and words[0] in COMMANDS and re.fullmatch(r"[a-z|-]+", words[1]):
            yield " ".join(words).split("#")[0]


def unknown_keys(text: str) -> list[str]:
    """Return what stands in backquotes as a key, `key: …`, and is none of a sweep's file."""
    found = re.findall(r"`([a-z_]+):(?: [^`\n]*)?`", text)
    return [name for name in found if name not in KEYS_OF_FILES]


def unknown_words(line: str) -> list[str]:
    """Return the subcommands and options of a line that the program does not have."""
    words = line.replace(r"\|", "|").split()
    first, rest = words[0], words[1:]
    command = main.get_command(click.Context(main), first)
    assert command is not None
    if not isinstance(command, click.Group):
        return _unknown_options(command, rest)
    unknown = []
    for name in rest[0].split("|"):
        found = command.get_command(click.Context(command), name)
        unknown += [f"{first} {name}"] if found is None else _unknown_options(found, rest[1:])
    return unknown


def _unknown_options(command: click.Command, words: list[str]) -> list[str]:
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    named = [part.partition("=")[0] for word in words for part in word.strip("[]").split("|")]
    return [f"{command.name} {name}" for name in named if re.match(r"--?[a-z]", name) and name not in known]
