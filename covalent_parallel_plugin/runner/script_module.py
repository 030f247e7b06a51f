"""The electron's `__main__`: a module in which the script's functions and classes have the names that they had there.

What the electron's code names is there as in the script. What else came along, such as the class of an argument, is
found by its name too, as pickle looks for it, but hides nothing that other functions find among their globals.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any, Callable, Dict, List

from ..protocol.exception_record import NOT_BROUGHT

POOLS = "multiprocessing.reduction"
# What cloudpickle makes of the script's functions and classes with
_MAKERS = ("_make_function", "_make_skeleton_class", "_make_skeleton_enum")


def new_main() -> None:
    """Replace `__main__`, which is the runner's, and have `multiprocessing` send the script's functions by value."""
    main = ModuleType("__main__")
    # With this name a worker process that is no fork looks for no file to run (multiprocessing.spawn).
    main.__spec__ = type(os.__spec__)("__main__", None)
    main.__getattr__ = _FurtherNames()  # type: ignore[method-assign]  # PEP 562
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


class _FurtherNames:
    """The `__getattr__` of `__main__`: what came along without being named by the electron's code."""

    def __init__(self) -> None:
        self._found: Dict[str, Any] = {}

    def __call__(self, name: str) -> Any:
        if name in self._found:
            return self._found[name]
        hint = "" if name.startswith("__") else ": " + NOT_BROUGHT
        raise AttributeError("module '__main__' has no attribute %r%s" % (name, hint))

    def add(self, value: Any) -> None:
        """Have a function or class of the script found; the first of a name is the one."""
        if value.__module__ == "__main__" and value.__qualname__.isidentifier():
            self._found.setdefault(value.__qualname__, value)


def loads_script(cloudpickle: Any) -> Callable[[Any], Any]:
    """A `cloudpickle.loads` that gives the script's functions the names in `__main__` as their globals."""
    module = cloudpickle.cloudpickle
    # Other versions of cloudpickle may have others.
    makers = {name: getattr(module, name) for name in _MAKERS if hasattr(module, name)}

    def loads(data: Any) -> Any:
        made: List[Any] = []

        def noted(make: Callable[..., Any]) -> Callable[..., Any]:
            def make_and_note(*args: Any, **kwargs: Any) -> Any:
                value = make(*args, **kwargs)
                made.append(value)
                return value

            return make_and_note

        def make_in_main(code: Any, base_globals: Dict[str, Any], *rest: Any) -> Any:
            if base_globals.get("__name__") == "__main__":
                names = vars(sys.modules["__main__"])
                _name_package(names, base_globals.get("__package__"))
                names.update((key, value) for key, value in base_globals.items() if key not in names)
                base_globals = names
            return makers["_make_function"](code, base_globals, *rest)

        own = dict(makers, _make_function=make_in_main) if "_make_function" in makers else makers
        vars(module).update((name, noted(make)) for name, make in own.items())
        try:
            loaded = cloudpickle.loads(data)
        finally:
            vars(module).update(makers)
        _name_in_main(made)
        return loaded

    return loads


def _name_package(names: Dict[str, Any], package: Any) -> None:
    """Have relative imports of a script that ran as `python -m package.script` begin at its package."""
    if isinstance(package, str) and package and not names.get("__package__"):
        kind = type("MainSpec", (type(os.__spec__),), {"parent": package})
        names.update(__package__=package, __spec__=kind("__main__", None))


def _name_in_main(made: "List[Any]") -> None:
    """Have `__main__` find functions and classes of the script, and classes know in which class they were written."""
    classes = [value for value in made if isinstance(value, type)]
    for outer in classes:
        for name, value in vars(outer).items():
            # Compared one by one: a metaclass of the script may compare otherwise.
            if isinstance(value, type) and value.__qualname__ == name and any(value is each for each in classes):
                value.__qualname__ = "%s.%s" % (outer.__qualname__, name)
    names = vars(sys.modules["__main__"]).setdefault("__getattr__", _FurtherNames())
    if isinstance(names, _FurtherNames):
        for value in made:
            names.add(value)
