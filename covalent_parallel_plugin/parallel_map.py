"""pmap: one electron that calls its function with many items, as one Batch job of many tasks."""

from __future__ import annotations

import functools
import inspect
import itertools
import pickle
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import cloudpickle
from covalent import electron as covalent_electron  # type: ignore[attr-defined]  # Covalent has no types
from covalent._shared_files.context_managers import active_lattice_manager
from covalent._workflow.electron import Electron
from covalent._workflow.lattice import Lattice

from .map_arguments import CHECKED_ITEMS, refuse_mistakes, refuse_unknown_arguments, the_one_iterable
from .map_here import in_place
from .protocol.item_call import POSITIONAL, call_with, listed
from .protocol.map_marker import MAPPED_FUNCTION, MAPPED_ITEMS, add_marker, items_label
from .protocol.value_text import shortened

# What `ct.electron` takes beside the function, of the version that is installed
ELECTRON_OPTIONS = tuple(
    name
    for name, parameter in inspect.signature(covalent_electron).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
)
UNKNOWN_LENGTH = "how many items an electron returns is not known while the lattice is built"


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
        return_exceptions: have an ElectronError in the place of each item that raised, or killed its process every
            time, rather than MapError for all.
        electron_options: further arguments of `ct.electron`: `deps_pip`, `call_before`, ...; hooks run once per task.

    Raises:
        TypeError: what is decorated is no plain function, or an argument is none of these.
    """
    refuse_unknown_arguments(electron_options, ("executor", "return_exceptions", *ELECTRON_OPTIONS))
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
        self._electron: Any = covalent_electron(_electron_function(function, return_exceptions), **options)
        functools.update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<map of {self._name}>"

    @property
    def _name(self) -> str:
        return getattr(self._function, "__name__", type(self._function).__name__)

    def __call__(self, /, *given: Any, **constants: Any) -> Any:
        """In a lattice: the electron, of one iterable of items. Elsewhere: the list of values, computed here.

        Raises:
            TypeError: the items are no list of any kind, or the function cannot be called with one of the first 1,000
                or with the constants; electrons' results are known only when they run.
        """
        lattice = active_lattice_manager.get_active_lattice()
        if lattice is None:
            return self.local(*given, **constants)
        items = the_one_iterable(self._name, given, constants, Electron)
        if MAPPED_ITEMS in constants:
            raise TypeError(
                f"a constant of a map cannot have the name {MAPPED_ITEMS!r}, which its items travel under: rename that"
                f" parameter of {self._name}"
            )
        held: list[Any] = []
        if not isinstance(items, Electron):
            _refuse_unknown_length(items)
            held = list(listed(items))
        from_hooks = _names_from_hooks(self._electron.electron_object, lattice)
        self._refuse_mistakes(held, constants, from_hooks)
        if not isinstance(items, Electron):
            # With electrons among them Covalent makes the list, once they have ended.
            is_whole = not _has_electrons(held)
            items = Opaque(held, items_label(len(held))) if is_whole else [_wrapped(item) for item in held]
        return self._electron(items, **{name: _opaque(value) for name, value in constants.items()})

    def local(self, /, *given: Any, **constants: Any) -> list[Any]:
        """The list of values, computed in this process, one item after the other: for a debugger, or a test.

        What an item raises comes out where it is raised, unless `return_exceptions` has an error in its place. Hooks
        do not run: what they would add is given as a constant.

        Raises:
            TypeError: as in a lattice, before the first call.
        """
        held = listed(the_one_iterable(self._name, given, constants, Electron))
        self._refuse_mistakes(held, constants)
        values = []
        for index, item in enumerate(held):
            try:
                values.append(call_with(self._function, item, constants))
            except (Exception, SystemExit) as error:
                if not self._return_exceptions:
                    if hasattr(error, "add_note"):
                        error.add_note(f"item {index} ({shortened(item)}) of the map")
                    raise
                values.append(in_place(error))
        return values

    def _refuse_mistakes(
        self, held: Sequence[Any], constants: Mapping[str, Any], from_hooks: Collection[str] = ()
    ) -> None:
        known = ((index, item) for index, item in enumerate(held[:CHECKED_ITEMS]) if not isinstance(item, Electron))
        refuse_mistakes(self._function, known, constants, from_hooks)


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


def grid(*unnamed: Any, **axes: Iterable[Any]) -> list[dict[str, Any]]:
    """Every combination of the axes' values, as dicts of keyword arguments; the last axis changes fastest.

    Raises:
        TypeError: an axis has no name, is text, no iterable, or an electron's result: write a list.
    """
    if unnamed:
        written = (f"{name}={shortened(values)}" for name, values in zip("abcdefgh", unnamed, strict=False))
        is_dict = len(unnamed) == 1 and isinstance(unnamed[0], dict)
        remedy = f"**{shortened(unnamed[0])}" if is_dict else ", ".join(written)
        raise TypeError(f"grid takes named lists: grid({remedy})")
    for name, values in axes.items():
        if isinstance(values, Electron):
            raise TypeError(f"grid({name}=...): {UNKNOWN_LENGTH}: have an electron return grid(...)")
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise TypeError(f"grid({name}={values!r}): an axis is a list of values: write {name}=[{values!r}]")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _names_from_hooks(electron: Electron, lattice: Lattice) -> list[str]:
    """The keywords that `call_before` and `files` add when the electron runs; the lattice's, where it has none."""
    own = electron.get_metadata("hooks")
    hooks = lattice.get_metadata("hooks") if own is None else own
    return [
        name for hook in (hooks or {}).get("call_before") or () if (name := hook["attributes"].get("retval_keyword"))
    ]


