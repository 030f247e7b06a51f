"""What is shown in a notebook's output, in place; nothing of Jupyter is imported outside one."""

from __future__ import annotations

import sys
from collections.abc import Mapping


def current_cell() -> int | None:
    """Return the number of the cell that runs; None outside a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return int(shell.execution_count) if shell is not None else None


def show_bundle(bundle: Mapping[str, str]) -> None:
    """Display one thing, given by MIME type."""
    from IPython.display import display

    display(dict(bundle), raw=True)
