"""Grids: parameters, zip, exclude, include, repeat and task_name, checked and counted before they are built."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import yaml

from ...programs.core_schema import core_value
from ...settings.validators import whole_number
from ..combinations import Axis, Grid, GridSize, Pattern
from ..mistakes import LocatedText, Location
from ..values import shown
from .axis_reader import AxisDraft, read_axis
from .node_reader import NodeReader, kind_of
from .parameter_rows import DELIMITERS, JSON_LINES, MAX_BYTES, name_problem, read_rows
from .yaml_nodes import location_of, read_nodes, value_of

GRID_KEYS = ("parameters", "zip", "exclude", "include", "repeat", "task_name")
_YAML = (".yaml", ".yml")
# Axes and names in one message
_MOST_SHOWN = 20


@dataclass(frozen=True)
class GridDraft:
    """A grid whose values are not made yet.

    Attributes:
        order: the parameters' names in the file's order.
        has_names: whether no name is missing.
        is_right: whether the values can be made.
    """

    axes: tuple[AxisDraft, ...]
    exclude: tuple[Pattern, ...]
    include: tuple[Pattern, ...]
    repeat: int | None
    task_name: LocatedText | None
    location: Location
    order: tuple[str, ...]
    has_names: bool
    is_right: bool

    @property
    def size(self) -> GridSize:
        """How many combinations it has, before some are excluded."""
        return GridSize(tuple(axis.count for axis in self.axes), 0, len(self.include), self.repeat or 1)

    def build(self) -> Grid:
        """Return the grid with its values."""
        axes = tuple(Axis(axis.names, axis.rows(), axis.location) for axis in self.axes)
        return Grid(axes, self.exclude, self.include, self.repeat, self.task_name, self.location, self.order)

    def outline(self) -> Grid:
        """Return the grid with empty values, of which the names only are to be used."""
        axis = Axis(self.order, [(core_value(""),) * len(self.order)], self.location)
        return Grid((axis,), (), (), self.repeat, self.task_name, self.location)


class ParameterFiles:
    """The files and the standard input that parameters come from."""

    def __init__(self, folder: Path, stdin: Callable[[], bytes] | None):
        self._folder = folder
        self._stdin = stdin
        self._read: bytes | None = None

    def content(self, name: str) -> bytes:
        """Return a file's content, or that of standard input; raises OSError, also for what is not a file."""
        if name == "-":
            if self._stdin is None:
                raise OSError("standard input holds the sweep's file itself")
            if self._read is None:
                self._read = self._stdin()
            return self._read
        path = self._folder / name
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError("not a file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)

    def shown(self, name: str) -> str:
        """Return how messages name a file: as whoever is in the same folder would."""
        return "-" if name == "-" else os.fspath(self._folder / name)


def read_grid(reader: NodeReader, fields: dict[str, yaml.Node], location: Location, files: ParameterFiles) -> GridDraft:
    """Return a grid; what is wrong is left out of it, and noted."""
    before = len(reader.mistakes)
    read = _parameters(reader, fields["parameters"], files) if "parameters" in fields else []
    axes = read or []
    # Names are not known where parameters could not be read
    lengths = {name: axis.count for axis in axes for name in axis.names} if read is not None else None
    order = tuple(name for axis in axes for name in axis.names)
    if "zip" in fields:
        axes = _zip(reader, fields["zip"], axes, lengths)
    is_right = len(reader.mistakes) == before
    exclude, include = (
        [
            pattern
            for pattern, names in (_patterns(reader, fields[key], key) if key in fields else [])
            if lengths is not None and _has_names(reader, names, key, lengths)
        ]
        for key in ("exclude", "include")
    )
    # A wrong number still makes the placeholder known
    repeat = reader.by_rule(fields["repeat"], "repeat", whole_number(least=1)) or 1 if "repeat" in fields else None
    task_name = reader.text(fields["task_name"], "task_name") if "task_name" in fields else None
    return GridDraft(
        axes=tuple(axes),
        exclude=tuple(exclude),
        include=tuple(include),
        repeat=repeat,
        task_name=task_name,
        location=location,
        order=order,
        has_names=lengths is not None,
        is_right=is_right,
    )


def lengths_text(axes: Iterable[AxisDraft | Axis]) -> str:
    """Name the axes with their lengths."""
    texts = []
    for axis in islice(axes, _MOST_SHOWN):
        length = axis.count if isinstance(axis, AxisDraft) else len(axis.rows)
        texts.append(f"{' and '.join(axis.names)} ({_values_text(length)})")
    return ", ".join(texts) or "none"


def _parameters(reader: NodeReader, node: yaml.Node, files: ParameterFiles) -> list[AxisDraft] | None:
    """Return the axes, those that are wrong with no values; None where a name may be missing."""
    if isinstance(node, yaml.MappingNode) and [key.value for key, _ in node.value] == ["file"]:
        name = node.value[0][1]
        if isinstance(name, yaml.ScalarNode):
            return _from_file(reader, name, files)
    return _mapping(reader, node)


def _mapping(reader: NodeReader, node: yaml.Node) -> list[AxisDraft] | None:
    axes, pairs = [], reader.pairs(node, "parameters")
    are_named = isinstance(node, yaml.MappingNode) and len(pairs) == len(node.value)
    for name, values in pairs:
        problem = name_problem(name.text)
        if problem:
            reader.mistake(name.location, problem)
            are_named = False
        else:
            axis = read_axis(reader, name.text, values)
            axes.append(axis if axis is not None else AxisDraft((name.text,), 0, list, location_of(values)))
    return axes if are_named else None


def _from_file(reader: NodeReader, node: yaml.ScalarNode, files: ParameterFiles) -> list[AxisDraft] | None:
    name = node.value
    suffix = "" if name == "-" else Path(name).suffix.lower()
    kinds = (*DELIMITERS, *JSON_LINES, *_YAML)
    if name != "-" and suffix not in kinds:
        reader.mistake(node, f"the file {shown(name)} has an unsupported suffix: use one of {', '.join(kinds)}")
        return None
    try:
        data = files.content(name)
    except OSError as error:
        reader.mistake(node, f"the file {shown(name)} cannot be read: {error.strerror or error}")
        return None
    if len(data) > MAX_BYTES:
        reader.mistake(node, f"the file {shown(name)} is too large: at most {MAX_BYTES:,} bytes are read")
        return None
    if suffix in _YAML:
        before = len(reader.mistakes)
        root = read_nodes(data, files.shown(name), reader.mistakes)
        if root is None and len(reader.mistakes) == before:
            reader.mistake(node, f"the file {shown(name)} is empty: write a mapping of parameters")
        return _mapping(reader, root) if root is not None else None
    rows = read_rows(data, suffix, files.shown(name), reader.mistakes)
    return [AxisDraft(rows.names, len(rows.values), lambda: list(rows.values), location_of(node))] if rows else None


def _zip(
    reader: NodeReader, node: yaml.Node, axes: list[AxisDraft], lengths: Mapping[str, int] | None
) -> list[AxisDraft]:
    """Join the axes that are grouped, each group in the place of its last one."""
    if any(len(axis.names) > 1 for axis in axes):
        reader.mistake(
            node, "zip has no meaning for rows of a file, whose values change together already: leave it out"
        )
        return axes
    places = {name: place for place, axis in enumerate(axes) for name in axis.names}
    groups: dict[int, tuple[AxisDraft, ...]] = {}
    taken: set[str] = set()
    for entry in reader.entries(node, "zip"):
        if not isinstance(entry, yaml.SequenceNode):
            reader.mistake(entry, f"an entry of zip is {kind_of(entry)}: write lists of names, zip: [[a, b], [c, d]]")
            continue
        names = reader.texts(entry, "a group of zip")
        if not names or lengths is None or not _may_be_zipped(reader, names, lengths, taken):
            continue
        members = sorted(places[name.text] for name in names)
        groups |= dict.fromkeys(members[:-1], ())
        groups[members[-1]] = group = tuple(axes[place] for place in members)
        # An axis without values is wrong itself
        if len({axis.count for axis in group}) > 1 and all(axis.count for axis in group):
            reader.mistake(entry, f"zip groups axes of unequal lengths, {lengths_text(group)}: make them equal")
    return [
        _joined(groups[place]) if place in groups else axis
        for place, axis in enumerate(axes)
        if groups.get(place) != ()
    ]


def _may_be_zipped(
    reader: NodeReader, names: Sequence[LocatedText], lengths: Mapping[str, int], taken: set[str]
) -> bool:
    """Return whether all names are of axes in no group yet; from now on they are taken."""
    before = len(reader.mistakes)
    for name in names:
        if name.text not in lengths:
            _unknown(reader, name, "zip", lengths)
        elif name.text in taken:
            reader.mistake(name.location, f"zip names {name.text!r} twice: keep it in one group")
        taken.add(name.text)
    return len(reader.mistakes) == before


def _joined(members: Sequence[AxisDraft]) -> AxisDraft:
    return AxisDraft(
        tuple(axis.names[0] for axis in members),
        members[0].count,
        lambda: [tuple(row[0] for row in rows) for rows in zip(*(axis.rows() for axis in members), strict=True)],
        members[0].location,
    )


def _patterns(reader: NodeReader, node: yaml.Node, key: str) -> list[tuple[Pattern, list[LocatedText]]]:
    found = []
    entries = [node] if isinstance(node, yaml.MappingNode) else reader.entries(node, key)
    for entry in entries:
        pairs = reader.pairs(entry, f"an entry of {key}")
        if isinstance(entry, yaml.MappingNode) and not pairs:
            reader.mistake(entry, f"an entry of {key} is empty: name a parameter and its value")
        values = {}
        for name, value in pairs:
            if isinstance(value, yaml.ScalarNode):
                values[name.text] = value_of(value)
            else:
                reader.mistake(value, f"{key} gives {name.text!r} {kind_of(value)}: write one value")
        if pairs and len(values) == len(pairs):
            found.append((Pattern(values, location_of(entry)), [name for name, _ in pairs]))
    return found


def _has_names(reader: NodeReader, names: Sequence[LocatedText], key: str, known: Mapping[str, int]) -> bool:
    """Return whether the grid has the names of an entry, and one of `include` has all that vary."""
    unknown = [name for name in names if name.text not in known]
    for name in unknown:
        _unknown(reader, name, key, known)
    if unknown or key == "exclude":
        return not unknown
    present = {name.text for name in names}
    missing = sorted(name for name, length in known.items() if length > 1 and name not in present)
    if missing:
        listed = ", ".join(missing[:_MOST_SHOWN])
        reader.mistake(names[0].location, f"include lacks {listed}: name each parameter that varies")
    return not missing


def _unknown(reader: NodeReader, name: LocatedText, key: str, known: Mapping[str, int]) -> None:
    hint = reader.hint(name.text, known)
    lengths = ", ".join(f"{axis} ({_values_text(length)})" for axis, length in islice(known.items(), _MOST_SHOWN))
    reader.mistake(
        name.location, f"{key} names {shown(name.text)}, which is not a parameter{hint}; the axes: {lengths or 'none'}"
    )


def _values_text(length: int) -> str:
    return f"{length} value" if length == 1 else f"{length} values"
