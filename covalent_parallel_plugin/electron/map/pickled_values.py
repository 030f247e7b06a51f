"""Values of a map's items by their index, each unpickled when it is asked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any


class PickledValues(Mapping[int, Any]):
    """What items returned.

    Nothing is read before it is asked for, and no value is kept: thousands of large ones do not fill the memory.

    Args:
        indices: gives the items' indices, in order; called once at most.
        read: gives the pickle of an item's value.
        remade: how a pickle of the mapping makes it again, as `__reduce__` returns it; None where it holds all values.
    """

    def __init__(
        self,
        indices: Callable[[], Collection[int]],
        read: Callable[[int], bytes],
        remade: tuple[Callable[..., PickledValues], tuple[Any, ...]] | None = None,
    ):
        self._indices_of, self._read = indices, read
        self._known: dict[int, None] | None = None
        self._remade = remade

    @property
    def _indices(self) -> dict[int, None]:
        if self._known is None:
            self._known = dict.fromkeys(self._indices_of())
        return self._known

    def __getitem__(self, index: int) -> Any:
        if index not in self._indices:
            raise KeyError(index)
        return pickle.loads(self._read(index))  # noqa: S301  # the user's own, asked for by them

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __contains__(self, index: object) -> bool:
        return index in self._indices

    def __repr__(self) -> str:
        if self._known is None:
            return "<values of a map, read when they are asked for>"
        return f"<values of {len(self._known)} items of a map, read when they are asked for>"

    def __reduce__(self) -> tuple[Any, ...]:
        return self._remade or (values_of_pickles, ({index: self._read(index) for index in self},))


def values_of_pickles(pickles: Mapping[int, bytes]) -> PickledValues:
    """Return the values that have these pickles."""
    return PickledValues(lambda: pickles, pickles.__getitem__)
