"""What cloudpickle leaves out of a script's functions: those that `functools` made, and names in bodies of classes."""

from __future__ import annotations

import dis
import functools
import sys
import weakref
from types import CodeType
from typing import Any, Iterator, Set, Tuple, Union

_cached: Any = functools.lru_cache(maxsize=None)(len)
LRU_CACHE: Any = type(_cached)
# What reads a name in the body of a class; the second in what Python compiles apart there, such as annotations
NAMES_IN_CLASSES = ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")


def carry_cached_functions(cloudpickle: Any) -> None:
    """Have cloudpickle send a function that `functools.lru_cache` made, with an empty cache, as it sends the function.

    Its own name is what functools pickles: where the function was written in a script, nobody else finds it. A function
    of `functools.singledispatch` has a dict of weak references, and a cached property of old Pythons has a lock.
    """
    table = getattr(cloudpickle.CloudPickler, "dispatch_table", None)
    if table is not None:
        table[LRU_CACHE] = _reduce
        if hasattr(functools, "cached_property"):
            table[functools.cached_property] = _reduce_property
        table[weakref.WeakKeyDictionary] = _reduce_weak_keys


def carry_names_of_class_bodies(cloudpickle: Any) -> None:
    """Have cloudpickle send what the body of a class names, where a function that it sends has the class in it.

    The instruction for such a name is another one than in functions, and cloudpickle does not look for it.
    """
    module = cloudpickle.cloudpickle
    walk: Any = getattr(module, "_walk_global_ops", None)
    # Other versions of cloudpickle may have others.
    if walk is None or hasattr(walk, "__wrapped__"):
        return

    @functools.wraps(walk)
    def walk_bodies_too(code: CodeType) -> Iterator[str]:
        yield from walk(code)
        yield from _names_of_others(code)

    module._walk_global_ops = walk_bodies_too


def _names_of_others(code: CodeType) -> Iterator[str]:
    """The names that the body of a class has from outside: it reads them before it gives them a value, if it does."""
    own: Set[str] = {"__name__"}
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_NAME":
            own.add(instruction.argval)
        elif instruction.opname in NAMES_IN_CLASSES and instruction.argval not in own:
            yield instruction.argval


def _reduce_property(cached: Any) -> "Tuple[Any, ...]":
    state = {name: value for name, value in vars(cached).items() if name != "lock"}
    return functools.cached_property, (cached.func,), state


def _reduce_weak_keys(mapping: Any) -> "Tuple[Any, ...]":
    return weakref.WeakKeyDictionary, (dict(mapping),)


def _reduce(cached: Any) -> "Union[str, Tuple[Any, ...]]":
    module, name = str(cached.__module__), str(cached.__qualname__)
    if module != "__main__" and found_by_name(module, name) is cached:
        return name
    parameters = cached.cache_parameters() if hasattr(cached, "cache_parameters") else {"maxsize": 128, "typed": False}
    information: Any = functools._CacheInfo
    return (
        LRU_CACHE,
        (cached.__wrapped__, parameters["maxsize"], parameters["typed"], information),
        dict(cached.__dict__),
    )


def found_by_name(module: Any, name: str) -> Any:
    """What a module that is loaded has under a name with dots, as pickle looks for it; None if nothing."""
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
