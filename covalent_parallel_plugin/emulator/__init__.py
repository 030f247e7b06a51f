"""A stand-in for Google Batch, Cloud Storage and Cloud Logging on this machine; names are imported on first use."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .containers import ContainerRuntime
    from .ended import EndedJob
    from .engine import Timing
    from .faults import Fault, FaultError, Faults
    from .faults_flags import parse_flag
    from .faults_plan import FaultPlan
    from .known import (
        Accelerator,
        BucketFacts,
        Known,
        KnownError,
        Machine,
        Network,
        ServiceAccount,
        Subnetwork,
    )
    from .known_file import read_known
    from .log_store import LogStore
    from .logging import LoggingServer
    from .processes import ProcessRuntime
    from .runtime import Runtime
    from .runtimes import RUNTIMES, Wish, make_runtime, runtime_name
    from .server import Emulator, PortTaken
    from .storage import StorageServer
    from .vms import Machines

_HOME_OF = {
    "RUNTIMES": "runtimes",
    "Accelerator": "known",
    "BucketFacts": "known",
    "ContainerRuntime": "containers",
    "Emulator": "server",
    "EndedJob": "ended",
    "Fault": "faults",
    "FaultError": "faults",
    "FaultPlan": "faults_plan",
    "Faults": "faults",
    "Known": "known",
    "KnownError": "known",
    "LogStore": "log_store",
    "LoggingServer": "logging",
    "Machine": "known",
    "Machines": "vms",
    "Network": "known",
    "PortTaken": "server",
    "ProcessRuntime": "processes",
    "Runtime": "runtime",
    "ServiceAccount": "known",
    "StorageServer": "storage",
    "Subnetwork": "known",
    "Timing": "engine",
    "Wish": "runtimes",
    "make_runtime": "runtimes",
    "parse_flag": "faults_flags",
    "read_known": "known_file",
    "runtime_name": "runtimes",
}

__all__ = [
    "RUNTIMES",
    "Accelerator",
    "BucketFacts",
    "ContainerRuntime",
    "Emulator",
    "EndedJob",
    "Fault",
    "FaultError",
    "FaultPlan",
    "Faults",
    "Known",
    "KnownError",
    "LogStore",
    "LoggingServer",
    "Machine",
    "Machines",
    "Network",
    "PortTaken",
    "ProcessRuntime",
    "Runtime",
    "ServiceAccount",
    "StorageServer",
    "Subnetwork",
    "Timing",
    "Wish",
    "make_runtime",
    "parse_flag",
    "read_known",
    "runtime_name",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
