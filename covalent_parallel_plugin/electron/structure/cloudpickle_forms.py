"""Calls as cloudpickle writes them, without what depends on the file, the process or the version."""

from __future__ import annotations

from typing import Any

from .pickle_node import Kind, Node

# Old versions have a part of theirs in the second
_CLOUDPICKLE = ("cloudpickle.cloudpickle", "cloudpickle.cloudpickle_fast")
_OURS = "cloudpickle"
# What these make is the same as an equal one: sharing it means nothing, and unpickling may undo it.
_IMMUTABLE = frozenset(
    f"{module} {name}"
    for module, names in {
        "builtins": "complex type getattr range slice frozenset",
        "__builtin__": "complex type getattr xrange slice frozenset",
        "types": "CodeType MappingProxyType",
        "datetime": "date datetime time timedelta timezone",
        "decimal": "Decimal",
        "fractions": "Fraction",
        "uuid": "UUID",
        "pathlib": "PurePosixPath PosixPath PureWindowsPath WindowsPath",
        "ipaddress": "IPv4Address IPv6Address IPv4Network IPv6Network",
        "re": "_compile",
        "operator": "itemgetter attrgetter methodcaller",
        "logging": "getLogger",
        "_codecs": "encode",
        "numpy": "dtype",
        "numpy.core.multiarray": "scalar",
        "numpy._core.multiarray": "scalar",
        # Cells: each function has its own once it is loaded
        _OURS: "subimport _make_cell _make_empty_cell",
    }.items()
    for name in names.split()
)
# The positions of arguments that say where code was written: file, first line and table of lines, by how many
# arguments types.CodeType has (from Python 3.11 on, and before)
_PLACES_IN_CODE = {18: (10, 13, 14), 16: (10, 12, 13)}
# By these ids cloudpickle recognises a class in the process that made it.
_TRACKER_ID = {"_make_skeleton_class": (4,), "_make_skeleton_enum": (5,), "_make_typevar": (5,)}
# Which submodules are imported depends on what the process did before.
_FUNCTION_DROPPED = frozenset({"_cloudpickle_submodules"})
_GLOBALS_DROPPED = frozenset({"__file__", "__path__"})
# Line numbers, names that the body's code has as well, what copyreg notes once an instance was pickled, and the module,
# which is among the class's arguments, and here unless a base has the very same text
_CLASS_DROPPED = frozenset({"__firstlineno__", "__static_attributes__", "__slotnames__", "__module__"})


def name_of(function: Any) -> str:
    """Return module and name of a function that a pickle names; cloudpickle's own one module for all versions."""
    if not isinstance(function, Node) or function.kind is not Kind.GLOBAL:
        return ""
    module, name = function.parts
    return f"{_OURS if module in _CLOUDPICKLE else module} {name}"


def call_node(how: str, function: Any, arguments: list[Any]) -> Node:
    """Return the node of a call."""
    name = name_of(function)
    if name == f"{_OURS} _builtin_type" and len(arguments) == 1:
        return Node(Kind.GLOBAL, ["types", arguments[0]])
    if name == "builtins bytearray" and len(arguments) < 2:
        # Before protocol 5
        return Node(Kind.BYTEARRAY, arguments or [b""])
    if name == "types CodeType":
        arguments = _without(arguments, _PLACES_IN_CODE.get(len(arguments), ()))
    elif name.startswith(f"{_OURS} "):
        arguments = _without(arguments, _TRACKER_ID.get(name.partition(" ")[2], ()))
        if name == f"{_OURS} _make_function" and len(arguments) > 1:
            _make_names(arguments[1], _GLOBALS_DROPPED, optional="__package__")
    return Node(Kind.VALUE if name in _IMMUTABLE else Kind.CALL, [how, function, *arguments])


def note_setter(owner: Node, setter: Any, arguments: list[Any]) -> None:
    """Note that a function that the pickle names sets the state of an object."""
    name = name_of(setter)
    state = arguments[0] if len(arguments) == 1 else None
    if isinstance(state, Node) and state.kind is Kind.TUPLE and len(state.parts) == 2:
        if name == f"{_OURS} _function_setstate":
            for key, value in _make_names(state.parts[1], _FUNCTION_DROPPED):
                if key == "__globals__":
                    _make_names(value)
        elif name == f"{_OURS} _class_setstate":
            # Python makes the dict when a class is asked for its annotations.
            for key, value in _make_names(state.parts[0], _CLASS_DROPPED, optional="__annotations__"):
                if key == "_abc_impl" and isinstance(value, Node) and value.kind is Kind.LIST:
                    value.kind = Kind.SET
    owner.change("set", [setter, *arguments])


def _without(arguments: list[Any], positions: tuple[int, ...]) -> list[Any]:
    return [argument for position, argument in enumerate(arguments) if position not in positions]


def _make_names(names: Any, dropped: frozenset[str] = frozenset(), optional: str = "") -> list[tuple[str, Any]]:
    """Make a dict one without an order, and leave out some names, and one where it is empty; return the others."""
    if not isinstance(names, Node) or names.kind not in (Kind.DICT, Kind.NAMES):
        return []
    pairs = list(zip(names.parts[::2], names.parts[1::2], strict=True))
    if not all(isinstance(key, str) for key, _ in pairs):
        return []
    pairs = [(key, value) for key, value in pairs if key not in dropped and not (key == optional and _is_empty(value))]
    names.kind = Kind.NAMES
    names.parts = [each for pair in pairs for each in pair]
    return pairs


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, Node) and value.kind is Kind.DICT and not value.parts)
