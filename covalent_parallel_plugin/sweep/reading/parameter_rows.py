"""Rows of parameters from a file: CSV, TSV or JSON lines; each value as it is written there."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...programs.core_schema import ParameterValue, core_value
from ..mistakes import Location, Mistake
from ..values import shown
from .yaml_nodes import UNUSABLE, decode

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
MAX_BYTES = 100_000_000
MAX_ROWS = 1_000_000
# Rows of wrong length and the like, of which one file has usually one kind
_MOST_MISTAKES = 20
PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Rows:
    """The rows of a file: names, and as many values in each row; no rows where some are wrong."""

    names: tuple[str, ...]
    values: Sequence[tuple[ParameterValue, ...]]


def name_problem(name: str) -> str:
    """Return what keeps a parameter from having a name; "" if nothing does."""
    if name == "repeat":
        return "'repeat' is the number of a repetition: take another name"
    if not PARAMETER.fullmatch(name):
        return f"{shown(name)} is not a valid parameter name: use letters, digits, _ and -, a letter or _ first"
    return ""


def read_rows(data: bytes, suffix: str, file: str, mistakes: list[Mistake]) -> Rows | None:
    """Return the rows of a file, and add what is wrong with it to `mistakes`; None if its names are wrong.

    `suffix` says what it is; that of standard input is empty, and its first characters say it.
    """
    text = decode(data, file, mistakes)
    if text is None:
        return None
    suffix = suffix or _suffix_of(text)
    table = _Table(file)
    if suffix in JSON_LINES:
        _read_json_lines(text, table)
    else:
        _read_cells(text, DELIMITERS[suffix], table)
    if not table.mistakes and not table.rows:
        table.mistake(1, "has no rows: write names in its first line, and values below them")
    mistakes += table.mistakes[:_MOST_MISTAKES]
    return Rows(table.names, [] if table.mistakes else table.rows) if table.are_named else None


class _Table:
    """Rows as they are read."""

    def __init__(self, file: str):
        self.names: tuple[str, ...] = ()
        self.are_named = False
        self.rows: list[tuple[ParameterValue, ...]] = []
        self.mistakes: list[Mistake] = []
        self._file = file
        # A value is there once, however many rows have it
        self._known: dict[str, ParameterValue] = {}

    @property
    def is_full(self) -> bool:
        """Whether no further row has to be looked at."""
        return len(self.mistakes) >= _MOST_MISTAKES or len(self.rows) > MAX_ROWS

    def mistake(self, line: int, text: str, column: int = 1) -> None:
        """Record a mistake in a line."""
        self.mistakes.append(Mistake(text, Location(line, column, self._file)))

    def name(self, line: int, names: Sequence[str]) -> None:
        """Take the names of the columns."""
        self.names = tuple(names)
        self.are_named = len(set(names)) == len(names) and not any(map(name_problem, names))
        for name, times in Counter(names).items():
            problem = name_problem(name)
            if times > 1:
                problem = f"the name {shown(name)} occurs {times} times: keep one"
            if problem:
                self.mistake(line, problem)

    def value(self, text: str) -> ParameterValue:
        """Return a cell's value."""
        return self._known.setdefault(text, core_value(text))

    def add(self, line: int, row: Sequence[ParameterValue]) -> None:
        """Take a row."""
        unusable = [value.text for value in row if UNUSABLE.search(value.text)]
        if len(row) != len(self.names):
            self.mistake(line, f"has {len(row)} values, and there are {len(self.names)} names: write one for each")
        elif unusable:
            self.mistake(line, f"{shown(unusable[0])} holds a character that no program accepts")
        else:
            self.rows.append(tuple(row))


def _suffix_of(text: str) -> str:
    if text.lstrip().startswith("{"):
        return JSON_LINES[0]
    first = text.partition("\n")[0]
    return ".tsv" if "\t" in first and "," not in first else ".csv"


def _read_cells(text: str, delimiter: str, table: _Table) -> None:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if table.is_full:
                return
            if cells and not table.names:
                table.name(line, cells)
            elif cells:
                table.add(line, [table.value(cell) for cell in cells])
            # A cell may hold line breaks
            line = reader.line_num + 1
    except csv.Error as error:
        table.mistake(line, f"cannot be read as cells: {error}")


def _read_json_lines(text: str, table: _Table) -> None:
    for line, source in enumerate(text.split("\n"), 1):
        if table.is_full:
            return
        if not source.strip():
            continue
        try:
            pairs = _PAIRS.decode(source.strip())
        except (ValueError, RecursionError) as error:
            why, column = (error.msg, error.colno) if isinstance(error, json.JSONDecodeError) else (error, 1)
            text = f"is not JSON ({why}): write an object with plain values in each line"
            table.mistake(line, text, len(source) - len(source.lstrip()) + column)
            continue
        if not isinstance(pairs, _Object) or not all(isinstance(value, ParameterValue) for _, value in pairs):
            table.mistake(line, 'is not an object with plain values: write {"name": value} in each line')
            continue
        if not table.names:
            table.name(line, [name for name, _ in pairs])
        row = dict(pairs)
        if len(row) < len(pairs) or set(row) != set(table.names):
            names = ", ".join(table.names)
            table.mistake(
                line, f"has the names {', '.join(name for name, _ in pairs)}: use those of the first, {names}"
            )
            continue
        table.add(line, [row[name] for name in table.names])


class _Object(list[tuple[str, Any]]):
    """The names and values of a JSON object, as they stand there."""


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    return _Object((name, _json_value(value)) for name, value in pairs)


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return core_value(json.dumps(value))
    return ParameterValue(value, value) if isinstance(value, str) else value


def _constant(text: str) -> ParameterValue:
    """Return what is not JSON, and written by many: NaN, Infinity, -Infinity."""
    return ParameterValue(text, float(text))


# Numbers as they are written: 1e-3 stays this text
_PAIRS = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=core_value, parse_float=core_value, parse_constant=_constant
)
