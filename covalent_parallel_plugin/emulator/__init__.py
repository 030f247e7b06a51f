"""A stand-in for Google Batch, Cloud Storage and Cloud Logging on this machine; names are imported on first use."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .emulator import Emulator, PortTaken
    from .execution.scheduler import Timing
    from .execution.vm_pool import Machines
    from .faults.flag import parse_flag
    from .faults.plan import FaultPlan
    from .faults.rule import Fault, FaultError, Faults
    from .logging.server import LoggingServer
    from .model.job_summary import EndedJob
    from .model.log_store import LogStore
    from .model.runtime_interface import Runtime
    from .project.resources import (
        Accelerator,
        BucketFacts,
        Known,
        KnownError,
        Machine,
        Network,
        ServiceAccount,
        Subnetwork,
    )
    from .project.toml_file import read_known
    from .runtimes.choose import RUNTIMES, Wish, make_runtime, runtime_name
    from .runtimes.container import ContainerRuntime
    from .runtimes.process import ProcessRuntime
    from .storage.server import StorageServer

_HOME_OF = {
    "RUNTIMES": "runtimes.choose",
    "Accelerator": "project.resources",
    "BucketFacts": "project.resources",
    "ContainerRuntime": "runtimes.container",
    "Emulator": "emulator",
    "EndedJob": "model.job_summary",
    "Fault": "faults.rule",
    "FaultError": "faults.rule",
    "FaultPlan": "faults.plan",
    "Faults": "faults.rule",
    "Known": "project.resources",
    "KnownError": "project.resources",
    "LogStore": "model.log_store",
    "LoggingServer": "logging.server",
    "Machine": "project.resources",
    "Machines": "execution.vm_pool",
    "Network": "project.resources",
    "PortTaken": "emulator",
    "ProcessRuntime": "runtimes.process",
    "Runtime": "model.runtime_interface",
    "ServiceAccount": "project.resources",
    "StorageServer": "storage.server",
    "Subnetwork": "project.resources",
    "Timing": "execution.scheduler",
    "Wish": "runtimes.choose",
    "make_runtime": "runtimes.choose",
    "parse_flag": "faults.flag",
    "read_known": "project.toml_file",
    "runtime_name": "runtimes.choose",
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
