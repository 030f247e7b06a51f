"""The values of one parameter: a plain value, a list, a range of numbers; counted before any is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import yaml

from ...programs.core_schema import ParameterValue, core_value
from ...settings.validators import whole_number
from ..mistakes import Location
from ..values import decimal_range, spaced_values
from .node_reader import IN_QUOTES, NodeReader, kind_of
from .yaml_nodes import TUPLE, location_of, value_of

_RANGE = ("start", "stop", "step", "count", "scale")
_SCALES = ("linear", "log")


@dataclass(frozen=True)
class AxisDraft:
    """Parameters that change together: how many rows they have, and how to make these."""

    names: tuple[str, ...]
    count: int
    rows: Callable[[], list[tuple[ParameterValue, ...]]]
    location: Location


def read_axis(reader: NodeReader, name: str, node: yaml.Node) -> AxisDraft | None:
    """Return the values of one parameter; None if they are wrong."""
    location = location_of(node)
    if isinstance(node, yaml.ScalarNode):
        return _draft(name, [value_of(node)], location)
    if isinstance(node, yaml.MappingNode):
        return _mapping(reader, name, node)
    entries = node.value
    wrong = [entry for entry in entries if not isinstance(entry, yaml.ScalarNode)]
    for entry in wrong:
        reader.mistake(entry, f"an entry of {name!r} is {kind_of(entry)}: a list holds plain values only")
    if wrong:
        return None
    values = [value_of(entry) for entry in entries]
    if node.tag == TUPLE:
        if len(values) not in (2, 3):
            reader.mistake(
                node, f"the tuple of {name!r} has {len(values)} entries: write [start, stop] or [start, stop, step]"
            )
            return None
        return _range(reader, name, node, *values)
    if not values:
        reader.mistake(node, f"the axis {name!r} has 0 values: write one at least, or leave {name!r} out")
        return None
    return _draft(name, values, location)


def _draft(name: str, values: list[ParameterValue], location: Location) -> AxisDraft:
    return AxisDraft((name,), len(values), lambda: [(value,) for value in values], location)


def _mapping(reader: NodeReader, name: str, node: yaml.MappingNode) -> AxisDraft | None:
    before = len(reader.mistakes)
    fields = reader.fields(node, f"the range of {name!r}", _RANGE)
    if len(reader.mistakes) > before:
        return None
    numbers = {}
    for field, entry in fields.items():
        if not isinstance(entry, yaml.ScalarNode):
            reader.mistake(entry, f"{field} of {name!r} is {kind_of(entry)}: write a number")
            return None
        numbers[field] = value_of(entry)
    missing = [field for field in ("start", "stop") if field not in fields]
    if missing:
        lacking = " and ".join(missing)
        reader.mistake(node, f"the range of {name!r} lacks {lacking}: write {{start: 0, stop: 10}}; {IN_QUOTES}")
        return None
    if "count" in fields:
        return _spaced(reader, name, node, fields, numbers)
    if "scale" in fields:
        reader.mistake(fields["scale"], f"scale of {name!r} needs count: write {{start, stop, count, scale}}")
        return None
    return _range(reader, name, node, numbers["start"], numbers["stop"], numbers.get("step"))


def _range(
    reader: NodeReader,
    name: str,
    node: yaml.Node,
    start: ParameterValue,
    stop: ParameterValue,
    step: ParameterValue | None = None,
) -> AxisDraft | None:
    try:
        numbers = decimal_range(start, stop, step or core_value("1"))
    except ValueError as error:
        reader.mistake(node, f"the axis {name!r}: {error}")
        return None
    return AxisDraft((name,), numbers.count, lambda: [(value,) for value in numbers.values()], location_of(node))


def _spaced(
    reader: NodeReader, name: str, node: yaml.Node, fields: dict[str, yaml.Node], numbers: dict[str, ParameterValue]
) -> AxisDraft | None:
    if "step" in fields:
        reader.mistake(fields["step"], f"the axis {name!r} has both step and count: leave one out")
        return None
    scale = reader.choice(fields["scale"], f"scale of {name!r}", _SCALES) if "scale" in fields else "linear"
    count = reader.by_rule(fields["count"], f"count of {name!r}", whole_number(least=2))
    if not scale or count is None:
        return None
    start, stop = numbers["start"], numbers["stop"]
    try:
        # Also of a count that is too large for the values to be made, the ends are checked
        spaced_values(start, stop, 2, cast(Literal["linear", "log"], scale))
    except ValueError as error:
        reader.mistake(node, f"the axis {name!r}: {error}")
        return None
    return AxisDraft(
        (name,),
        count,
        lambda: [(value,) for value in spaced_values(start, stop, count, cast(Literal["linear", "log"], scale))],
        location_of(node),
    )