def _opaque(value: Any) -> Any:
    """Collections without electrons in them travel whole."""
    if isinstance(value, (list, tuple, dict, set)) and not _has_electrons(value):
        return Opaque(value, type(value).__name__)
    return value


def _refuse_unknown_length(items: object) -> None:
    """Refuse `zip(...)` and the like of an electron's result: Covalent has it iterate as if it were empty."""
    if isinstance(items, (zip, enumerate, map, filter)):
        for source in items.__reduce__()[1]:
            if inspect.isgenerator(source) and source.gi_code is Electron.__iter__.__code__:
                made = f"list({type(items).__name__}(...))"
                raise TypeError(f"{UNKNOWN_LENGTH}: give the map the result of an electron that returns {made}")


def _wrapped(item: Any) -> Any:
    """An item of a list that Covalent makes: what is in it and holds no electron stays what it is."""
    if isinstance(item, tuple) and _has_electrons(item):
        return {POSITIONAL: [_opaque(value) for value in item]}
    if isinstance(item, dict) and _has_electrons(item):
        return {name: _opaque(value) for name, value in item.items()}
    return _opaque(item)


def _has_electrons(value: Any) -> bool:
    return any(isinstance(held, Electron) for held in _within(value, set()))


def _within(value: Any, seen: set[int]) -> Iterator[Any]:
    yield value
    if not isinstance(value, (Mapping, list, tuple, set)) or id(value) in seen:
        return
    # A list may hold itself.
    seen.add(id(value))
    for held in (*value.keys(), *value.values()) if isinstance(value, Mapping) else value:
        yield from _within(held, seen)


def _electron_function(function: Callable[..., Any], return_exceptions: bool) -> Callable[..., Any]:
    """What Covalent gets: it maps by itself wherever no GCPBatchExecutor does, and says by its docstring what it is."""

    # Nothing of this module is referred to by name, so that it travels by value.
    def mapped(items: Any, **constants: Any) -> Any:
        from covalent_parallel_plugin.map_here import mapped_here

        return mapped_here(mapped.__dict__["covalent_parallel_map"], items, constants, return_exceptions)

    functools.update_wrapper(mapped, function)
    del mapped.__wrapped__  # type: ignore[attr-defined]  # its signature is the mapped one's
    setattr(mapped, MAPPED_FUNCTION, function)
    mapped.__doc__ = add_marker(function.__doc__, {"return_exceptions": return_exceptions})
    return mapped
