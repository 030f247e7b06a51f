"""Values on their way into Covalent's graph: kept whole where Covalent would make a node of each of their parts."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import cloudpickle
from covalent._workflow.electron import Electron
from covalent._workflow.lattice import Lattice

from ..protocol.item_call import POSITIONAL

UNKNOWN_LENGTH = "how many items an electron returns is not known while the lattice is built"


class PickledValue:
    """A value that Covalent leaves alone, and that unpickles to itself.

    Of a list of 400 dicts Covalent would make 2,803 nodes.
    """

    def __init__(self, value: Any, name: str):
        self._pickle: bytes = cloudpickle.dumps(value)
        # Covalent keeps the name beside the pickle.
        self.__name__ = name

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._pickle,)

    def __repr__(self) -> str:
        return f"<{self.__name__}>"


def keywords_from_hooks(electron: Electron, lattice: Lattice) -> list[str]:
    """The keywords that `call_before` and `files` add when the electron runs; the lattice's, where it has none."""
    own = electron.get_metadata("hooks")
    hooks = lattice.get_metadata("hooks") if own is None else own
    return [
        name for hook in (hooks or {}).get("call_before") or () if (name := hook["attributes"].get("retval_keyword"))
    ]


def is_electron(value: object) -> bool:
    """Whether a value is the result of an electron, known only when that has run."""
    return isinstance(value, Electron)


def pickled_collection(value: Any) -> Any:
    """Collections without electrons in them travel whole."""
    if isinstance(value, (list, tuple, dict, set)) and not has_electrons(value):
        return PickledValue(value, type(value).__name__)
    return value


def refuse_unknown_length(items: object) -> None:
    """Refuse `zip(...)` and the like of an electron's result: Covalent has it iterate as if it were empty."""
    if isinstance(items, (zip, enumerate, map, filter)):
        for source in items.__reduce__()[1]:
            if inspect.isgenerator(source) and source.gi_code is Electron.__iter__.__code__:
                made = f"list({type(items).__name__}(...))"
                raise TypeError(f"{UNKNOWN_LENGTH}: give the map the result of an electron that returns {made}")


def shield_from_covalent(item: Any) -> Any:
    """An item of a list that Covalent makes: what is in it and holds no electron stays what it is."""
    if isinstance(item, tuple) and has_electrons(item):
        return {POSITIONAL: [pickled_collection(value) for value in item]}
    if isinstance(item, dict) and has_electrons(item):
        return {name: pickled_collection(value) for name, value in item.items()}
    return pickled_collection(item)


def has_electrons(value: Any) -> bool:
    return any(isinstance(held, Electron) for held in _within(value, set()))


def _within(value: Any, seen: set[int]) -> Iterator[Any]:
    yield value
    if not isinstance(value, (Mapping, list, tuple, set)) or id(value) in seen:
        return
    # A list may hold itself.
    seen.add(id(value))
    for held in (*value.keys(), *value.values()) if isinstance(value, Mapping) else value:
        yield from _within(held, seen)
