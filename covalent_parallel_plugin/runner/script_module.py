"""The electron's `__main__`: a module in which the script's functions have the names that they had in the script."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any, Callable, Dict

POOLS = "multiprocessing.reduction"


def new_main() -> None:
    """Replace `__main__`, which is the runner's, and have `multiprocessing` send the script's functions by value."""
    main = ModuleType("__main__")
    # With this name a worker process that is no fork looks for no file to run (multiprocessing.spawn).
    main.__spec__ = type(os.__spec__)("__main__", None)
    sys.modules["__main__"] = main
    # Loaded now: the electron may delete what it is loaded from.
    from .pool_pickles import send_by_value

    sys.meta_path.insert(0, _PoolFinder(send_by_value))


class _PoolFinder:
    """Finds nothing itself: it learns when `multiprocessing` is imported, which few electrons do."""

    def __init__(self, teach: Callable[[ModuleType], None]):
        self._teach = teach

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != POOLS:
            return None
        sys.meta_path.remove(self)
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path)
        spec = next((each for each in found if each is not None), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_teach(module: ModuleType) -> None:
            execute(module)
            if module.__name__ == POOLS:
                self._teach(module)

        spec.loader.exec_module = execute_and_teach  # type: ignore[method-assign]  # of this one loader
        return spec


def loads_script(cloudpickle: Any) -> Callable[[Any], Any]:
    """A `cloudpickle.loads` that gives the script's functions the names in `__main__` as their globals."""
    module = cloudpickle.cloudpickle
    make = getattr(module, "_make_function", None)

    def make_in_main(code: Any, base_globals: Dict[str, Any], *rest: Any) -> Any:
        if base_globals.get("__name__") == "__main__":
            names = vars(sys.modules["__main__"])
            names.update((key, value) for key, value in base_globals.items() if key not in names)
            base_globals = names
        return make(code, base_globals, *rest)  # type: ignore[misc]  # there is one

    def loads(data: Any) -> Any:
        if make is None:
            return cloudpickle.loads(data)
        module._make_function = make_in_main
        try:
            return cloudpickle.loads(data)
        finally:
            module._make_function = make

    return loads
