"""`covalent-parallel prices`: what machines cost, given by the user, for reports and plans."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli import SuggestingGroup
from covalent_parallel_plugin.cli.exit_statuses import shown_error

if TYPE_CHECKING:
    from covalent_parallel_plugin.results.report.prices import PriceRow


@click.group(cls=SuggestingGroup)
def prices() -> None:
    """Set, show or clear what machines cost: reports and plans then have dollars beside machine-hours.

    Prices are yours: none come with this package, and none are looked up.
    """


@prices.command(name="set")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def set_command(file: Path) -> None:
    """Take the prices in FILE, CSV or JSON, in place of those that were set before.

    Columns: machine, region, dollars_per_hour, spot_dollars_per_hour, date, source. A machine is a type such as
    n1-standard-4, a family such as n1 or n1-highmem, whose price is for one vCPU, or a GPU that is attached. With a
    mistake in FILE nothing is set, and all of them are listed.
    """
    from covalent_parallel_plugin.results.report.prices import write_prices
    from covalent_parallel_plugin.results.report.prices_file import read_prices_file

    try:
        rows = read_prices_file(file.read_bytes(), str(file), date.today())
        path = _path()
        write_prices(path, rows)
    except OSError as error:
        raise shown_error(error) from error
    click.echo(f"{_count(rows)} set, in {path}")


@prices.command()
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON, which `prices set` reads as well.")
def show(as_json: bool) -> None:
    """Show the prices that are set."""
    from covalent_parallel_plugin.results.report.prices import SET_COMMAND, prices_document, read_prices

    path = _path()
    found = read_prices(path)
    if found.problem:
        raise click.ClickException(found.problem)
    if as_json:
        click.echo(prices_document(found.rows), nl=False)
    elif found.rows:
        for line in _table(found.rows):
            click.echo(line)
    else:
        click.echo(f"No prices are set ({path} is not there). Set some: {SET_COMMAND}")


@prices.command()
def clear() -> None:
    """Remove all prices."""
    path = _path()
    try:
        path.unlink()
    except FileNotFoundError:
        click.echo("No prices were set.")
    except OSError as error:
        raise shown_error(error) from error
    else:
        click.echo(f"{path} is removed")


def _path() -> Path:
    from covalent_parallel_plugin.results.report.prices import prices_path

    path = prices_path(os.environ)
    if path is None:
        raise click.ClickException("there is no home folder to keep prices in: set HOME or XDG_DATA_HOME")
    return path


def _count(rows: Sequence[PriceRow]) -> str:
    return "1 price is" if len(rows) == 1 else f"{len(rows):,} prices are"


def _table(rows: Sequence[PriceRow]) -> list[str]:
    """Return lines whose columns are aligned."""
    from covalent_parallel_plugin.settings.machine_names import is_machine_family

    cells = [("machine", "region", "$ an hour", "Spot", "date", "source")]
    for row in rows:
        spot = "-" if row.spot_dollars_per_hour is None else f"{row.spot_dollars_per_hour:.10g}"
        machine = f"{row.machine}, a vCPU" if is_machine_family(row.machine) else row.machine
        cells.append((machine, row.region or "all", f"{row.dollars_per_hour:.10g}", spot, row.date, row.source))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
