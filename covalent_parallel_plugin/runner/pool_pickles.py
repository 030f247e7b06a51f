"""What an electron sends to its own worker processes: functions and classes of the script go by value.

Put into `multiprocessing` when that is loaded. A forked worker has the script's `__main__`, and gets a name; any other
one gets what was written there, into a `__main__` of its own.
"""

from __future__ import annotations

import pickle
import sys
from types import FunctionType
from typing import Any, Dict, Tuple

from ..protocol.cached_functions import (
    LRU_CACHE,
    carry_cached_functions,
    carry_names_of_class_bodies,
    found_by_name,
)
from .script_module import loads_script

MAIN = "__main__"


def send_by_value(reduction: Any) -> None:
    """Have `multiprocessing.reduction` send by value what a worker process could not import."""
    import cloudpickle

    carry_cached_functions(cloudpickle)
    carry_names_of_class_bodies(cloudpickle)
    reduction.ForkingPickler.reducer_override = _reduce


def _reduce(pickler: object, value: Any) -> Any:
    if type(value) not in (FunctionType, LRU_CACHE) and not isinstance(value, type):
        return NotImplemented
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if found_by_name(module, name) is value and (module != MAIN or _workers_are_forks()):
        return NotImplemented
    import cloudpickle

    try:
        data = cloudpickle.dumps(value)
    except Exception as error:
        raise pickle.PicklingError(
            "%s cannot be sent to a worker process (%s: %s): write it in a module that the image has or DepsModule"
            " brings, and give it what it needs as arguments" % (name, type(error).__name__, error)
        ) from error
    return _restored, (module, name, data)


def _restored(module: str, name: str, data: bytes) -> Any:
    """In the process that receives it: what has this name in `__main__` already, or what was sent."""
    import multiprocessing.reduction

    send_by_value(multiprocessing.reduction)
    found = found_by_name(module, name) if module == MAIN else None
    return found if found is not None else _load(data)


def _workers_are_forks() -> bool:
    """Whether all worker processes of this one have what its `__main__` had when they were started.

    One that is just being started and is no fork is not among them yet.
    """
    from multiprocessing import context, process

    methods = {getattr(child._popen, "method", "") for child in set(getattr(process, "_children", ()))}
    return methods == {"fork"} and context.get_spawning_popen() is None


def _load(data: bytes) -> Any:
    """Load what was sent into `__main__`, where a name that is there already stays what it is."""
    import cloudpickle

    module = cloudpickle.cloudpickle
    set_state = module._function_setstate

    def set_new_state(function: Any, state: Tuple[Any, Dict[str, Any]]) -> None:
        names = function.__globals__
        if names is vars(sys.modules[MAIN]):
            sent = {key: value for key, value in state[1]["__globals__"].items() if key not in names}
            state = (state[0], {**state[1], "__globals__": sent})
        set_state(function, state)

    module._function_setstate = set_new_state
    try:
        return loads_script(cloudpickle)(data)
    finally:
        module._function_setstate = set_state
