"""Read a pickle's opcodes into a graph of what it makes: nothing that it names is imported or called."""

from __future__ import annotations

import binascii
import pickletools
from collections.abc import Callable
from typing import Any

from ..modules.pickled_names import MOST_NESTED, MOST_OPCODES
from .cloudpickle_forms import call_node, name_of, note_setter
from .pickle_node import Kind, Node, UnreadableError

_OF_ODD_PICKLES = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError)
# Each loads the pickle that is its argument.
_LOADERS = {"_pickle loads", "pickle loads"}
# What a TransportableObject of Covalent has, also where it is a dict: pickle in base64, `str()`, versions and name
_WRAPPED = ("_object", "_object_string", "_header")


def read_graph(pickle: bytes) -> Node:
    """Return the node of a pickle.

    Raises:
        UnreadableError: see there.
    """
    return _Reader().read(pickle, 0)


class _Reader:
    """Reads a pickle and those in it, up to so many opcodes together."""

    def __init__(self) -> None:
        self.left = MOST_OPCODES

    def read(self, pickle: bytes, depth: int) -> Node:
        if depth > MOST_NESTED:
            raise UnreadableError("pickles in pickles")
        machine = _Machine(lambda inner: self.read(inner, depth + 1))
        try:
            for opcode, argument, _ in pickletools.genops(pickle):
                self.left -= 1
                if self.left < 0:
                    raise UnreadableError(f"more than {MOST_OPCODES} opcodes")
                step = _STEPS.get(opcode.name)
                if step is not None:
                    step(machine, argument)
                elif opcode.name not in _SKIPPED:
                    machine.push(argument)
            return Node(Kind.PICKLE, [machine.stack.pop(), *machine.effects])
        except (*_OF_ODD_PICKLES, DeprecationWarning) as error:
            # The warning is pickletools' one of odd escapes, where warnings are errors.
            raise UnreadableError(f"cut off, or made by no pickler: {error}") from error


