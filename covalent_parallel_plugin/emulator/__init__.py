"""An emulator of Google Batch, Cloud Storage and Cloud Logging on this machine; names are imported on first use."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .emulator import Emulator as Emulator
    from .execution.scheduler import Timing as Timing
    from .execution.vm_pool import VmModel as VmModel
    from .faults.fault import Fault as Fault
    from .faults.fault import Faults as Faults
    from .runtimes.container import ContainerRuntime as ContainerRuntime
    from .runtimes.process import ProcessRuntime as ProcessRuntime

_ROOM_OF = {
    "Emulator": "emulator",
    "Timing": "execution.scheduler",
    "VmModel": "execution.vm_pool",
    "Fault": "faults.fault",
    "Faults": "faults.fault",
    "ContainerRuntime": "runtimes.container",
    "ProcessRuntime": "runtimes.process",
}
__all__ = sorted(_ROOM_OF)


def __getattr__(name: str) -> object:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
