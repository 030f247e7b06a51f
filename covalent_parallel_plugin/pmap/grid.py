"""grid: every combination of named lists, as the items of a map; a module of its own, since it is a public name."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from typing import Any

from ..protocol.value_text import shortened
from ..settings.own_frames import hide_own_frames


@hide_own_frames
def grid(*unnamed: Any, **axes: Iterable[Any]) -> list[dict[str, Any]]:
    """Every combination of the axes' values, as dicts of keyword arguments; the last axis changes fastest.

    Raises:
        TypeError: an axis has no name, is text, no iterable, or an electron's result: write a list.
    """
    if unnamed:
        written = (f"{name}={shortened(values)}" for name, values in zip("abcdefgh", unnamed, strict=False))
        is_dict = len(unnamed) == 1 and isinstance(unnamed[0], dict)
        remedy = f"**{shortened(unnamed[0])}" if is_dict else ", ".join(written)
        raise TypeError(f"grid takes named lists: grid({remedy})")
    for name, values in axes.items():
        _refuse_electron(name, values)
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            shown = shortened(values)
            raise TypeError(f"grid({name}={shown}): an axis is a list of values: write {name}=[{shown}]")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _refuse_electron(name: str, values: object) -> None:
    """Raise TypeError for an electron's result; without Covalent there is none, and it stays unloaded."""
    if "covalent" not in sys.modules:
        return
    from ..covalent_api.graph_inputs import UNKNOWN_LENGTH, is_electron

    if is_electron(values):
        raise TypeError(f"grid({name}=...): {UNKNOWN_LENGTH}: have an electron return grid(...)")
