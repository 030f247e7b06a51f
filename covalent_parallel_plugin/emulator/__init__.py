"""A stand-in for Google Batch, Cloud Storage and Cloud Logging on this machine; names are imported on first use."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Timing
    from .faults import Fault, FaultError, Faults
    from .faults_flags import parse_flag
    from .faults_plan import FaultPlan
    from .forking import ForkRuntime
    from .log_store import LogStore
    from .logging import LoggingServer
    from .processes import ProcessRuntime
    from .runtime import Runtime
    from .server import Emulator, PortTaken
    from .storage import StorageServer
    from .vms import Machines

_HOME_OF = {
    "Emulator": "server",
    "Fault": "faults",
    "FaultError": "faults",
    "FaultPlan": "faults_plan",
    "Faults": "faults",
    "ForkRuntime": "forking",
    "LogStore": "log_store",
    "LoggingServer": "logging",
    "Machines": "vms",
    "PortTaken": "server",
    "ProcessRuntime": "processes",
    "Runtime": "runtime",
    "StorageServer": "storage",
    "Timing": "engine",
    "parse_flag": "faults_flags",
}

__all__ = [
    "Emulator",
    "Fault",
    "FaultError",
    "FaultPlan",
    "Faults",
    "ForkRuntime",
    "LogStore",
    "LoggingServer",
    "Machines",
    "PortTaken",
    "ProcessRuntime",
    "Runtime",
    "StorageServer",
    "Timing",
    "parse_flag",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
