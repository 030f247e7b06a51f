"""How the items of a map are read, chosen and passed to its function: the same on a client and in a task."""

from __future__ import annotations

from typing import Any, Callable, Iterable, List, Mapping, Sequence

from .value_text import shortened

# Covalent makes lists of the tuples that electrons are in: such an item travels as a dict with this one key
POSITIONAL = "covalent_parallel_positional"


def listed(items: Iterable[Any]) -> Sequence[Any]:
    """The items as a list.

    Raises:
        TypeError: they are no iterable, or one that nobody means: the letters of a text, the names in a table or dict.
    """
    if isinstance(items, (list, tuple)):
        return [_unwrapped(item) for item in items] if any(map(_is_wrapped, items)) else items
    kind = type(items).__name__
    if isinstance(items, (str, bytes, bytearray)):
        raise TypeError(
            "the items of a map are a list, and this is of type %s: write [%.40s]" % (kind, shortened(items))
        )
    if kind == "DataFrame":
        raise TypeError(
            "a DataFrame is iterated by its columns: for one call a row, with its columns as keyword arguments, give"
            " the map table.to_dict('records')"
        )
    if isinstance(items, Mapping):
        raise TypeError("a dict is one item: write [{...}], or grid(**{...}) for all combinations")
    try:
        return list(items)
    except TypeError as error:
        raise TypeError("the items of a map are a list, and this is of type %s: %s" % (kind, error)) from error


def _is_wrapped(item: Any) -> bool:
    return type(item) is dict and len(item) == 1 and POSITIONAL in item


def _unwrapped(item: Any) -> Any:
    return tuple(item[POSITIONAL]) if _is_wrapped(item) else item


def call_with(function: Callable[..., Any], item: Any, constants: Mapping[str, Any]) -> Any:
    """A dict holds keyword arguments, a tuple positional ones, anything else is the one argument."""
    if isinstance(item, dict):
        return function(**{**constants, **item})
    if isinstance(item, tuple):
        return function(*item, **constants)
    return function(item, **constants)


def format_indices(indices: Sequence[int]) -> str:
    """Indices as runs of equal steps, such as "3,8-20/4" for 3, 8, 12, 16, 20; the order is kept."""
    parts = []  # type: List[str]
    position = 0
    while position < len(indices):
        start = indices[position]
        end = position + 1
        step = indices[end] - start if end < len(indices) else 0
        while step > 0 and end < len(indices) and indices[end] - indices[end - 1] == step:
            end += 1
        if end - position >= 3:
            parts.append("%d-%d" % (start, indices[end - 1]) + ("/%d" % step if step > 1 else ""))
            position = end
        else:
            parts.append(str(start))
            position += 1
    return ",".join(parts)


def parse_indices(text: str) -> "List[int]":
    """The indices of "3,8-20/4": 3, 8, 12, 16, 20."""
    indices = []  # type: List[int]
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        indices.extend(range(int(first), int(last or first) + 1, int(step or 1)))
    return indices
