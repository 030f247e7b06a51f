"""The commands' part of the reference, from click's definitions."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from covalent_parallel_plugin.cli import main

PROGRAM = "covalent-parallel"


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and those in it that are not hidden, with the words that call them; groups come first."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            found = command.get_command(context, word)
            if found is not None and not found.hidden:
                yield from _below(f"{name} {word}", found)


def _options(command: click.Command) -> list[click.Option]:
    return [option for option in command.params if isinstance(option, click.Option) and not option.hidden]


def undescribed_options(name: str = PROGRAM, command: click.Command = main) -> list[str]:
    """Return the commands and options that have no help text."""
    found = []
    for called, each in _below(name, command):
        found += [] if each.help else [called]
        found += [f"{called} {option.opts[0]}" for option in _options(each) if not option.help]
    return found


def commands() -> str:
    """Return a section for each command: what it does, how it is called, its options."""
    return "\n\n".join(_section(name, command) for name, command in _below(PROGRAM, main) if name != PROGRAM)


def _section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    level = "#" * len(name.split())
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"{level} {name.removeprefix(PROGRAM + ' ')}", _plain(inspect.cleandoc(command.help or ""))]
    parts.append(f"```text\n{usage}\n```")
    if options := _options(command):
        rows = ["| option | what it does | default |", "|---|---|---|"]
        parts.append("\n".join(rows + [_row(option, context) for option in options]))
    return "\n\n".join(parts)


def _row(option: click.Option, context: click.Context) -> str:
    written, _ = option.get_help_record(context) or ("", "")
    extra = option.get_help_extra(context)
    notes = [extra[key] for key in ("required", "range") if key in extra]
    default = extra.get("default", "")
    text = _cell(option.help or "") + (f" ({_cell(', '.join(notes))})" if notes else "")
    name = f"`{_cell(written)}`"
    return f"| {name} | {text} | {f'`{_cell(default)}`' if default else ''} |"


def _cell(text: str) -> str:
    return _plain(" ".join(text.split())).replace("|", r"\|")


def _plain(text: str) -> str:
    return text.replace("\b\n", "").replace("<", "&lt;") if "`" not in text else text.replace("\b\n", "")
