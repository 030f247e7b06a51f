"""The digest of a graph: equal for equal values, whatever memory numbers and orders of sets their pickles have.

Objects that can change are numbered as they are met, so that a list that is in two places differs from two equal
lists, and cycles end. All others are the same as equal ones.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Any

from ..modules.pickled_names import MOST_OPCODES
from .pickle_node import BY_VALUE, UNORDERED, Kind, Node, UnreadableError

# Steps through the graph, each one child of a node: beyond what any pickler makes of so many opcodes
MOST_STEPS = 10 * MOST_OPCODES
# Objects in a set are told apart by what is so near to them; others stay in the pickle's order.
MOST_ROUNDS = 12
# Longer texts and bytes are replaced by their own digest.
_INLINE_BYTES = 256


def graph_digest(root: Node) -> bytes:
    """Return the SHA-256 of a graph.

    Raises:
        UnreadableError: it takes too long: no pickler makes it.
    """
    return _Digester().token(root)[1:]


class _Frame:
    """A node that is being read: what is left of it, and what there is so far."""

    __slots__ = ("node", "numbered", "rest", "tokens")

    def __init__(self, node: Node, rest: Iterator[Any], numbered: int) -> None:
        self.node, self.rest, self.numbered = node, rest, numbered
        self.tokens: list[bytes] = []


class _Digester:
    def __init__(self) -> None:
        self._numbers: dict[Node, int] = {}
        # Of objects by value, once all that they hold is numbered
        self._tokens: dict[Node, bytes] = {}
        # How many were numbered when one by value was entered that is not left yet
        self._open: dict[Node, int] = {}
        self._colors: dict[tuple[Node, int], bytes] = {}
        self._left = MOST_STEPS

    def token(self, root: Node) -> bytes:
        """What stands for a node in others; without recursion, so that any depth will do."""
        frames = [self._entered(root)]
        while True:
            frame = frames[-1]
            for part in frame.rest:
                if type(part) is not Node:
                    frame.tokens.append(encoded(part))
                    continue
                known = self._known(part)
                if known is None:
                    frames.append(self._entered(part))
                    break
                frame.tokens.append(known)
            else:
                token = _digest(frame.tokens)
                if frame.node.kind in BY_VALUE and len(self._numbers) == frame.numbered:
                    self._tokens[frame.node] = token
                frames.pop()
                if not frames:
                    return token
                frames[-1].tokens.append(token)

    def _known(self, node: Node) -> bytes | None:
        number = self._numbers.get(node)
        return self._tokens.get(node) if number is None else b"#%d;" % number

    def _entered(self, node: Node) -> _Frame:
        if node.kind not in BY_VALUE:
            self._numbers[node] = len(self._numbers)
        elif self._open.get(node) == len(self._numbers):
            raise UnreadableError("an object by value that holds itself")
        else:
            self._open[node] = len(self._numbers)
        return _Frame(node, iter(self._flat(node, self._ordered(node))), len(self._numbers))

    def _flat(self, node: Node, parts: list[Any]) -> list[Any]:
        """All of a node in a row, from which it could be made again."""
        flat = [node.kind.value, len(parts), *parts]
        for name, values in node.changes:
            flat += [name, len(values), *values]
        self._left -= len(flat)
        if self._left < 0:
            raise UnreadableError("a graph that no pickler makes")
        return flat

    def _ordered(self, node: Node) -> list[Any]:
        if node.kind is Kind.NAMES:
            return _by_name(node.parts)
        if node.kind not in UNORDERED or len(node.parts) < 2:
            return node.parts
        for rounds in range(MOST_ROUNDS):
            colors = [self._color(part, rounds) for part in node.parts]
            if len(set(colors)) == len(colors):
                break
        return [part for _, part in sorted(zip(colors, node.parts, strict=True), key=lambda pair: pair[0])]

    def _color(self, part: Any, rounds: int) -> bytes:
        """What is known of a part from so many steps around: the same wherever it is first met."""
        if type(part) is not Node:
            return encoded(part)
        if rounds < 0:
            return b"?%d" % part.kind.value
        known = self._colors.get((part, rounds))
        if known is None:
            parts = _by_name(part.parts) if part.kind is Kind.NAMES else part.parts
            if part.kind in UNORDERED:
                self._left -= len(parts)
                flat: list[Any] = [part.kind.value, *sorted(self._color(each, rounds - 1) for each in parts)]
            else:
                flat = self._flat(part, parts)
            known = _digest([self._color(each, rounds - 1) for each in flat])
            self._colors[part, rounds] = known
        return known


def _by_name(parts: list[Any]) -> list[Any]:
    pairs = sorted(zip(parts[::2], parts[1::2], strict=True), key=lambda pair: str(pair[0]))
    return [each for pair in pairs for each in pair]


def _digest(tokens: list[bytes]) -> bytes:
    return b"@" + hashlib.sha256(b"".join(tokens)).digest()


def encoded(value: Any) -> bytes:
    """The bytes of a plain value, from which it could be made again; of a long one its digest."""
    kind = type(value)
    if kind is str:
        return _sized(b"s", value.encode("utf-8", "surrogatepass"))
    if kind is int:
        return _sized(b"i", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    if kind is bytes:
        return _sized(b"b", value)
    if kind is float:
        return b"f" + struct.pack("<d", value)
    if kind is bool or value is None:
        return b"%c" % str(value)[0].encode()
    raise UnreadableError(f"a plain value of {kind}")


def _sized(kind: bytes, data: bytes) -> bytes:
    if len(data) > _INLINE_BYTES:
        return kind.upper() + hashlib.sha256(data).digest()
    return kind + b"%d:" % len(data) + data
