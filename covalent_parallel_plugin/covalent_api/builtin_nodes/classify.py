"""Which of Covalent's own functions a pickled function is, if any, found in its pickle without loading it.

Covalent makes these functions inside its own (`covalent/_workflow/electron.py` and `postprocessing.py`, 0.240.0), so
cloudpickle writes out their code, and with it the module and the qualified name they were made under. The name in a
TransportableObject's header, which a user's function may have as well, only says where to look closer.
"""

from __future__ import annotations

import enum
import pickletools
import re
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType

MODULE = "covalent._workflow.electron"
LIST_NODE = "Electron.connect_node_with_others.<locals>._auto_list_node"
DICT_NODE = "Electron.connect_node_with_others.<locals>._auto_dict_node"
OPERATORS = ("+", "-", "*", "/", "**")
_OPERATION = re.compile("|".join(re.escape(f"_{operator}_") for operator in OPERATORS))
POSTPROCESS = "_postprocess_recursively"
# covalent._shared_files.defaults.prefix_separator
PREFIX = ":"
# How Covalent names the electron that makes a sublattice's dispatch (covalent._shared_files.defaults.sublattice_prefix)
SUBLATTICE_PREFIX = f"{PREFIX}sublattice:"

# Covalent's functions take one to two kilobytes; the postprocess node brings the lattice along
LONGEST_FUNCTION_BYTES = 64 * 1024
# What a pickle of one of them begins with, as texts, and ends with, as opcodes
FUNCTION_MAKER = ("cloudpickle.cloudpickle", "_make_function")
FUNCTION_END = b"R0."
METHOD_MAKER = (
    "cloudpickle.cloudpickle", "_builtin_type", "MethodType",
    "covalent._workflow.postprocessing", f"Postprocessor.{POSTPROCESS}",
)  # fmt: skip
METHOD_END = b"\x86\x94R\x94."
METHOD_START_BYTES = 1024


class NodeKind(enum.Enum):
    """What a node needs."""

    LIST = "list"
    DICT = "dict"
    ITEM = "item"
    NEEDS_UNPICKLING = "needs unpickling"


# By the qualified name of the function
NODES = {
    LIST_NODE: NodeKind.LIST,
    DICT_NODE: NodeKind.DICT,
    "Electron.__iter__.<locals>.get_item": NodeKind.ITEM,
    "Electron.__getitem__.<locals>.get_item": NodeKind.ITEM,
    "Electron.__getattr__.<locals>.get_attr": NodeKind.NEEDS_UNPICKLING,
    "Electron.get_op_function.<locals>.func_for_op": NodeKind.NEEDS_UNPICKLING,
}


def may_be_builtin_node(name: str) -> bool:
    """Whether one of Covalent's own functions may have this name; a user's may have it as well."""
    return (
        name == POSTPROCESS
        or name.startswith(PREFIX)
        or name in (LIST_NODE.rsplit(".", 1)[1], DICT_NODE.rsplit(".", 1)[1])
        or _OPERATION.search(name) is not None
    )


def kind_of(name: str, function: bytes) -> NodeKind | None:
    """The kind of the node whose function has this name and pickle; None if it is none of Covalent's own."""
    if name == POSTPROCESS:
        start = bytes(function[:METHOD_START_BYTES])
        is_it = function[-len(METHOD_END) :] == METHOD_END and _texts(start, len(METHOD_MAKER)) == METHOD_MAKER
        return NodeKind.NEEDS_UNPICKLING if is_it else None
    if not may_be_builtin_node(name) or len(function) > LONGEST_FUNCTION_BYTES:
        return None
    return _function_kind(bytes(function))


@lru_cache(256)
def _function_kind(function: bytes) -> NodeKind | None:
    if not function.endswith(FUNCTION_END) or _texts(function, len(FUNCTION_MAKER)) != FUNCTION_MAKER:
        return None
    made_as = _state(function, ("__module__", "__qualname__"))
    if made_as.get("__module__") != MODULE:
        return None
    name = made_as.get("__qualname__", "")
    kind = NODES.get(name)
    if kind in (None, NodeKind.NEEDS_UNPICKLING):
        return kind
    # What is done here without loading is what this version of Covalent does; another one's function is run.
    code = _installed_code(name)
    return kind if code is not None and code.co_code in function else NodeKind.NEEDS_UNPICKLING


def _installed_code(made_as: str) -> CodeType | None:
    from covalent._workflow.electron import Electron

    _, method, _, name = made_as.split(".")
    constants = getattr(Electron, method).__code__.co_consts
    return next((found for found in constants if isinstance(found, CodeType) and found.co_name == name), None)


def _texts(data: bytes, count: int) -> tuple[str, ...]:
    """The first texts in a pickle."""
    found = []
    for text in _values(data):
        if text is not None:
            found.append(text)
            if len(found) == count:
                break
    return tuple(found)


def _state(data: bytes, keys: tuple[str, ...]) -> dict[str, str]:
    """The texts that follow these keys in a pickle, of each key the last one: a function's own state comes last."""
    found: dict[str, str] = {}
    before: str | None = None
    for text in _values(data):
        if before in keys and text is not None:
            found[before] = text
        before = text
    return found


def _values(data: bytes) -> Iterator[str | None]:
    """For each opcode that leaves something on the pickle machine's stack the text that this is, None if it is none.

    Ends where the data are no pickle any more.
    """
    memo: dict[object, str | None] = {}
    last: str | None = None
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "MEMOIZE":
                memo[len(memo)] = last
            elif opcode.name in ("BINPUT", "LONG_BINPUT"):
                memo[argument] = last
            elif opcode.stack_after:
                is_recalled = opcode.name in ("BINGET", "LONG_BINGET")
                last = memo.get(argument) if is_recalled else argument if isinstance(argument, str) else None
                yield last
            else:
                last = None
    except ValueError:
        return
