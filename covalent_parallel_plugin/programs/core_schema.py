"""Values as written, and typed by YAML 1.2's core schema; and as JSON has them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Plain = str | int | float | bool | None

# https://yaml.org/spec/1.2.2/#1032-tag-resolution
_CONSTANTS: dict[str, Plain] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
}

_INTEGER = re.compile(r"[-+]?[0-9]+")

_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")

_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")

# More digits are no number of anybody's, and Python reads no integer of more than 4,300
_MOST_DIGITS = 1000


@dataclass(frozen=True)
class ParameterValue:
    """A value.

    Attributes:
        text: as written, for commands, names, variables and templates.
        data: typed, for configuration files, JSON and the table.
    """

    text: str
    data: Plain


def core_value(text: str, is_plain: bool = True) -> ParameterValue:
    """Type a scalar by YAML 1.2's core schema; one in quotes (`is_plain` False) is text."""
    return ParameterValue(text, _core_data(text) if is_plain else text)


def _core_data(text: str) -> Plain:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _MOST_DIGITS or text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def json_value(value: Any) -> Any:
    """Return a value that JSON has: not-a-number and infinities are texts, in what is nested too."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: json_value(item) for key, item in value.items()}
    return [json_value(item) for item in value] if isinstance(value, list) else value
