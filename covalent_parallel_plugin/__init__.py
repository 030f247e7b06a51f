"""Run the electrons of Covalent workflows as Google Batch jobs.

The public names are imported on first use: importing the package loads neither Covalent nor Google's clients.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .errors import ElectronError, MapError, ParallelError
    from .gcpbatch import GCPBatchExecutor
    from .parallel_map import grid, pmap

__version__ = "0.1.0"

_HOME_OF = {
    "GCPBatchExecutor": "gcpbatch",
    "ElectronError": "errors",
    "MapError": "errors",
    "ParallelError": "errors",
    "grid": "parallel_map",
    "pmap": "parallel_map",
}

__all__ = ["ElectronError", "GCPBatchExecutor", "MapError", "ParallelError", "__version__", "grid", "pmap"]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if _HOME_OF[name] in ("gcpbatch", "parallel_map"):
        # Covalent imports its plugins when it is imported; begun by the plugin's module, it would find that half made.
        import_module("covalent")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
