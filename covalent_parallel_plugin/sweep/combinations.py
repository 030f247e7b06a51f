"""Combinations of parameters: counted before they are built, and built one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import product

from ..programs.core_schema import ParameterValue
from .mistakes import LocatedText, Location

# Numbers from here on are written with an exponent; Python writes none of more than 4,300 digits
_LONG = 10**15


@dataclass(frozen=True)
class Axis:
    """Parameters that change together, one of them unless they are zipped or the rows of a file.

    Attributes:
        names: the parameters' names.
        rows: the values of all of them, row by row; a single row is a constant.
        location: its location in the file.
    """

    names: tuple[str, ...]
    rows: Sequence[tuple[ParameterValue, ...]]
    location: Location


@dataclass(frozen=True)
class Pattern:
    """An entry of `exclude` (values that a combination has) or `include` (a combination), and where it is."""

    values: Mapping[str, ParameterValue]
    location: Location


@dataclass(frozen=True)
class Grid:
    """One grid of a sweep.

    Attributes:
        axes: in the file's order; the last one changes fastest.
        repeat: how often each combination runs; None: once, and there is no `{repeat}`.
        task_name: the pattern of its tasks' names; None: from what varies.
        order: the parameters' names in the file's order, where that is not the axes'.
    """

    axes: tuple[Axis, ...]
    exclude: tuple[Pattern, ...]
    include: tuple[Pattern, ...]
    repeat: int | None
    task_name: LocatedText | None
    location: Location
    order: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names in the file's order."""
        return self.order or tuple(name for axis in self.axes for name in axis.names)

    @cached_property
    def size(self) -> GridSize:
        """How many combinations it has."""
        lengths = tuple(len(axis.rows) for axis in self.axes)
        return GridSize(lengths, self.exclusion.count() if self.exclude else 0, len(self.include), self.repeat or 1)

    @cached_property
    def exclusion(self) -> Exclusion:
        """What is excluded, looked up."""
        return Exclusion(self)


@dataclass(frozen=True)
class GridSize:
    """How many combinations a grid has, and from which factors."""

    lengths: tuple[int, ...]
    excluded: int = 0
    included: int = 0
    repeat: int = 1

    @property
    def total(self) -> int:
        """The number of combinations."""
        return (math.prod(self.lengths) - self.excluded + self.included) * self.repeat

    def __str__(self) -> str:
        text = " x ".join(_number_text(length) for length in self.lengths if length != 1) or "1"
        more = f" - {self.excluded}" if self.excluded else ""
        more += f" + {self.included}" if self.included else ""
        if self.repeat == 1:
            return text + more
        return f"{f'({text}{more})' if more else text} x {_number_text(self.repeat)}"


@dataclass(frozen=True)
class Combination:
    """One combination: its index in the whole sweep from 0 on, its grid's, its values, which repetition from 0 on."""

    index: int
    grid: int
    values: Mapping[str, ParameterValue]
    repeat: int | None


def count(grids: Sequence[Grid]) -> int:
    """Return the number of combinations, without building them."""
    return sum(grid.size.total for grid in grids)


def count_text(grids: Sequence[Grid]) -> str:
    """Return the number of combinations as the product it is: `19 x 30 = 570`."""
    return size_text([grid.size for grid in grids])


def size_text(sizes: Sequence[GridSize]) -> str:
    """Return the sum of some sizes with its factors; the number alone where there are none."""
    text, total = " + ".join(map(str, sizes)), _number_text(sum(size.total for size in sizes))
    return total if text == total else f"{text} = {total}"


def _number_text(number: int) -> str:
    return str(number) if number < _LONG else f"{Decimal(number):.3e}"


def combine(grids: Sequence[Grid]) -> Iterator[Combination]:
    """Yield the combinations in order: grid after grid, the included ones after a grid's own, repetitions innermost."""
    index = 0
    for number, grid in enumerate(grids):
        for values in _values(grid):
            for repeat in (None,) if grid.repeat is None else range(grid.repeat):
                yield Combination(index, number, values, repeat)
                index += 1


def unmatched(grid: Grid) -> list[Pattern]:
    """Return the entries of `exclude` that no combination of the grid matches; their names are the grid's."""
    return [pattern for pattern in grid.exclude if not grid.exclusion.matches(pattern)]