class _Machine:
    """The stack and the memory of the pickle machine, with nodes in the place of objects."""

    def __init__(self, read: Callable[[bytes], Node]) -> None:
        self.read = read
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        # Calls whose results are dropped, except those that change an object of the pickle
        self.effects: list[Node] = []

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def make(self, kind: Kind, parts: list[Any]) -> None:
        self.stack.append(Node(kind, parts))

    def take(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("the stack is empty")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def take_marked(self) -> list[Any]:
        taken, self.stack = self.stack, self.outer.pop()
        return taken

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def memoize(self, number: int | None = None) -> None:
        self.memo[len(self.memo) if number is None else number] = self.stack[-1]

    def extend(self, kind: Kind, name: str, values: list[Any]) -> None:
        """Put values into a container, or into an object that is like one."""
        owner = self.stack[-1]
        if kind is Kind.DICT and len(values) % 2:
            raise ValueError("a key without a value")
        if owner.kind is kind:
            owner.parts.extend(values)
            if kind is Kind.DICT:
                self._open_wrapped(owner)
        else:
            owner.change(name, values)

    def call(self, how: str, function: Any, arguments: Any) -> None:
        if not isinstance(arguments, Node) or arguments.kind is not Kind.TUPLE:
            raise TypeError("no arguments")
        values = list(arguments.parts)
        if name_of(function) in _LOADERS and len(values) == 1 and isinstance(values[0], bytes):
            values = [self._inner(values[0])]
        self.stack.append(call_node(how, function, values))

    def call_with_keywords(self) -> None:
        function, arguments, keywords = self.take(3)
        self.call("new", function, arguments)
        self.stack[-1].change("keywords", [keywords])

    def build(self) -> None:
        state = self.stack.pop()
        self.stack[-1].change("state", [state])

    def pop(self) -> None:
        if not self.stack and self.outer:
            self.stack = self.outer.pop()
        else:
            self.drop(self.stack.pop())

    def drop(self, value: Any) -> None:
        """Keep a call whose result is dropped: it may have done something."""
        if not isinstance(value, Node) or value.kind not in (Kind.CALL, Kind.VALUE):
            return
        how, function, *arguments = value.parts
        owner = arguments[0] if arguments else None
        if how == "call" and isinstance(owner, Node) and owner.kind is Kind.CALL and not value.changes:
            note_setter(owner, function, arguments[1:])
        else:
            self.effects.append(value)

    def _inner(self, pickle: bytes) -> Any:
        """Return the graph of a pickle in this one; what is none is bytes."""
        left_as_it_is: Any = pickle
        return self.read(pickle) if pickle[:1] == b"\x80" and pickle[-1:] == b"." else left_as_it_is

    def _open_wrapped(self, wrapper: Node) -> None:
        """Leave of a value that Covalent has wrapped the graph of its pickle only."""
        if tuple(wrapper.parts[::2]) == _WRAPPED and isinstance(wrapper.parts[1], str):
            inner = self._inner(binascii.a2b_base64(wrapper.parts[1]))
            if isinstance(inner, Node):
                wrapper.parts = [_WRAPPED[0], inner]


def _refuse(machine: _Machine, argument: Any) -> None:
    raise UnreadableError("objects that are not in the pickle")


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.make(Kind.TUPLE, machine.take(count))


def _global(machine: _Machine, argument: str) -> None:
    machine.make(Kind.GLOBAL, argument.split(" ", 1))


def _stack_global(machine: _Machine, argument: Any) -> None:
    names = machine.take(2)
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a name that is not a text")
    machine.make(Kind.GLOBAL, names)


def _call(how: str) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.call(how, *machine.take(2))


def _instance(machine: _Machine, argument: str | None) -> None:
    """INST names the class, OBJ has it on the stack."""
    taken = machine.take_marked()
    function = taken.pop(0) if argument is None else Node(Kind.GLOBAL, argument.split(" ", 1))
    machine.push(call_node("instance", function, taken))


def _drop_marked(machine: _Machine, argument: Any) -> None:
    for value in machine.take_marked():
        machine.drop(value)


_SKIPPED = {"PROTO", "FRAME", "STOP"}
# What is not here leaves its argument on the stack: a number, a text, bytes.
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "BYTEARRAY8": lambda machine, data: machine.make(Kind.BYTEARRAY, [bytes(data)]),
    "MARK": lambda machine, _: machine.mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": _drop_marked,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, number: machine.memoize(number)),
    "MEMOIZE": lambda machine, _: machine.memoize(),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, number: machine.push(machine.memo[number])),
    "EMPTY_TUPLE": _tuple_of(0),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": lambda machine, _: machine.make(Kind.TUPLE, machine.take_marked()),
    "EMPTY_LIST": lambda machine, _: machine.make(Kind.LIST, []),
    "LIST": lambda machine, _: machine.make(Kind.LIST, machine.take_marked()),
    "APPEND": lambda machine, _: machine.extend(Kind.LIST, "append", machine.take(1)),
    "APPENDS": lambda machine, _: machine.extend(Kind.LIST, "append", machine.take_marked()),
    "EMPTY_DICT": lambda machine, _: machine.make(Kind.DICT, []),
    "DICT": lambda machine, _: machine.make(Kind.DICT, machine.take_marked()),
    "SETITEM": lambda machine, _: machine.extend(Kind.DICT, "items", machine.take(2)),
    "SETITEMS": lambda machine, _: machine.extend(Kind.DICT, "items", machine.take_marked()),
    "EMPTY_SET": lambda machine, _: machine.make(Kind.SET, []),
    "ADDITEMS": lambda machine, _: machine.extend(Kind.SET, "add", machine.take_marked()),
    "FROZENSET": lambda machine, _: machine.make(Kind.FROZENSET, machine.take_marked()),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), lambda machine, code: machine.make(Kind.GLOBAL, ["extension", code])),
    "REDUCE": _call("call"),
    "NEWOBJ": _call("new"),
    "NEWOBJ_EX": lambda machine, _: machine.call_with_keywords(),
    "INST": _instance,
    "OBJ": _instance,
    "BUILD": lambda machine, _: machine.build(),
    **dict.fromkeys(("PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER"), _refuse),
}
