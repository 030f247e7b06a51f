"""Reads a sweep's file that a test has written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from covalent_parallel_plugin.sweep.combinations import combine
from covalent_parallel_plugin.sweep.mistakes import SweepFileError
from covalent_parallel_plugin.sweep.reading.sweep_schema import read_sweep_file
from covalent_parallel_plugin.sweep.sweep_file import SweepFile

FILE = Path("sweep.yaml")


def read(text: str | bytes, path: Path = FILE, **options: Any) -> SweepFile:
    data = text if isinstance(text, bytes) else text.encode()
    return read_sweep_file(path, data, **{"is_local": True, **options})


def mistakes_of(text: str | bytes, path: Path = FILE, **options: Any) -> list[str]:
    """The lines of the message; none if there is nothing wrong."""
    try:
        read(text, path, **options)
    except SweepFileError as error:
        return str(error).splitlines()
    return []


def texts(text: str | bytes, **options: Any) -> list[dict[str, str]]:
    """The combinations' values as written."""
    return [
        {name: value.text for name, value in combination.values.items()}
        for combination in combine(read(text, **options).grids)
    ]


def data(text: str | bytes, **options: Any) -> list[dict[str, object]]:
    """The combinations' values typed."""
    return [
        {name: value.data for name, value in combination.values.items()}
        for combination in combine(read(text, **options).grids)
    ]
