"""The table of a sweep as Parquet: a type for each column, found in its values."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ParallelError
from ...programs.core_schema import json_value
from .record import Record

if TYPE_CHECKING:
    import pyarrow

_INT64 = range(-(1 << 63), 1 << 63)
# What a column without values has
_TYPES = {
    "task.index": "int64",
    "task.exit": "int64",
    "task.signal": "int64",
    "task.seconds": "float64",
    "task.attempts": "int64",
    "task.peak_mb": "float64",
}


def require_pyarrow() -> None:
    """Raise ParallelError if pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError as error:
        raise ParallelError(
            "Parquet needs the package 'pyarrow'; install it with: pip install 'covalent-parallel-plugin[tables]'"
        ) from error


def write_parquet(path: Path, records: Iterable[Record]) -> None:
    """Write the records' rows: columns of whole numbers, numbers, booleans, else texts; lists are JSON in a text.

    Raises:
        ParallelError: pyarrow is not installed. OSError: the file cannot be written.
    """
    require_pyarrow()
    from pyarrow import parquet

    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            parquet.write_table(_table(records), file)
        unfinished.replace(path)
    except OSError as error:
        # A full disk names no file
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _table(records: Iterable[Record]) -> pyarrow.Table:
    import pyarrow

    columns: dict[str, list[Any]] = {}
    count = 0
    for count, record in enumerate(records, 1):
        for name, value in record.row.items():
            column = columns.setdefault(name, [])
            # Earlier rows without it
            column += [None] * (count - 1 - len(column))
            column.append(value)
    for column in columns.values():
        column += [None] * (count - len(column))
    return pyarrow.table({encodable(name): _array(name, values) for name, values in columns.items()})


def _array(name: str, values: Sequence[Any]) -> pyarrow.Array:
    import pyarrow

    kind = _kind(values) or _TYPES.get(name, "string")
    if kind == "string":
        return pyarrow.array([None if value is None else _text(value) for value in values], "string")
    return pyarrow.array(values, kind)


def _kind(values: Iterable[Any]) -> str:
    """Return the type that holds all values without loss; "" where there is none."""
    there = [value for value in values if value is not None]
    kinds = {type(value) for value in there}
    if not kinds:
        return ""
    if kinds == {bool}:
        return "bool"
    if kinds == {int} and all(value in _INT64 for value in there):
        return "int64"
    if float in kinds and kinds <= {int, float} and all(_is_float(value) for value in there):
        return "float64"
    return "string"


def _is_float(value: float) -> bool:
    try:
        return float(value) == value or value != value
    except OverflowError:
        return False


def _text(value: Any) -> str:
    value = json_value(value)
    return encodable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def encodable(text: str) -> str:
    """Return a text as the other tables have it, without what is none in UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
