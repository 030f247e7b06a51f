"""The function of Covalent's last node, `Postprocessor._postprocess_recursively`, pickled without its lattice.

The function does not look at the lattice (Covalent 0.240.0), which brings along all inputs, six times over.
"""

from __future__ import annotations

import copyreg
from typing import Any

from covalent._shared_files.config import get_config


def needs_no_lattice(postprocessor: type[Any]) -> bool:
    """Whether the function, as the installed Covalent has it, does not look at its lattice."""
    return "lattice" not in postprocessor._postprocess_recursively.__code__.co_names


def leave_lattice_out() -> None:
    """Have the lattice left out wherever a `Postprocessor` is pickled; repeated calls change nothing."""
    from covalent._workflow.postprocessing import Postprocessor

    copyreg.dispatch_table[Postprocessor] = _reduce


def _reduce(postprocessor: Any) -> Any:
    kind = type(postprocessor)
    if not needs_no_lattice(kind) or get_config("sdk.exhaustive_postprocess") == "true":
        return postprocessor.__reduce_ex__(2)
    return kind, (None,)