def _values(grid: Grid) -> Iterator[Mapping[str, ParameterValue]]:
    axes_names = [name for axis in grid.axes for name in axis.names]
    is_in_order = list(grid.names) == axes_names
    for positions in product(*(range(len(axis.rows)) for axis in grid.axes)):
        if grid.exclude and grid.exclusion.holds(positions):
            continue
        row = [value for axis, position in zip(grid.axes, positions, strict=True) for value in axis.rows[position]]
        values = dict(zip(axes_names, row, strict=True))
        yield values if is_in_order else {name: values[name] for name in grid.names}
    constants = {name: value for axis in grid.axes for name, value in zip(axis.names, axis.rows[0], strict=True)}
    for pattern in grid.include:
        values = {**constants, **pattern.values}
        yield {name: values[name] for name in grid.names}


class Exclusion:
    """The entries of `exclude`, as numbers of values: what is excluded is looked up, however many entries there are."""

    def __init__(self, grid: Grid):
        self._grid = grid
        named = {name for pattern in grid.exclude for name in pattern.values}
        self._columns = {
            name: _Column(number, [row[place] for row in axis.rows])
            for number, axis in enumerate(grid.axes)
            for place, name in enumerate(axis.names)
            if name in named
        }
        entries: dict[tuple[str, ...], set[tuple[tuple[int, ...], ...]]] = {}
        for pattern in grid.exclude:
            names = tuple(sorted(pattern.values))
            numbers = tuple(self._columns[name].numbers_of(pattern.values[name]) for name in names)
            entries.setdefault(names, set()).add(numbers)
        self._excluded = [
            ([self._columns[name] for name in names], {entry for numbers in found for entry in product(*numbers)})
            for names, found in entries.items()
        ]

    def holds(self, positions: Sequence[int]) -> bool:
        """Return whether the combination of these rows is excluded."""
        return any(
            tuple([column.numbers[positions[column.axis]] for column in columns]) in entries
            for columns, entries in self._excluded
        )

    def count(self) -> int:
        """Return how many combinations are excluded."""
        named = {column.axis for columns, _ in self._excluded for column in columns}
        lengths = [len(axis.rows) for axis in self._grid.axes]
        found = sum(
            self.holds(positions)
            for positions in product(*(range(length) if axis in named else (0,) for axis, length in enumerate(lengths)))
        )
        return found * math.prod(length for axis, length in enumerate(lengths) if axis not in named)

    def matches(self, pattern: Pattern) -> bool:
        """Return whether each axis has a row with the pattern's values."""
        by_axis: dict[int, list[tuple[_Column, tuple[int, ...]]]] = {}
        for name, value in pattern.values.items():
            column = self._columns[name]
            by_axis.setdefault(column.axis, []).append((column, column.numbers_of(value)))
        return all(
            bool(found[0][1])
            if len(found) == 1
            else bool(set.intersection(*(column.rows_of(numbers) for column, numbers in found)))
            for found in by_axis.values()
        )


class _Column:
    """The values of one parameter, numbered: the same value has the same number in each row."""

    def __init__(self, axis: int, values: Sequence[ParameterValue]):
        self.axis = axis
        self.numbers: list[int] = []
        self._by_text: dict[str, tuple[int, ...]] = {}
        self._by_data: dict[tuple[type, object], tuple[int, ...]] = {}
        known: dict[tuple[str, tuple[type, object]], int] = {}
        for value in values:
            text, data = value.text, _comparable(value)
            number = known.setdefault((text, data), len(known))
            if number == len(known) - 1 and number not in self._by_text.get(text, ()):
                self._by_text[text] = (*self._by_text.get(text, ()), number)
                self._by_data[data] = (*self._by_data.get(data, ()), number)
            self.numbers.append(number)

    @cached_property
    def _rows(self) -> Mapping[int, set[int]]:
        rows: dict[int, set[int]] = {}
        for row, number in enumerate(self.numbers):
            rows.setdefault(number, set()).add(row)
        return rows

    def numbers_of(self, value: ParameterValue) -> tuple[int, ...]:
        """Return the numbers of what equals a value: the same text, or the same data of the same kind."""
        by_text, by_data = self._by_text.get(value.text, ()), self._by_data.get(_comparable(value), ())
        return by_text if by_text == by_data else tuple(sorted({*by_text, *by_data}))

    def rows_of(self, numbers: Sequence[int]) -> set[int]:
        """Return the rows that hold numbered values."""
        return {row for number in numbers for row in self._rows[number]}


def _comparable(value: ParameterValue) -> tuple[type, object]:
    """Data with its kind: 1 equals 1.0 but not True."""
    kind = type(value.data)
    return (float if kind is int else kind), value.data
