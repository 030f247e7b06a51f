"""Names of tasks, which are names of folders: what varies over the sweep, or a pattern; never another folder's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from .combinations import Grid
from .placeholders import Template

MOST_BYTES = 100
KEY_DIGITS = 8
# Of the sweep's, those that are known before it runs, and do not contain the name itself
NAME_PLACEHOLDERS = ("sweep.name", "sweep.index")
# What stands in a sweep's folder beside its tasks'; whatever else does begins with a dot
RESERVED = frozenset({"sweep.yaml", "journal.jsonl", "results.csv", "results.json"})
_ILLEGAL = re.compile(r"[^A-Za-z0-9._=,+-]")


def legal_name(text: str, key: Callable[[], str], end: str = "") -> str:
    """Return a text as the name of a folder below the sweep's.

    Args:
        text: any text.
        key: returns the task's key, asked for where the name is cut.
        end: what comes after the text, cut or not.
    """
    name = _ILLEGAL.sub("_", text + end)
    if name.startswith("."):
        name = f"_{name[1:]}"
    if not name or name.lower() in RESERVED:
        name = f"_{name}"
    if len(name) <= MOST_BYTES:
        return name
    tail = f"{_ILLEGAL.sub('_', end)}-{key()[:KEY_DIGITS]}"
    return name[: MOST_BYTES - len(tail)] + tail


def varying_parameters(grids: Sequence[Grid]) -> frozenset[str]:
    """Return the names of the parameters that are not the same, as written, in all combinations of all grids."""
    first: dict[str, str] = {}
    varying, count = set(), dict[str, int]()
    for grid in grids:
        for name, texts in _texts_by_name(grid).items():
            count[name] = count.get(name, 0) + 1
            if any(text != first.setdefault(name, text) for text in texts):
                varying.add(name)
    return frozenset(varying | {name for name, times in count.items() if times < len(grids)})


def _texts_by_name(grid: Grid) -> dict[str, list[str]]:
    texts = {
        name: [row[column].text for row in axis.rows] for axis in grid.axes for column, name in enumerate(axis.names)
    }
    for included in grid.include:
        for name, value in included.values.items():
            texts.setdefault(name, []).append(value.text)
    return texts


class NamePattern:
    """The names of one grid's tasks.

    Args:
        text: the pattern.
        end: what a name ends with, also where it is cut.
        sweep_name: the sweep's.
    """

    def __init__(self, text: str, end: str, sweep_name: str):
        self._text, self._end = Template.parse(text), Template.parse(end)
        self._sweep_name = sweep_name if any(name in NAME_PLACEHOLDERS for name in self._text.names) else None

    def name(self, texts: Mapping[str, str], index: int, key: Callable[[], str]) -> str:
        """Return a task's name, from the texts of its parameters and its index in the sweep."""
        if self._sweep_name is not None:
            texts = {**texts, "sweep.name": self._sweep_name, "sweep.index": str(index)}
        return legal_name(self._text.fill(texts), key, self._end.fill(texts))


def name_patterns(grids: Sequence[Grid], sweep_name: str) -> list[NamePattern]:
    """Return each grid's pattern: its own, or what varies over the sweep, or else the sweep's name."""
    varying = varying_parameters(grids)
    is_repeated = any(grid.repeat not in (None, 1) for grid in grids)
    patterns = []
    for grid in grids:
        if grid.task_name is not None:
            patterns.append(NamePattern(grid.task_name.text, "", sweep_name))
            continue
        text = ",".join(f"{name}={{{name}}}" for name in grid.names if name in varying)
        end = "repeat={repeat}" if is_repeated and grid.repeat is not None else ""
        comma = "," if text and end else ""
        patterns.append(NamePattern(text if text or end else sweep_name, comma + end, sweep_name))
    return patterns
