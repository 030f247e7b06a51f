"""Cut an answer down to what the parameter `fields` of Google's JSON APIs selects.

Source: "Partial response" in Cloud Storage's documentation: `a,b` selects both, `a/b` and `a(b,c)` what is inside, `*`
everything at its place; a list's entries are cut down one by one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .refusals import StorageRefusal

# None is all of a field
_Selected = Mapping[str, Any]
_TOKEN = re.compile(r"[\w*.-]+|[(),/]|\s+")
_DEEPEST = 50


def select_fields(content: Any, fields: str) -> Any:
    """Return what of an answer the text selects. Raises StorageRefusal: 400 for one that cannot be read."""
    return _cut(content, _read_all(fields))


def _read_all(fields: str) -> _Selected:
    tokens = _TOKEN.findall(fields)
    selected, rest = _read_list([token for token in tokens if token.strip()], fields, 0)
    if rest or "".join(tokens) != fields:
        raise _invalid(fields)
    return selected


def _read_list(tokens: list[str], fields: str, depth: int) -> tuple[_Selected, list[str]]:
    selected: dict[str, Any] = {}
    if depth > _DEEPEST:
        raise _invalid(fields)
    while True:
        name, inner, tokens = _read_path(tokens, fields, depth)
        before = selected.get(name, {})
        selected[name] = None if inner is None or before is None else {**before, **inner}
        if tokens[:1] != [","]:
            return selected, tokens
        tokens = tokens[1:]


def _read_path(tokens: list[str], fields: str, depth: int) -> tuple[str, _Selected | None, list[str]]:
    if not tokens or tokens[0] in "(),/":
        raise _invalid(fields)
    name, tokens = tokens[0], tokens[1:]
    if tokens[:1] == ["/"]:
        if depth > _DEEPEST:
            raise _invalid(fields)
        inner_name, deeper, tokens = _read_path(tokens[1:], fields, depth + 1)
        return name, {inner_name: deeper}, tokens
    if tokens[:1] == ["("]:
        inner, tokens = _read_list(tokens[1:], fields, depth + 1)
        if tokens[:1] != [")"]:
            raise _invalid(fields)
        return name, inner, tokens[1:]
    return name, None, tokens


def _cut(content: Any, selected: _Selected | None) -> Any:
    if selected is None:
        return content
    if isinstance(content, list):
        return [_cut(entry, selected) for entry in content]
    if not isinstance(content, dict):
        return content
    everywhere = selected.get("*", {})
    return {
        key: _cut(value, selected.get(key, everywhere))
        for key, value in content.items()
        if key in selected or "*" in selected
    }


def _invalid(fields: str) -> StorageRefusal:
    return StorageRefusal(400, "invalidParameter", f"Invalid field selection {fields[:200]}")
