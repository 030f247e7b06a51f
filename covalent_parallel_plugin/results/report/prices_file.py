"""The file in which a user gives prices, CSV or JSON: read, and checked as a whole, every mistake with its place."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import yaml

from ...settings import nearest
from ...sweep.mistakes import Location, Mistake, SweepFileError
from ...sweep.reading.yaml_nodes import MAX_BYTES, decode, location_of, plain_data, read_nodes
from ...sweep.values import shown
from .price_rules import EXAMPLE, rules
from .prices import VERSION, PriceRow

COLUMNS = ("machine", "region", "dollars_per_hour", "spot_dollars_per_hour", "date", "source")
OPTIONAL = ("region", "spot_dollars_per_hour")
MAX_ROWS = 5000
_START = Location(1, 1)
_ESCAPES = re.compile(r"(\\\\)|(\\u[dD][89abAB]..\\u[dD][c-fC-F]..)")
_CELL = re.compile(r'("(?:[^"]|"")*"|[^,]*)(?:,|$)')


class PricesFileError(SweepFileError):
    """The mistakes of a file of prices, each on a line of its own, as those of a sweep's file."""


@dataclass(frozen=True)
class _Row:
    """A row as it stands in the file: its place, and each column's value with its own place."""

    location: Location
    cells: Mapping[str, tuple[object, Location]]


def read_prices_file(data: bytes, name: str, today: date) -> tuple[PriceRow, ...]:
    """Return the prices of a file, which is JSON if its name ends so or it begins so, and CSV otherwise.

    Raises:
        PricesFileError: all that is wrong with it.
    """
    mistakes: list[Mistake] = []
    rows: list[PriceRow] = []
    text = decode(data, "", mistakes) if len(data) <= MAX_BYTES else None
    if len(data) > MAX_BYTES:
        mistakes.append(Mistake(f"has {len(data):,} bytes: at most {MAX_BYTES:,} are read"))
    elif text is not None:
        is_json = name.lower().endswith(".json") or text.lstrip()[:1] in ("{", "[")
        found = list(_json_rows(text, mistakes) if is_json else _csv_rows(text, mistakes))
        rows = [row for each in found if (row := _checked(each, today, mistakes)) is not None]
        if not found and not mistakes:
            mistakes.append(Mistake(f"has no prices: write a row for each, with {', '.join(COLUMNS)}"))
        _find_twice(found, mistakes)
    if mistakes:
        raise PricesFileError(name, mistakes)
    return tuple(rows)


def _csv_rows(text: str, mistakes: list[Mistake]) -> Iterator[_Row]:
    lines = text.splitlines()
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] = []
    line, count = 1, 0
    try:
        for cells in reader:
            values = [cell.strip() for cell in cells]
            places = _places(line, lines[line - 1] if line <= len(lines) else "", len(cells))
            if any(values) and not names:
                names = values
                if len(names) == 1 and re.search(r"[;\t]", names[0]):
                    problem = f"the columns {shown(names[0])} have no commas between them: save the file with commas"
                    mistakes.append(Mistake(problem, places[0]))
                    return
                mistakes += _header_mistakes(names, places)
            elif any(values) and len(values) != len(names):
                problem = f"has {len(values)} cells, and there are {len(names)} columns: write one for each"
                mistakes.append(Mistake(f"{problem}, and text with a comma in double quotes", places[0]))
            elif any(values):
                count += 1
                if count > MAX_ROWS:
                    mistakes.append(Mistake(f"has more than {MAX_ROWS:,} prices: leave some out", places[0]))
                    return
                yield _Row(places[0], dict(zip(names, zip(values, places, strict=True), strict=True)))
            # A cell may hold line breaks
            line = reader.line_num + 1
    except csv.Error as error:
        mistakes.append(
            Mistake(f"cannot be read as cells: {error}: end each quoted text with a quote", Location(line, 1))
        )


def _places(line: int, text: str, count: int) -> list[Location]:
    """Return where a line's cells begin; its own begin where that is not clear."""
    starts = [found.start() + 1 for found in _CELL.finditer(text)][:count]
    return [Location(line, start) for start in (starts if len(starts) == count else [1] * count)]


def _header_mistakes(names: Sequence[str], places: Sequence[Location]) -> Iterator[Mistake]:
    for index, name in enumerate(names):
        if name not in COLUMNS:
            yield _unknown("column", name, places[index])
        elif name in names[:index]:
            yield Mistake(f"the column {name!r} occurs twice: keep one", places[index])
    for name in _required(names):
        yield Mistake(f"the column {name!r} is missing: add it, with a value such as {EXAMPLE[name]}", places[0])


