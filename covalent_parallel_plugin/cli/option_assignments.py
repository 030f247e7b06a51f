"""`key=value` of a command line as values of options: text for the option's rule, lists and mappings read here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_origin, get_type_hints

from ..errors import MistakeError
from ..settings import OPTIONS, Settings, nearest

pass

_TYPES: dict[str, Any] = {name: get_origin(hint) for name, hint in get_type_hints(Settings).items()}
# A comma ends an entry only where another one begins: "A=1,2,B=3" holds two entries, "numpy>=1,<2,scipy" too
_BETWEEN_PAIRS = re.compile(r",\s*(?=[^,=\s]+=)")
_BETWEEN_NAMES = re.compile(r",\s*(?=[A-Za-z])(?![^\[]*\])")


class RequestError(MistakeError):
    """The command line is wrong: no such file, lattice or node, wrong arguments, text that is not JSON."""


@dataclass(frozen=True)
class OptionAssignments:
    """Options on top of others: the values that were read, and a sentence for each text that gave none."""

    values: Mapping[str, object]
    mistakes: tuple[str, ...] = ()


def read_option_assignments(texts: Sequence[str]) -> OptionAssignments:
    """Each text as `key=value`.

    A list is written as JSON (`["a", "b"]`) or with commas (`a,b`), a mapping as JSON or as `name=value,name=value`.
    Given again, a list or a mapping grows, and any other option has its last value. An empty value is the option's
    default. What the option's rule says to a value is for the caller to ask.

    Raises:
        RequestError: a text without "=".
    """
    values: dict[str, object] = {}
    mistakes = []
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals:
            raise RequestError(f"{text!r} is no key=value")
        if name not in OPTIONS:
            near = nearest(name, OPTIONS)
            mistakes.append(f"{name!r} is no option{f' (did you mean {near!r}?)' if near else ''}")
            continue
        try:
            values[name] = _joined(values.get(name), read_value(name, value))
        except ValueError as error:
            mistakes.append(f"{name} = {value!r} {error}")
    return OptionAssignments(values, tuple(mistakes))


def read_value(name: str, text: str) -> object:
    """The text as a list or mapping where the option is one, else as it stands.

    Raises:
        ValueError: it is neither JSON nor the short form; the text follows "option = value".
    """
    is_mapping = _TYPES[name] is Mapping
    if not is_mapping and _TYPES[name] is not Sequence:
        return text
    text = text.strip()
    if not text:
        return text
    if text.startswith("{" if is_mapping else "["):
        try:
            return json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"is no JSON: {error}") from error
    if not is_mapping:
        return [part.strip() for part in _BETWEEN_NAMES.split(text)]
    pairs = [part.partition("=") for part in _BETWEEN_PAIRS.split(text)]
    wrong = [key for key, equals, _ in pairs if not equals]
    if wrong:
        raise ValueError(f"holds {wrong[0]!r} without '=': write name=value,name=value, or JSON")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _joined(before: object, value: object) -> object:
    if isinstance(before, dict) and isinstance(value, dict):
        return {**before, **value}
    if isinstance(before, list) and isinstance(value, list):
        return [*before, *value]
    return value
