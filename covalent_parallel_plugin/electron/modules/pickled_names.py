"""The modules that a pickle names, read from its opcodes: nothing that it holds is loaded or called."""

from __future__ import annotations

import binascii
import math
import pickletools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from opcode import opmap
from pathlib import PurePath
from typing import Any, NamedTuple

from ...protocol.envelope import python_minor

# Pickles in pickles: an item of a map, a lattice as the argument of what builds its graph
MOST_NESTED = 6
# So much of an argument is read closely: a second's work. Its classes are mostly named at its beginning.
MOST_OPCODES = 200_000
RUNNING_PYTHON = python_minor(sys.version)
# How a pickle of protocol 4 or 5 with a frame begins, also in base64
_PICKLE_STARTS = (b"\x80\x04\x95", b"\x80\x05\x95")
_BASE64_STARTS = ("gASV", "gAWV")
# What imports a module by a text
_IMPORTERS = {"import_module", "__import__"}
# Where the arguments of a code object are (types.CodeType, from Python 3.8 on)
_CODE, _CONSTANTS, _NAMES, _LEAST_ARGUMENTS = 6, 7, 8, 16
_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}


@dataclass(frozen=True)
class PickledNames:
    """What pickles say of imports.

    Attributes:
        modules: names without a dot, of modules whose functions or classes are named, or that code imports.
        folders: where the files are that functions were written in, as a program would have them on sys.path.
    """

    modules: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()

    def __or__(self, other: PickledNames) -> PickledNames:
        return PickledNames(self.modules | other.modules, tuple(dict.fromkeys(self.folders + other.folders)))


def read_names(pickle: bytes, python: str) -> PickledNames:
    """Read what a pickle says of imports; `python` is the version of what made it, such as "3.11.7".

    What is no pickle, or ends early, says what was read of it so far.
    """
    reader = _Reader(python_minor(python))
    reader.read(pickle, 0)
    return PickledNames(frozenset(name.partition(".")[0] for name in reader.modules), tuple(reader.folders))


def read_argument(pickle: bytes, python: str, own: Iterable[str]) -> PickledNames:
    """Read an argument's pickle as `read_names` does; in the rest of a long one only own modules' classes are found."""
    reader = _Reader(python_minor(python), left=MOST_OPCODES)
    reader.read(pickle, 0)
    found = {name.partition(".")[0] for name in reader.modules}
    if reader.left < 0:
        found.update(_modules_of_classes(pickle, own))
    return PickledNames(frozenset(found), tuple(reader.folders))


def _modules_of_classes(pickle: bytes, own: Iterable[str]) -> set[str]:
    """Which modules' names, with the name of something in them, stand before a STACK_GLOBAL, or in a GLOBAL."""
    there = [re.escape(name) for name in map(str.encode, own) if name in pickle]
    if not there:
        return set()
    name = rb"(" + rb"|".join(there) + rb")(?:\.[\w.]+)?"
    text, get = rb"(?:\x8c.|X.{4})", rb"(?:h.|j.{4})"
    stack_global = text + name + rb"\x94?(?:" + text + rb"[^\x93]{1,500}?\x94?|" + get + rb")\x93"
    found = re.finditer(stack_global + rb"|c" + name + rb"\n", pickle, re.DOTALL)
    return {(match[1] or match[2]).decode() for match in found}


class _Name(NamedTuple):
    """A function or class that the pickle names."""

    module: str
    name: str