def _json_rows(text: str, mistakes: list[Mistake]) -> Iterator[_Row]:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        where = Location(error.lineno, error.colno)
        mistakes.append(Mistake(f"is not JSON: {error.msg}", where) if text.strip() else Mistake("is empty"))
        return
    except (ValueError, RecursionError):
        mistakes.append(Mistake("is not JSON that can be read: write a list of objects, one for each price"))
        return
    # To YAML a character is one escape, not two
    plain = _ESCAPES.sub(lambda found: found[1] or str(json.loads(f'"{found[2]}"')), text)
    root = read_nodes(plain.encode("utf-8"), "", mistakes)
    if isinstance(root, yaml.MappingNode):
        fields = {key.value: value for key, value in root.value}
        if plain_data(root).keys() == {"version", "prices"} and plain_data(fields["version"]) == VERSION:  # type: ignore[union-attr]
            root = fields["prices"]
    if not isinstance(root, yaml.SequenceNode):
        if not mistakes:
            problem = "is neither a list of objects, one for each price, nor what `prices show --json` prints"
            mistakes.append(Mistake(f"{problem}: write one of them", _START))
        return
    if len(root.value) > MAX_ROWS:
        mistakes.append(Mistake(f"has {len(root.value):,} prices: at most {MAX_ROWS:,} are read"))
        return
    for node in root.value:
        if isinstance(node, yaml.MappingNode):
            yield _json_row(node, mistakes)
        else:
            mistakes.append(Mistake("is not an object: write one with " + ", ".join(COLUMNS), location_of(node)))


def _json_row(node: yaml.MappingNode, mistakes: list[Mistake]) -> _Row:
    cells = {}
    for key, value in node.value:
        if key.value not in COLUMNS:
            mistakes.append(_unknown("key", key.value, location_of(key)))
        cells[key.value] = plain_data(value), location_of(value)
    for name in _required(list(cells)):
        mistakes.append(
            Mistake(f"the key {name!r} is missing: add it, with a value such as {EXAMPLE[name]}", location_of(node))
        )
    return _Row(location_of(node), cells)


def _required(names: Sequence[str]) -> list[str]:
    """Return the columns that are missing."""
    return [name for name in COLUMNS if name not in names and name not in OPTIONAL]


def _unknown(what: str, name: str, location: Location) -> Mistake:
    near = nearest(name, COLUMNS)
    remedy = f"did you mean {near!r}?" if near else f"there are {', '.join(COLUMNS)}"
    return Mistake(f"the {what} {shown(name)} is unknown: {remedy}", location)


def _checked(row: _Row, today: date, mistakes: list[Mistake]) -> PriceRow | None:
    """Return a row with its values in their plain forms; None, and its mistakes, if some are wrong."""
    values: dict[str, object] = {"region": "", "spot_dollars_per_hour": None}
    before = len(mistakes)
    known = rules(today)
    for name, (value, location) in row.cells.items():
        if name not in known or (value in ("", None) and name in OPTIONAL):
            continue
        try:
            if value in ("", None):
                raise ValueError(f"is missing: write a value such as {EXAMPLE[name]}")
            values[name] = known[name](value)
        except ValueError as error:
            problem = f"{name} {error}" if value in ("", None) else f"{name} = {shown(value)} {error}"
            mistakes.append(Mistake(problem, location))
    common, spot = values.get("dollars_per_hour"), values["spot_dollars_per_hour"]
    if isinstance(common, (int, float)) and isinstance(spot, (int, float)) and spot > common:
        mistakes.append(
            Mistake(
                f"spot_dollars_per_hour = {spot:g} is more than dollars_per_hour = {common:g}: swap them",
                row.cells["spot_dollars_per_hour"][1],
            )
        )
    if len(mistakes) > before or not set(COLUMNS) <= values.keys():
        return None
    return PriceRow(**values)  # type: ignore[arg-type]  # the rules made them


def _find_twice(rows: Iterable[_Row], mistakes: list[Mistake]) -> None:
    """Add a mistake for each row of a machine, region and date that another one has as well."""
    seen: dict[tuple[object, ...], int] = {}
    for row in rows:
        names = ("machine", "region", "date")
        machine, place, day = (str(row.cells.get(name, ("", None))[0] or "").strip() for name in names)
        if not machine:
            continue
        key = machine, place, day
        if key in seen:
            where = f" in {key[1]}" if key[1] else ""
            text = f"{key[0]}{where} of {key[2]} has a price already, in line {seen[key]}: keep one"
            mistakes.append(Mistake(text, row.location))
        seen.setdefault(key, row.location.line)
