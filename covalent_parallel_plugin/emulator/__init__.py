"""An emulator of Google Batch, Cloud Storage and Cloud Logging on this machine; names are imported on first use."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .emulator import Emulator as Emulator
    from .emulator import PortTaken as PortTaken
    from .execution.scheduler import Timing as Timing
    from .execution.vm_pool import VmModel as VmModel
    from .faults.flag import parse_flag as parse_flag
    from .faults.plan import FaultPlan as FaultPlan
    from .faults.rule import Fault as Fault
    from .faults.rule import FaultError as FaultError
    from .faults.rule import Faults as Faults
    from .logging.server import LoggingServer as LoggingServer
    from .model.job_summary import JobSummary as JobSummary
    from .model.log_store import LogStore as LogStore
    from .model.runtime_interface import Runtime as Runtime
    from .project.resources import Accelerator as Accelerator
    from .project.resources import BucketFacts as BucketFacts
    from .project.resources import Machine as Machine
    from .project.resources import Network as Network
    from .project.resources import ProjectResources as ProjectResources
    from .project.resources import ProjectResourcesError as ProjectResourcesError
    from .project.resources import ServiceAccount as ServiceAccount
    from .project.resources import Subnetwork as Subnetwork
    from .project.toml_file import read_project_file as read_project_file
    from .runtimes.choose import RUNTIMES as RUNTIMES
    from .runtimes.choose import RuntimeRequest as RuntimeRequest
    from .runtimes.choose import choose_runtime as choose_runtime
    from .runtimes.choose import create_runtime as create_runtime
    from .runtimes.container import ContainerRuntime as ContainerRuntime
    from .runtimes.process import ProcessRuntime as ProcessRuntime
    from .storage.server import StorageServer as StorageServer

_NAMES = {
    "emulator": "Emulator PortTaken",
    "execution.scheduler": "Timing",
    "execution.vm_pool": "VmModel",
    "faults.flag": "parse_flag",
    "faults.plan": "FaultPlan",
    "faults.rule": "Fault FaultError Faults",
    "logging.server": "LoggingServer",
    "model.job_summary": "JobSummary",
    "model.log_store": "LogStore",
    "model.runtime_interface": "Runtime",
    "project.resources": "Accelerator BucketFacts Machine Network ProjectResources ProjectResourcesError ServiceAccount"
    " Subnetwork",
    "project.toml_file": "read_project_file",
    "runtimes.choose": "RUNTIMES RuntimeRequest choose_runtime create_runtime",
    "runtimes.container": "ContainerRuntime",
    "runtimes.process": "ProcessRuntime",
    "storage.server": "StorageServer",
}
# Still importable, but not typed
_EARLIER_NAMES = {
    "EndedJob": "JobSummary",
    "Known": "ProjectResources",
    "KnownError": "ProjectResourcesError",
    "Machines": "VmModel",
    "Wish": "RuntimeRequest",
    "make_runtime": "create_runtime",
    "read_known": "read_project_file",
    "runtime_name": "choose_runtime",
}
_HOME_OF = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    current = _EARLIER_NAMES.get(name, name)
    if current not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME_OF[current]}"), current)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
