"""Combinations of parameters: counted before they are built, and built one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .mistakes import LocatedText, Location
from .values import Value


@dataclass(frozen=True)
class Axis:
    """Parameters that change together, one of them unless they are zipped or the rows of a file.

    Attributes:
        names: of the parameters.
        rows: the values of all of them, row by row; a single row is a constant.
        location: where the file has it.
    """

    names: tuple[str, ...]
    rows: Sequence[tuple[Value, ...]]
    location: Location


@dataclass(frozen=True)
class Pattern:
    """An entry of `exclude` (values that a combination has) or `include` (a combination), and where it is."""

    values: Mapping[str, Value]
    location: Location


@dataclass(frozen=True)
class Grid:
    """One grid of a sweep.

    Attributes:
        axes: in the file's order; the last one changes fastest.
        repeat: how often each combination runs; None: once, and there is no `{repeat}`.
        task_name: the pattern of its tasks' names; None: from what varies.
    """

    axes: tuple[Axis, ...]
    exclude: tuple[Pattern, ...]
    include: tuple[Pattern, ...]
    repeat: int | None
    task_name: LocatedText | None
    location: Location


@dataclass(frozen=True)
class Combination:
    """One combination: its index in the whole sweep from 0 on, its grid's, its values, which repetition from 0 on."""

    index: int
    grid: int
    values: Mapping[str, Value]
    repeat: int | None
