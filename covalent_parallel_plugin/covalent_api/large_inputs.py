"""Large inputs of a lattice in Covalent's graph (0.240.0): what is in it several times over, and nobody needs.

- The function of the last node, `Postprocessor._postprocess_recursively`, brings its lattice along, which it does not
  look at: with the inputs, six times over. It also names the modules of all electrons, which the executor of that node
  may not have.
- An input's whole `str()` is the name of a node, which the server keeps in its database, and stands beside each of
  its pickles: for bytes up to four times as long.
"""

from __future__ import annotations

import copyreg
from functools import wraps
from typing import Any

from covalent._shared_files.config import get_config
from covalent._shared_files.context_managers import active_lattice_manager
from covalent._shared_files.defaults import parameter_prefix

from ..protocol.value_text import cut_text

CUT = "covalent_parallel_cut"


def bring_no_lattice() -> None:
    """Have the last node of a graph bring no lattice; repeated calls change nothing."""
    from covalent._workflow.postprocessing import Postprocessor

    copyreg.dispatch_table[Postprocessor] = _without_lattice


def allow_large_inputs() -> None:
    """Leave such copies out of the graphs that this process makes; repeated calls change nothing."""
    from covalent._workflow.transport import _TransportGraph
    from covalent._workflow.transportable_object import TransportableObject

    bring_no_lattice()
    if not hasattr(_TransportGraph.add_node, CUT):
        for kind, method, wrapper in (
            (_TransportGraph, "add_node", _with_short_names),
            (TransportableObject, "__init__", _with_short_text),
        ):
            setattr(kind, method, wrapper(getattr(kind, method)))


def needs_no_lattice(postprocessor: type[Any]) -> bool:
    """Whether the last node's function, as the installed Covalent has it, does not look at its lattice."""
    return "lattice" not in postprocessor._postprocess_recursively.__code__.co_names


def _without_lattice(postprocessor: Any) -> Any:
    kind = type(postprocessor)
    if not needs_no_lattice(kind) or get_config("sdk.exhaustive_postprocess") == "true":
        return postprocessor.__reduce_ex__(2)
    return kind, (None,)


def _with_short_names(add_node: Any) -> Any:
    @wraps(add_node)
    def add_node_shortly(self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        return add_node(self, cut_text(name) if name.startswith(parameter_prefix) else name, *args, **kwargs)

    setattr(add_node_shortly, CUT, True)
    return add_node_shortly


def _with_short_text(make: Any) -> Any:
    @wraps(make)
    def make_shortly(self: Any, obj: Any) -> None:
        make(self, obj)
        # The text of a sublattice's graph, which is one of a string, is read again.
        if type(obj) is not str or active_lattice_manager.get_active_lattice() is not None:
            self._object_string = cut_text(self._object_string)

    return make_shortly
