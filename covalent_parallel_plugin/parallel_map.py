"""pmap: one electron that calls its function with many items, as one Batch job of many tasks."""

from __future__ import annotations

import functools
import itertools
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import cloudpickle
from covalent import electron as covalent_electron  # type: ignore[attr-defined]  # Covalent has no types
from covalent._shared_files.context_managers import active_lattice_manager
from covalent._workflow.electron import Electron
from covalent._workflow.lattice import Lattice

from .mark import MAPPED_FUNCTION, MAPPED_ITEMS, items_name, marked


def pmap(
    function: Callable[..., Any] | None = None,
    *,
    executor: Any = None,
    return_exceptions: bool = False,
    **electron_options: Any,
) -> Any:
    """Make of a function one that is called with many items at once: a decorator, with or without arguments.

    In a lattice, `mapped(items, **constants)` is one electron. On GCPBatchExecutor it runs as one Batch job of up to
    `max_parallel` tasks, which take turns with the items; on any other executor the items run one after the other.
    Its value is a list, in the items' order. An item that is a dict holds keyword arguments, a tuple positional ones;
    anything else is the one argument. `constants` are keyword arguments that all items share.

    Args:
        executor: as for `ct.electron`; put `max_parallel` there.
        return_exceptions: have an ElectronError in the place of each item that raised, rather than MapError for all.
        electron_options: further arguments of `ct.electron`: `deps_pip`, `call_before`, ...; hooks run once per task.

    Raises:
        TypeError: what is decorated is no plain function.
    """
    if function is None:
        return functools.partial(pmap, executor=executor, return_exceptions=return_exceptions, **electron_options)
    return ParallelMap(function, executor, return_exceptions, electron_options)


class ParallelMap:
    """A function that takes many items; see `pmap`."""

    def __init__(
        self,
        function: Callable[..., Any],
        executor: Any,
        return_exceptions: bool,
        electron_options: Mapping[str, Any],
    ):
        is_taken = hasattr(function, "electron_object") or isinstance(function, (Electron, Lattice, ParallelMap))
        if not callable(function) or is_taken:
            raise TypeError(
                f"pmap takes a plain function, and {function!r} is none: put @pmap(...) in the place of"
                " @ct.electron(...), whose arguments it takes as well"
            )
        self._function = function
        self._return_exceptions = return_exceptions
        options = dict(electron_options)
        if executor is not None:
            options["executor"] = executor
        self._electron = covalent_electron(_electron_function(function, return_exceptions), **options)
        functools.update_wrapper(self, function)

    def __call__(self, items: Any, /, **constants: Any) -> Any:
        """In a lattice: the electron. Elsewhere: the list of values, computed here."""
        if active_lattice_manager.get_active_lattice() is None:
            return self.local(items, **constants)
        if MAPPED_ITEMS in constants:
            raise TypeError(
                f"a constant of a map cannot have the name {MAPPED_ITEMS!r}, which its items travel under: rename that"
                f" parameter of {getattr(self, '__name__', 'the function')}"
            )
        if not isinstance(items, Electron):
            held = list(items)
            # With electrons among them Covalent makes the list, once they have ended.
            items = held if _has_electrons(held) else Opaque(held, items_name(len(held)))
        return self._electron(items, **{name: _opaque(value) for name, value in constants.items()})

    def local(self, items: Iterable[Any], /, **constants: Any) -> list[Any]:
        """The list of values, computed in this process, one item after the other: for a debugger, or a test."""
        return _mapped(self._function, items, constants, self._return_exceptions)


class Opaque:
    """A value that Covalent leaves alone, and that unpickles to itself.

    Of a list of 400 dicts Covalent would make 2,803 nodes.
    """

    def __init__(self, value: Any, name: str):
        self._pickle: bytes = cloudpickle.dumps(value)
        # Covalent keeps the name beside the pickle.
        self.__name__ = name

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._pickle,)

    def __repr__(self) -> str:
        return f"<{self.__name__}>"


def grid(**axes: Iterable[Any]) -> list[dict[str, Any]]:
    """Every combination of the axes' values, as dicts of keyword arguments; the last axis changes fastest.

    Raises:
        TypeError: an axis is text, or no iterable: write a list.
    """
    for name, values in axes.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise TypeError(f"grid({name}={values!r}): an axis is a list of values: write {name}=[{values!r}]")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _opaque(value: Any) -> Any:
    """Collections without electrons in them travel whole."""
    if isinstance(value, (list, tuple, dict, set)) and not _has_electrons(value):
        return Opaque(value, type(value).__name__)
    return value


def _has_electrons(value: Any) -> bool:
    return any(isinstance(held, Electron) for held in _within(value))


def _within(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set)):
        for held in value:
            yield from _within(held)


def _electron_function(function: Callable[..., Any], return_exceptions: bool) -> Callable[..., Any]:
    """What Covalent gets: it maps by itself wherever no GCPBatchExecutor does, and says by its docstring what it is."""

    # Nothing of this module is referred to by name, so that it travels by value.
    def mapped(items: Any, **constants: Any) -> Any:
        from covalent_parallel_plugin.parallel_map import _mapped

        return _mapped(mapped.__dict__["covalent_parallel_map"], items, constants, return_exceptions)

    functools.update_wrapper(mapped, function)
    del mapped.__wrapped__  # type: ignore[attr-defined]  # its signature is the mapped one's
    setattr(mapped, MAPPED_FUNCTION, function)
    mapped.__doc__ = marked(function.__doc__, {"return_exceptions": return_exceptions})
    return mapped


def _mapped(
    function: Callable[..., Any], items: Iterable[Any], constants: Mapping[str, Any], return_exceptions: bool
) -> list[Any]:
    import traceback

    from .errors import ElectronError
    from .runner.items import call_with

    values: list[Any] = []
    for item in items:
        try:
            values.append(call_with(function, item, constants))
        except Exception as error:
            if not return_exceptions:
                raise
            kind = type(error)
            name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
            values.append(ElectronError(name, str(error), traceback.format_exc()))
    return values
