"""What was made of plain values before: thousands of electrons of one lattice bring the same options."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Generic, TypeVar, cast

V = TypeVar("V")

MOST = 256
PLAIN = frozenset({str, int, float, bool, type(None)})


class Remembered(Generic[V]):
    """Results by the plain values that they were made of, the latest few hundred; what is given out is shared."""

    def __init__(self) -> None:
        self._made: dict[str, V] = {}

    def of(self, values: object, make: Callable[[], V]) -> V:
        """What `make` gave for equal values of the same types before, or gives now; its errors are not kept.

        Values that are more than strings, numbers, None, and dicts, lists and tuples of these are made anew each time.
        """
        key = words_of(values)
        if key is None:
            return make()
        made = self._made.get(key)
        if made is None:
            made = make()
            if len(self._made) >= MOST:
                self._made.clear()
            self._made[key] = made
        return made


def words_of(value: object) -> str | None:
    """A text that only equal values of the same types have; None of a value that holds anything but plain ones."""
    try:
        return repr(value) if _is_plain(value) else None
    except (RecursionError, ValueError):
        # Lists in lists in lists; an integer of thousands of digits
        return None


def _is_plain(value: object) -> bool:
    kind = type(value)
    if kind in PLAIN:
        return True
    if kind is dict:
        entries = cast("dict[object, object]", value)
        return _are_plain(entries) and _are_plain(entries.values())
    return kind in (list, tuple) and _are_plain(cast("list[object]", value))


def _are_plain(values: Collection[object]) -> bool:
    # The first is the quick way to say yes.
    return PLAIN.issuperset(map(type, values)) or all(map(_is_plain, values))
