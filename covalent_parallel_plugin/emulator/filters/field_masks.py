"""Parse and apply the system parameter `x-goog-fieldmask`: which fields of a response the caller wants.

The form is that of https://cloud.google.com/apis/docs/system-parameters: paths with dots, separated by commas, in the
names of the messages or in JSON's; `*` is all fields. A path goes through lists (with or without a `*` for "each") and
into maps by key.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..model.errors import RpcError

HEADER = "x-goog-fieldmask"
Fields = Mapping[str, "Fields"]
"""Wanted fields by name (or keys of a map), each with what is wanted of it; nothing inside is everything."""
EVERYTHING: Fields = {}


@lru_cache(maxsize=256)
def parse_mask(text: str, descriptor: Any) -> Fields:
    """Read a mask for messages of this type; an empty one is everything. Raises RpcError (INVALID_ARGUMENT)."""
    root: dict[str, Any] = {}
    for path in text.split(",") if text else ():
        names = _names(path, descriptor)
        if names is None:
            raise RpcError("INVALID_ARGUMENT", f"{HEADER} {text!r}: {path!r} is not a field of {descriptor.full_name}")
        if not names:
            return EVERYTHING
        _enter(root, names)
    return root


def apply_mask(message: Any, fields: Fields) -> None:
    """Clear all other fields of a message."""
    if not fields:
        return
    for field, value in message.ListFields():
        if field.name not in fields:
            message.ClearField(field.name)
            continue
        inside = fields[field.name]
        if not inside:
            continue
        if _is_map(field):
            _keep_keys(value, inside, has_messages=_value_type(field) is not None)
        elif _is_repeated(field):
            for each in value:
                apply_mask(each, inside)
        else:
            apply_mask(value, inside)


def _names(path: str, descriptor: Any) -> list[str] | None:
    """Return a path's names as the messages have them, [] for everything; None where it leads nowhere."""
    found: list[str] = []
    words = path.split(".")
    while words:
        word = words.pop(0)
        if descriptor is None:
            return None
        if word == "*":
            return found if not words else None
        field = descriptor.fields_by_name.get(word) or descriptor.fields_by_camelcase_name.get(word)
        if field is None:
            return None
        found.append(field.name)
        descriptor = field.message_type
        if _is_map(field):
            descriptor = _value_type(field)
            if words:
                found.append(words.pop(0))
        elif _is_repeated(field) and words[:1] == ["*"]:
            words.pop(0)
    return found


def _enter(root: dict[str, Any], names: list[str]) -> None:
    for name in names[:-1]:
        if name in root and not root[name]:
            return  # all of it is wanted already
        root = root.setdefault(name, {})
    root[names[-1]] = {}


def _keep_keys(values: Any, wanted: Fields, *, has_messages: bool) -> None:
    for key in list(values):
        inside = wanted.get(str(key), wanted.get("*"))
        if inside is None:
            del values[key]
        elif has_messages:
            apply_mask(values[key], inside)


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _is_repeated(field: Any) -> bool:
    # protobuf 6 has the first and will lose the second
    repeated = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if repeated is None else repeated)


def _value_type(field: Any) -> Any:
    return field.message_type.fields_by_name["value"].message_type
