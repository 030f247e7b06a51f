"""Choose the runtime of tasks: the requested one, or the first that works here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...containers.engine import ENGINES
from ...containers.engine_check import why_not
from ...containers.engine_remedies import engine_remedy
from .container import ContainerRuntime
from .process import ProcessRuntime

AUTO = "auto"
PROCESS = "process"


@dataclass(frozen=True)
class RuntimeRequest:
    """What the user requested of the runtime: its name, and what applies to processes or to containers only."""

    name: str = AUTO
    python: Path | None = None
    images: Mapping[str, Sequence[str]] = field(default_factory=dict)
    nfs: Mapping[str, Path] = field(default_factory=dict)
    site_packages: bool = False


@dataclass(frozen=True)
class RuntimeChoice:
    """The runtime's name, "podman", "docker" or "process"; for the last, why neither engine was."""

    name: str
    why_no_containers: tuple[str, ...] = ()


def choose_runtime(
    request: RuntimeRequest, why_not: Callable[[str], str] = why_not, platform: str = sys.platform
) -> RuntimeChoice:
    """Choose the runtime.

    By itself it chooses containers on Linux only: elsewhere they run in a virtual machine, and the emulator's addresses
    on loopback mean another machine there. `why_not` says why an engine does not work. Raises ValueError for an engine
    that does not work and for options that contradict each other.
    """
    for_processes = request.python is not None or bool(request.images) or request.site_packages
    if request.python is not None and request.site_packages:
        raise ValueError("--python names a Python with its packages, --site-packages takes this one: give one of them")
    if for_processes and request.nfs:
        raise ValueError(
            "--python, --image and --site-packages are for processes, --nfs is for containers: give one or the other"
        )
    if request.name in ENGINES:
        if for_processes:
            raise ValueError(
                "--python, --image and --site-packages choose what stands for an image, and"
                f" --runtime {request.name} runs the images themselves: leave them out, or give --runtime process"
            )
        if reason := why_not(request.name):
            raise ValueError(f"--runtime {request.name} does not work here: {_with_remedy(request.name, reason)}")
        return RuntimeChoice(request.name)
    if request.name == PROCESS or for_processes:
        if request.nfs:
            raise ValueError("--nfs is for containers: processes have no volumes; give --runtime podman or docker")
        return RuntimeChoice(PROCESS)
    reasons = []
    for name in ENGINES if platform == "linux" else ():
        reason = why_not(name)
        if not reason:
            return RuntimeChoice(name)
        reasons.append(f"{name}: {_with_remedy(name, reason)}")
    if platform != "linux":
        reasons = [f"those of {platform} run in a virtual machine (to use them, give --runtime podman or docker)"]
    if request.nfs:
        raise ValueError(f"--nfs needs containers: {'; '.join(reasons)}")
    return RuntimeChoice(PROCESS, tuple(reasons))


def create_runtime(request: RuntimeRequest, name: str) -> ContainerRuntime | ProcessRuntime:
    """Make the runtime that `choose_runtime` chose. Raises ValueError."""
    if name == PROCESS:
        return ProcessRuntime(request.python, request.images, site_packages=request.site_packages)
    return ContainerRuntime(name, request.nfs)


def _with_remedy(engine: str, reason: str) -> str:
    return f"{reason} (remedy: {engine_remedy(engine, reason)})"
