"""Covalent's last node, which makes a lattice's result: without the lattice's inputs, and unloaded where it can be.

The node's function brings its lattice along, with the inputs six times over. All that it does is to put values in the
places of electrons (`Postprocessor._postprocess_recursively`, Covalent 0.240.0).
"""

from __future__ import annotations

from functools import cache
from typing import cast

import cloudpickle
from covalent._workflow.postprocessing import Postprocessor

from ...electron.call import Call, Pickles
from ..large_inputs import needs_no_lattice
from .classify import POSTPROCESS

# Stands in every pickle that has an electron in it
ELECTRONS_MODULE = b"covalent._workflow.electron"


def is_result(call: Call, pickles: Pickles) -> bool:
    """Whether the node's first argument is the lattice's result already, since no electron is in it."""
    return (
        call.name == POSTPROCESS
        and call.args == 1
        and all(name.startswith("node:") for name in call.kwargs)
        and cast(bytes, pickles["arg0"]).find(ELECTRONS_MODULE) < 0
    )


def without_lattice(call: Call, pickles: Pickles) -> Pickles:
    """The pickles of a node with the function of a lattice that is empty, where the function does not need its own."""
    if call.name != POSTPROCESS or not needs_no_lattice(Postprocessor):
        return pickles
    return {**pickles, "function": _empty_function()}


@cache
def _empty_function() -> bytes:
    return bytes(cloudpickle.dumps(Postprocessor(lattice=None)._postprocess_recursively))
