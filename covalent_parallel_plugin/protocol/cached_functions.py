"""What `functools` makes of functions, in pickles: by value, as the script's other functions are."""

from __future__ import annotations

import functools
import sys
import weakref
from typing import Any, Tuple, Union

_cached: Any = functools.lru_cache(maxsize=None)(len)
LRU_CACHE: Any = type(_cached)


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


def _reduce_property(cached: Any) -> "Tuple[Any, ...]":
    state = {name: value for name, value in vars(cached).items() if name != "lock"}
    return functools.cached_property, (cached.func,), state


def _reduce_weak_keys(mapping: Any) -> "Tuple[Any, ...]":
    return weakref.WeakKeyDictionary, (dict(mapping),)


def _reduce(cached: Any) -> "Union[str, Tuple[Any, ...]]":
    module, name = str(cached.__module__), str(cached.__qualname__)
    if module != "__main__" and _by_name(sys.modules.get(module), name) is cached:
        return name
    parameters = cached.cache_parameters() if hasattr(cached, "cache_parameters") else {"maxsize": 128, "typed": False}
    information: Any = functools._CacheInfo
    return (
        LRU_CACHE,
        (cached.__wrapped__, parameters["maxsize"], parameters["typed"], information),
        dict(cached.__dict__),
    )


def _by_name(module: Any, name: str) -> object:
    for part in name.split("."):
        module = getattr(module, part, None)
    return module
