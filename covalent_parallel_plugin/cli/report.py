"""`covalent-parallel report`: where the time, machines and memory of a dispatch or sweep went, and what to change."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli.exit_statuses import shown_error
from covalent_parallel_plugin.cli.printed_lines import tell
from covalent_parallel_plugin.errors import ParallelError
from covalent_parallel_plugin.results.report.formats import (
    CSV,
    FORMATS,
    HTML,
    TRACE,
    format_of,
    mistakes_of_path,
    text_of,
    write_text,
)

if TYPE_CHECKING:
    from covalent_parallel_plugin.results.report.model import Report

STANDARD_OUTPUT = Path("-")
ID_CHARACTERS = 8


@click.command()
@click.argument("name", metavar="DISPATCH_ID|SWEEP")
@click.option(
    "-o", "output", type=click.Path(path_type=Path), metavar="FILE",
    help="Where to, - for standard output. A page is else report-ID.html here; the other formats are printed.",
)  # fmt: skip
@click.option(
    "--format", "format_", type=click.Choice(FORMATS),
    help="html: a page; trace: for ui.perfetto.dev; csv, json: a row for each attempt. Else by FILE's end, and html.",
)  # fmt: skip
@click.option("--items", "with_items", is_flag=True, help="A row for each item; a trace, and a page's data, have all.")
@click.option("--open", "is_opened", is_flag=True, help="Open the page in a browser.")
def report(name: str, output: Path | None, format_: str | None, with_items: bool, is_opened: bool) -> None:
    """Show where the time, machines and memory of a dispatch or sweep went, and what to change.

    It is made from the trace on the machine of Covalent's server, or of the sweep. A page is one file, which fetches
    nothing. One that goes on has what is known so far.
    """
    format_ = format_ or (HTML if output is None else format_of(output))
    is_printed = output == STANDARD_OUTPUT or (output is None and format_ != HTML)
    mistakes = []
    if is_opened and (is_printed or format_ != HTML):
        mistakes.append("--open opens a page in a browser: leave out --format and -o -, or --open")
    problem = "" if output is None or is_printed else mistakes_of_path(output)
    if problem:
        mistakes.append(f"-o {output} {problem}")
    if mistakes:
        raise click.UsageError("\n".join(mistakes))
    found = _read(name)
    if format_ in (CSV, TRACE):
        # The others have this themselves
        for sentence in found.missing:
            tell(sys.stderr, sentence)
    parts = text_of(found, format_, with_items)
    if is_printed:
        _print(parts)
        return
    path = output if output is not None else Path(f"report-{_file_name(found)}.html")
    _write(path, parts)
    click.echo(path)
    if is_opened:
        _open(path)


def _read(name: str) -> Report:
    # Here, so that `--help` does not wait for Covalent.
    from covalent_parallel_plugin.results.report.complete import complete_report

    try:
        return complete_report(name)
    except ParallelError as error:
        from covalent_parallel_plugin.sweep.display.printable import printable

        raise shown_error(error, printable) from error


def _file_name(found: Report) -> str:
    """What stands for a dispatch or sweep in the name of a file."""
    text = found.id[:ID_CHARACTERS] if found.kind == "dispatch" else found.name or found.id
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)


def _print(parts: Iterable[str]) -> None:
    stream = sys.stdout.buffer
    for part in parts:
        stream.write(part.encode("utf-8", "backslashreplace"))
    stream.flush()


def _write(path: Path, parts: Iterable[str]) -> None:
    problem = mistakes_of_path(path)
    try:
        if problem:
            raise click.ClickException(f"{path} {problem}: name another file with -o")
        write_text(path, parts)
    except OSError as error:
        raise click.ClickException(f"-o {path} cannot be written: {error.strerror}") from error


def _open(path: Path) -> None:
    import webbrowser

    try:
        is_shown = webbrowser.open(path.resolve().as_uri())
    except webbrowser.Error:
        is_shown = False
    if not is_shown:
        tell(sys.stderr, f"no browser can be started here: open {path.resolve()} in one")
