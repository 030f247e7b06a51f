"""Which machine type holds a task, or several, by the sizes in the types' names."""

from __future__ import annotations

from ....settings.machine_names import machine_type as checked_type
from ....settings.machine_sizes import MachineSize, known_memory_mib, machine_size, tasks_per_machine

MIB = 2**20
# Where the machine was for Batch to choose. https://cloud.google.com/compute/docs/general-purpose-machines
GENERAL = tuple(f"e2-standard-{vcpus}" for vcpus in (2, 4, 8, 16, 32)) + tuple(
    f"n2-standard-{vcpus}" for vcpus in (48, 64, 80, 96, 128)
)
SHARED = ("e2-standard-4", "e2-standard-8", "e2-standard-16", "e2-highmem-4", "e2-highmem-8", "e2-highmem-16")
# The numbers of vCPUs in names of types, of which each family has some
_NUMBERS = (2, 4, 8, 12, 16, 24, 32, 48, 64, 80, 96, 128)


def holding_type(vcpus: float, memory_bytes: float) -> str | None:
    """Return the smallest general machine type that holds a task; None where none does."""
    return next((name for name in GENERAL if _holds(name, vcpus, memory_bytes)), None)


def type_like(machine_type: str, vcpus: float, memory_bytes: float) -> str | None:
    """Return the smallest type of the same series and kind that holds a task; None where none is known."""
    kind, _, own = machine_type.rpartition("-")
    if not own.isdecimal() or kind.count("-") != 1 or known_memory_mib(machine_type) is None:
        return None
    names = (f"{kind}-{number}" for number in _NUMBERS)
    return next((name for name in names if _exists(name) and _holds(name, vcpus, memory_bytes)), None)


def shared_type(vcpus: float, memory_bytes: float, tasks: int) -> tuple[str, int] | None:
    """Return a machine type that holds several tasks with little left over, and how many; None where none does."""
    found = [(name, fitting(name, vcpus, memory_bytes)) for name in SHARED]
    able = [(name, count) for name, count in found if 1 < count <= tasks]
    return min(able, key=lambda each: (_size(each[0]).vcpus / each[1], -each[1]), default=None)


def fitting(machine_type: str, vcpus: float, memory_bytes: float) -> int:
    """Return how many tasks share a machine, as the package has them."""
    return tasks_per_machine(machine_type, max(1, round(vcpus * 1000)), max(1, round(memory_bytes / MIB)))


def size_of(machine_type: str) -> MachineSize | None:
    """Return a machine's size; None where its name does not say both vCPUs and memory."""
    return None if known_memory_mib(machine_type) is None else machine_size(machine_type)


def rounded_mib(size: float) -> int:
    """Return a size in bytes as a round number of MiB, not less: of 256, and of 1,024 above 8 GiB."""
    step = 256 if size <= 8 * 1024 * MIB else 1024
    return int(-(-size // (step * MIB))) * step


def _size(name: str) -> MachineSize:
    found = machine_size(name)
    assert found is not None, name
    return found


def _holds(name: str, vcpus: float, memory_bytes: float) -> bool:
    size = _size(name)
    return size.vcpus >= vcpus and size.memory_mib * MIB >= memory_bytes


def _exists(name: str) -> bool:
    try:
        return bool(checked_type(name))
    except ValueError:
        return False
