"""What a pickle makes, as a graph: a node for each object that is not a number, a text, bytes or None."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class UnreadableError(Exception):
    """No structure can be read of a pickle: it is cut off or too long, or no pickler makes it."""


class Kind(Enum):
    """What an object is. NAMES is a dict without an order, VALUE the result of a call that nobody changes later."""

    PICKLE, TUPLE, LIST, DICT, NAMES, SET, FROZENSET, BYTEARRAY, GLOBAL, CALL, VALUE = range(11)


# Objects that nobody can tell from equal ones
BY_VALUE = frozenset({Kind.PICKLE, Kind.TUPLE, Kind.FROZENSET, Kind.GLOBAL, Kind.VALUE})
UNORDERED = frozenset({Kind.SET, Kind.FROZENSET})


@dataclass(eq=False, slots=True)
class Node:
    """An object that a pickle makes.

    Attributes:
        parts: what it holds: nodes, and plain values; of a dict keys and values by turns, of a call its kind, the
            function and the arguments.
        changes: what is done to the result of a call afterwards, such as setting its state, with what.
    """

    kind: Kind
    parts: list[Any]
    changes: list[tuple[str, list[Any]]] = field(default_factory=list)

    def change(self, name: str, values: list[Any]) -> None:
        """Note what is done to the result of a call; what follows in batches is one change.

        Raises:
            UnreadableError: it is not the result of a call.
        """
        if self.kind not in (Kind.CALL, Kind.VALUE):
            raise UnreadableError(f"{name} of {self.kind}")
        if name in ("append", "items", "add") and self.changes and self.changes[-1][0] == name:
            self.changes[-1][1].extend(values)
        else:
            self.changes.append((name, values))
