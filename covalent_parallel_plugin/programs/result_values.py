"""Read what a program reported: an object in a file of its folder, or what a pattern finds in its standard output."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from .core_schema import core_value
from .pattern_search import SEARCH_SECONDS, TEXT_BYTES, last_match

MOST_BYTES = 1 << 20
# Columns of more parts help nobody, and Python gives up some hundreds further on
MOST_LEVELS = 100


@dataclass(frozen=True)
class ResultSource:
    """Where a task's result is read: a file in its folder, or a pattern with named groups in its standard output."""

    file: str = ""
    pattern: re.Pattern[str] | None = None


class MissingResult(Exception):
    """There is no result, or it cannot be read; the text says why."""


def read_result(
    source: ResultSource,
    files: Path,
    stdout: Path,
    text_bytes: int = TEXT_BYTES,
    seconds: float = SEARCH_SECONDS,
    python: Sequence[str] = (sys.executable,),
) -> dict[str, Any]:
    """Return the result of a task that ended with status 0; output above `text_bytes` is not copied into memory.

    `python` are the words that start this interpreter.

    Raises:
        MissingResult: it is not there, or not an object of at most 1 MiB.
    """
    if source.pattern is not None:
        return _search(source.pattern, stdout, text_bytes, seconds, python)
    name = source.file
    try:
        text = _read_inside(files, name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MissingResult(f"{name} is not UTF-8: {error}") from error
    kind = name.rpartition(".")[2].lower()
    if kind == "csv":
        return _csv_row(name, text)
    if kind == "jsonl":
        lines = [line for line in text.splitlines() if line.strip()]
        if not lines:
            raise MissingResult(f"{name} is empty")
        text = lines[-1]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MissingResult(f"{name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise MissingResult(f'{name} holds {_shown(text)}, which is not an object: write {{"name": value}}')
    if _is_deep(value):
        raise MissingResult(f"{name} is nested more than {MOST_LEVELS} levels deep, the limit for a result")
    return value


def _is_deep(value: Any) -> bool:
    """Return whether objects and lists lie in each other more than `MOST_LEVELS` deep."""
    level = [value]
    for _ in range(MOST_LEVELS):
        inner = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, (dict, list))]
        level = list(chain.from_iterable(inner))
    return any(isinstance(part, (dict, list)) for part in level)


def _search(
    pattern: re.Pattern[str], stdout: Path, text_bytes: int, seconds: float, python: Sequence[str]
) -> dict[str, Any]:
    try:
        found = last_match(pattern, stdout, text_bytes, seconds, python)
    except ValueError as error:
        raise MissingResult(f"the pattern {pattern.pattern!r} {error}") from error
    if found is None:
        raise MissingResult(f"the pattern {pattern.pattern!r} is not in the standard output")
    return {name: None if text is None else core_value(text).data for name, text in found.items()}


def _csv_row(name: str, text: str) -> dict[str, Any]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except csv.Error as error:
        raise MissingResult(f"{name} is not CSV: {error}") from error
    if len(rows) != 2 or len(rows[0]) != len(rows[1]) or len(set(rows[0])) != len(rows[0]):
        raise MissingResult(f"{name} is not a header with one row of as many cells below it: it has {len(rows)} rows")
    return {column: core_value(cell).data for column, cell in zip(*rows, strict=True)}


def _read_inside(files: Path, name: str) -> bytes:
    """Read a file that is really below the folder, and really a file."""
    try:
        path = (files / name).resolve(strict=True)
        if not path.is_relative_to(files.resolve()):
            raise MissingResult(f"{name} leads out of the task's folder")
        # a pipe would be waited for
        if not path.is_file():
            raise MissingResult(f"{name} is not a file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise MissingResult(f"{name} was not written") from error
    except (OSError, RuntimeError) as error:
        raise MissingResult(f"{name} cannot be read: {error}") from error
    if len(data) > MOST_BYTES:
        raise MissingResult(f"{name} has more than {MOST_BYTES} bytes, the limit for a result")
    return data


def _shown(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 40 else f"{text[:40]}…"
