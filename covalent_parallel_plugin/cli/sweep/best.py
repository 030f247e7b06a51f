"""`covalent-parallel sweep best`: the tasks with the least or greatest value in a column of the table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import click

from covalent_parallel_plugin.cli.sweep.arguments import NAME_OR_FOLDER, find_sweep
from covalent_parallel_plugin.programs.core_schema import json_value
from covalent_parallel_plugin.sweep.display.printable import printable
from covalent_parallel_plugin.sweep.records.best import best_records, no_number
from covalent_parallel_plugin.sweep.records.record import Record
from covalent_parallel_plugin.sweep.stored_records import stored_records


@click.command()
@click.argument("sweep", required=False, metavar=NAME_OR_FOLDER)
@click.option("--by", required=True, metavar="COLUMN", help="A column of the table, such as one of the result.")
@click.option("--max", "is_max", is_flag=True, help="The greatest values; else the least.")
@click.option("-n", "count", type=click.IntRange(min=1), default=5, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Their whole rows, as in results.json.")
def best(sweep: str | None, by: str, is_max: bool, count: int, as_json: bool) -> None:
    """Show the tasks that are done with the least values in a column, the best first, and their parameters."""
    records = best_records(stored_records(find_sweep(sweep), os.environ), by, is_max, count)
    if not records:
        raise click.ClickException(no_number(by))
    if as_json:
        click.echo(json.dumps(json_value([dict(record.row) for record in records]), indent=2))
    else:
        for line in _lines(records, by):
            click.echo(line)


def _lines(records: Sequence[Record], by: str) -> Iterator[str]:
    """Write a table of texts in columns."""
    parameters = dict.fromkeys(name for record in records for name in record.parameters)
    columns = dict.fromkeys(("task.name", by, *parameters))
    rows = [list(columns), *([_cell(record.row.get(name)) for name in columns] for record in records)]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cell(value: Any) -> str:
    value = json_value(value)
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