@dataclass
class _Reader:
    """Follows the stack of a pickle with texts, bytes, numbers, tuples and dicts; all else is None there."""

    python: str
    modules: set[str] = field(default_factory=set)
    folders: dict[str, None] = field(default_factory=dict)
    left: float = math.inf

    def read(self, pickle: bytes, depth: int) -> None:
        if depth > MOST_NESTED:
            return
        stack: list[Any] = []
        memo: dict[int, Any] = {}
        try:
            for opcode, argument, _ in pickletools.genops(pickle):
                self.left -= 1
                if self.left < 0:
                    return
                self._step(opcode, argument, stack, memo, depth)
        except (ValueError, IndexError, KeyError):
            # It was cut off, or no pickler made it: the runner is the one to refuse it.
            return

    def _step(
        self, opcode: pickletools.OpcodeInfo, argument: Any, stack: list[Any], memo: dict[int, Any], depth: int
    ) -> None:
        name = opcode.name
        if name in _PUTS:
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in _GETS:
            stack.append(memo[argument])
        elif name == "MARK":
            stack.append(pickletools.markobject)
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "POP":
            stack.pop()
        else:
            taken = _taken(opcode, stack)
            stack.extend(self._made(name, argument, taken, len(opcode.stack_after), depth))

    def _made(self, name: str, argument: Any, taken: list[Any], count: int, depth: int) -> Sequence[Any]:
        """What an opcode leaves on the stack."""
        if name in _TUPLES:
            return [tuple(taken)]
        if name == "EMPTY_DICT":
            return [{}]
        if name in ("SETITEM", "SETITEMS", "DICT"):
            return self._with_items({} if name == "DICT" else taken[0], taken if name == "DICT" else taken[1:])
        if name in ("GLOBAL", "STACK_GLOBAL", "INST"):
            module, _, function = argument.partition(" ") if name != "STACK_GLOBAL" else (taken[0], "", taken[1])
            self.modules.add(str(module))
            return [_Name(str(module), str(function))] if name != "INST" else [None]
        if name in ("REDUCE", "BUILD", "APPEND", "APPENDS", "ADDITEMS"):
            if name == "REDUCE":
                self._note_call(*taken)
            return [None]
        if not taken and count == 1:
            self._note_nested(argument, depth)
            return [argument]
        return [None] * count

    def _with_items(self, owner: Any, items: list[Any]) -> list[Any]:
        if isinstance(owner, dict):
            pairs = zip(items[::2], items[1::2], strict=False)
            owner.update((key, value) for key, value in pairs if isinstance(key, str))
            self._note_file(owner)
        return [owner]

    def _note_file(self, names: dict[str, Any]) -> None:
        """Take the folder from the globals of a function that is pickled by value."""
        file, package = names.get("__file__"), names.get("__package__")
        if isinstance(file, str) and "__name__" in names:
            depth = len(package.split(".")) if isinstance(package, str) and package else 0
            parents = PurePath(file).parents
            if depth < len(parents):
                self.folders[str(parents[depth])] = None
        if isinstance(package, str) and package and "__name__" in names:
            # Its relative imports are from there.
            self.modules.add(package)

    def _note_call(self, function: Any, arguments: Any) -> None:
        if not isinstance(arguments, tuple):
            return
        if isinstance(function, _Name) and function.name == "subimport" and len(arguments) == 1:
            self.modules.add(str(arguments[0]))
        elif len(arguments) >= _LEAST_ARGUMENTS and isinstance(arguments[_CODE], bytes):
            constants, names = arguments[_CONSTANTS], arguments[_NAMES]
            if isinstance(constants, tuple) and isinstance(names, tuple):
                self.modules.update(self._imported(arguments[_CODE], constants, names))

    def _imported(self, code: bytes, constants: tuple[Any, ...], names: tuple[Any, ...]) -> Iterator[str]:
        """The modules that a code object imports; where another Python made it, whatever may be one."""
        texts = [name for name in names if isinstance(name, str)]
        if _IMPORTERS.intersection(texts):
            yield from (text for text in constants if isinstance(text, str) and text.replace(".", "_").isidentifier())
        if self.python != RUNNING_PYTHON:
            yield from texts
            return
        wide = 0
        for offset in range(0, len(code) - 1, 2):
            operation, argument = code[offset], code[offset + 1] | wide
            wide = argument << 8 if operation == opmap["EXTENDED_ARG"] else 0
            if operation == opmap["IMPORT_NAME"] and argument < len(names):
                yield str(names[argument])

    def _note_nested(self, value: Any, depth: int) -> None:
        if isinstance(value, (bytes, bytearray)) and value.startswith(_PICKLE_STARTS) and value.endswith(b"."):
            self.read(bytes(value), depth + 1)
        elif isinstance(value, str) and value.startswith(_BASE64_STARTS):
            try:
                self.read(binascii.a2b_base64(value), depth + 1)
            except binascii.Error:
                return


def _taken(opcode: pickletools.OpcodeInfo, stack: list[Any]) -> list[Any]:
    """What an opcode takes off the stack, without a mark."""
    before = opcode.stack_before
    if pickletools.markobject in before:
        at = len(stack) - 1 - stack[::-1].index(pickletools.markobject)
        first = at - before.index(pickletools.markobject)
        taken = [*stack[first:at], *stack[at + 1 :]]
    else:
        first = len(stack) - len(before)
        taken = stack[first:]
    if first < 0:
        raise IndexError("the stack is empty")
    del stack[first:]
    return taken
