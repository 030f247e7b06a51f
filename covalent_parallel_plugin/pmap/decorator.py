"""pmap: one electron that calls its function with many items, as one Batch job of many tasks."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from html import escape
from typing import Any

from covalent import electron as covalent_electron  # type: ignore[attr-defined]  # Covalent has no types
from covalent._shared_files.context_managers import active_lattice_manager
from covalent._workflow.electron import Electron
from covalent._workflow.lattice import Lattice

from ..covalent_api import graph_inputs
from ..covalent_api.known_maps import find_map
from ..protocol.item_call import call_with, listed
from ..protocol.map_marker import MAPPED_FUNCTION, MAPPED_ITEMS, add_marker, items_label, rerun_label
from ..protocol.value_text import shortened
from ..settings.own_frames import hide_own_frames
from .local import error_for_item
from .validation import CHECKED_ITEMS, refuse_mistakes, refuse_unknown_arguments, single_iterable

# What `ct.electron` takes beside the function, of the version that is installed
ELECTRON_OPTIONS = tuple(
    name
    for name, parameter in inspect.signature(covalent_electron).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
)


@hide_own_frames
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
        TypeError: what is decorated is not a plain function, or an argument is none of these.
    """
    refuse_unknown_arguments(electron_options, ("executor", "return_exceptions", *ELECTRON_OPTIONS))
    if function is None:
        return functools.partial(pmap, executor=executor, return_exceptions=return_exceptions, **electron_options)
    return ParallelMap(function, executor, return_exceptions, electron_options)


class ParallelMap:
    """A function that takes many items; see `pmap`."""

    def __init__(
        self, function: Callable[..., Any], executor: Any, return_exceptions: bool, electron_options: Mapping[str, Any]
    ):
        is_taken = hasattr(function, "electron_object") or isinstance(function, (Electron, Lattice, ParallelMap))
        if not callable(function) or is_taken:
            raise TypeError(
                f"pmap takes a plain function, and {shortened(function)} is none: put @pmap(...) in the place of"
                " @ct.electron(...), whose arguments it takes as well"
            )
        self._function = function
        self._executor, self._return_exceptions = executor, return_exceptions
        options = dict(electron_options)
        if executor is not None:
            options["executor"] = executor
        electron: Any = covalent_electron(_electron_function(function, return_exceptions), **options)
        with contextlib.suppress(OSError, TypeError):
            # What the UI shows, and where lines of tracebacks are looked up
            electron.electron_object._function_string = inspect.getsource(function)
        self._electron = electron
        functools.update_wrapper(self, function)

    def __repr__(self) -> str:
        options = {"executor": self._executor, "return_exceptions": self._return_exceptions or None}
        given = [f", {name}={value!r}" for name, value in options.items() if value is not None]
        return f"pmap({self._name}{''.join(given)})"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"

    @property
    def _name(self) -> str:
        return getattr(self._function, "__name__", type(self._function).__name__)

    @hide_own_frames
    def __call__(self, /, *given: Any, **constants: Any) -> Any:
        """In a lattice: the electron, of one iterable of items. Elsewhere: the list of values, computed here.

        Raises:
            TypeError: the items are not a list of any kind, or the function cannot be called with one of the first
                1,000 or with the constants; electrons' results are known only when they run.
        """
        lattice = active_lattice_manager.get_active_lattice()
        if lattice is None:
            return self.local(*given, **constants)
        items = single_iterable(self._name, given, constants, Electron)
        if MAPPED_ITEMS in constants:
            raise TypeError(
                f"a constant of a map cannot have the name {MAPPED_ITEMS!r}, which its items travel under: rename that"
                f" parameter of {self._name}"
            )
        held: list[Any] = []
        if not isinstance(items, Electron):
            graph_inputs.refuse_unknown_length(items)
            held = list(listed(items))
        from_hooks = graph_inputs.keywords_from_hooks(self._electron.electron_object, lattice)
        self._refuse_mistakes(held, constants, from_hooks)
        if not isinstance(items, Electron):
            # With electrons among them Covalent makes the list, once they have ended.
            if graph_inputs.has_electrons(held):
                items = [graph_inputs.shield_from_covalent(item) for item in held]
            else:
                items = graph_inputs.PickledValue(held, items_label(len(held)))
        return self._of_items(items, constants)

    @hide_own_frames
    def local(self, /, *given: Any, **constants: Any) -> list[Any]:
        """The list of values, computed in this process, one item after the other: for a debugger, or a test.

        What an item raises comes out where it is raised, unless `return_exceptions` has an error in its place. Hooks
        do not run: what they would add is given as a constant.

        Raises:
            TypeError: as in a lattice, before the first call.
        """
        held = listed(single_iterable(self._name, given, constants, Electron))
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
                values.append(error_for_item(error))
        return values

    @hide_own_frames
    def rerun(self, dispatch_id: str, /, *, node: int | None = None, **constants: Any) -> Any:
        """In a lattice: the electron whose value is that of a map that ran before, once its other items have run.

        Only the items run, with this function, that failed or did not run in that dispatch; where all have a value,
        nothing does. Items and constants are those of that map; constants given here are used in their place.

        Args:
            dispatch_id: the dispatch whose map failed.
            node: the map's node there; needed where the dispatch does not have exactly one map of this name.

        Raises:
            MissingResourceError: there is no such map, or it has not ended.
            TypeError: this is not a lattice, or the function does not take these constants.
        """
        lattice = active_lattice_manager.get_active_lattice()
        again = f"{self._name}.rerun({dispatch_id!r})"
        if lattice is None:
            raise TypeError(
                f"{again} is an electron of a lattice: ct.dispatch(ct.lattice(lambda: {again}))() runs it alone;"
                f" {self._name}.local(items) runs items here"
            )
        refuse_mistakes(self._function, (), constants)
        label = rerun_label(dispatch_id, find_map(dispatch_id, node, self._name).node_id)
        return self._of_items(graph_inputs.PickledValue(label, label), constants)

    def _of_items(self, items: Any, constants: Mapping[str, Any]) -> Any:
        return self._electron(
            items, **{name: graph_inputs.pickled_collection(value) for name, value in constants.items()}
        )

    def _refuse_mistakes(
        self, held: Sequence[Any], constants: Mapping[str, Any], from_hooks: Collection[str] = ()
    ) -> None:
        known = ((index, item) for index, item in enumerate(held[:CHECKED_ITEMS]) if not isinstance(item, Electron))
        refuse_mistakes(self._function, known, constants, from_hooks)


def _electron_function(function: Callable[..., Any], return_exceptions: bool) -> Callable[..., Any]:
    """What Covalent gets: it maps by itself wherever no GCPBatchExecutor does, and says by its docstring what it is."""

    # Nothing of this module is referred to by name, so that it travels by value.
    def mapped(items: Any, **constants: Any) -> Any:
        from covalent_parallel_plugin.pmap.local import map_locally

        return map_locally(mapped.__dict__["covalent_parallel_map"], items, constants, return_exceptions)

    functools.update_wrapper(mapped, function)
    del mapped.__wrapped__  # type: ignore[attr-defined]  # its signature is the mapped one's
    setattr(mapped, MAPPED_FUNCTION, function)
    mapped.__doc__ = add_marker(function.__doc__, {"return_exceptions": return_exceptions})
    return mapped
