"""Run the electrons of Covalent workflows as Google Batch jobs, and any image or command over a table of parameters.

The public names are imported on first use: importing the package loads neither Covalent nor Google's clients.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .errors import DispatchCancelledError, DispatchError, ElectronError, MapError, ParallelError
    from .gcpbatch import GCPBatchExecutor
    from .pmap.decorator import pmap
    from .pmap.grid import grid
    from .results.run import Run
    from .results.show import show
    from .results.wait import wait
    from .sweep.python_sweep import Sweep

__version__ = "0.1.0"

_HOME_OF = {
    "DispatchCancelledError": "errors",
    "DispatchError": "errors",
    "GCPBatchExecutor": "gcpbatch",
    "ElectronError": "errors",
    "MapError": "errors",
    "ParallelError": "errors",
    "Run": "results.run",
    "Sweep": "sweep.python_sweep",
    "grid": "pmap.grid",
    "pmap": "pmap.decorator",
    "show": "results.show",
    "wait": "results.wait",
}

# Covalent imports its plugins when it is imported; begun by the plugin's module, it would find that half made
_AFTER_COVALENT = {"gcpbatch", "pmap.decorator", "results.show", "results.wait"}

__all__ = [
    "DispatchCancelledError", "DispatchError", "ElectronError", "GCPBatchExecutor", "MapError", "ParallelError",
    "Run", "Sweep", "__version__", "grid", "pmap", "show", "wait",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if _HOME_OF[name] in _AFTER_COVALENT:
        import_module("covalent")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


class _Package(ModuleType):
    """This package, in which `pmap` is the function, also once the subpackage of that name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        # The import system binds a subpackage to its name here, which would hide the function.
        if not (name == "pmap" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
