"""What a machine type's name says: its vCPUs, its memory, and so how many tasks it holds at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_TASKS_PER_MACHINE = 20
"""Batch runs at most so many tasks of a job on a machine at a time."""
# GB of memory per vCPU of the families' standard, highmem and highcpu types; for whole GB the product is rounded down.
# https://cloud.google.com/compute/docs/general-purpose-machines, .../compute-optimized-machines and
# .../storage-optimized-machines
_KINDS = ("standard", "highmem", "highcpu")
_GB_PER_VCPU: dict[str, tuple[float, ...]] = {
    "c2": (4,),
    "c2d": (4, 8, 2),
    "c3": (4, 8, 2),
    "c3d": (4, 8, 2),
    "c4": (3.75, 7.75, 2),
    "c4a": (4, 8, 2),
    "c4d": (3.875, 7.875, 1.875),
    "c4n": (3.75, 7.75, 2),
    "e2": (4, 8, 1),
    # https://cloud.google.com/compute/docs/accelerator-optimized-machines
    "g2": (4,),
    "g4": (3.75,),
    "h3": (4,),
    "h4d": (3.75, 7.75),
    "n1": (3.75, 6.5, 0.9),
    "n2": (4, 8, 1),
    "n2d": (4, 8, 1),
    "n4": (4, 8, 2),
    "n4a": (4, 8, 2),
    "n4d": (4, 8, 2),
    "t2a": (4,),
    "t2d": (4,),
    "z3": (8, 8),
}
# https://cloud.google.com/compute/docs/memory-optimized-machines
_LARGE_GB_PER_VCPU = {
    "m1-megamem": 1433.6 / 96,
    "m1-ultramem": 961 / 40,
    "n1-megamem": 1433.6 / 96,
    "n1-ultramem": 961 / 40,
    "m2-hypermem": 8832 / 416,
    "m2-megamem": 5888 / 416,
    "m2-ultramem": 5888 / 208,
    "m3-megamem": 976 / 64,
    "m3-ultramem": 976 / 32,
    "m4-hypermem": 248 / 16,
    "m4-megamem": 372 / 28,
    "m4-ultramem": 1488 / 56,
    "m4n-hypermem": 248 / 16,
    "m4n-megamem": 372 / 28,
    "m4n-ultramem": 1488 / 56,
}
# Those that have less than their family's others, in GB
_LESS_GB = {
    "n2-highmem-128": 864,
    "c3d-highcpu-30": 59,
    "c3d-highcpu-60": 118,
    "c3d-highcpu-90": 177,
    "c3d-highcpu-180": 354,
    "c3d-highcpu-360": 708,
}
# vCPUs, and MiB of memory. The vCPUs are those that the system sees, of each of which it has a part
_SHARED_CORE = {
    "e2-micro": (2, 1024),
    "e2-small": (2, 2048),
    "e2-medium": (2, 4096),
    "f1-micro": (1, 614),
    "g1-small": (1, 1740),
}
# For an unknown family: no family has less per vCPU (n1-highcpu's)
_LEAST_GB_PER_VCPU = 0.9

_CUSTOM = re.compile(r"(?:[a-z0-9]+-)?custom-(\d+|micro|small|medium)-(\d+)(?:-ext)?")
_PREDEFINED = re.compile(r"(([a-z0-9]+)-([a-z]+))-(\d+)(?:-[a-z0-9]+)*")


@dataclass(frozen=True)
class MachineSize:
    """vCPUs and memory of a machine; memory that its name does not say is the least that any family has."""

    vcpus: int
    memory_mib: int


def machine_size(machine_type: str) -> MachineSize | None:
    """What the name says; None if it does not have the vCPUs, as the names of machines with GPUs do not."""
    if machine_type in _SHARED_CORE:
        return MachineSize(*_SHARED_CORE[machine_type])
    if custom := _CUSTOM.fullmatch(machine_type):
        return MachineSize(int(custom[1]) if custom[1].isdecimal() else 2, int(custom[2]))
    predefined = _PREDEFINED.fullmatch(machine_type)
    return None if predefined is None else _predefined_size(predefined, _gb_per_vcpu(predefined) or _LEAST_GB_PER_VCPU)


def known_memory_mib(machine_type: str) -> int | None:
    """The memory in the name, in MiB; None where `machine_size` has but the least of any family."""
    predefined = _PREDEFINED.fullmatch(machine_type)
    if predefined is not None and not _CUSTOM.fullmatch(machine_type) and _gb_per_vcpu(predefined) is None:
        return None
    size = machine_size(machine_type)
    return None if size is None else size.memory_mib


def _gb_per_vcpu(predefined: re.Match[str]) -> float | None:
    name, family, kind = predefined[1], predefined[2], predefined[3]
    ratios = dict(zip(_KINDS, _GB_PER_VCPU.get(family, ()), strict=False))
    return ratios.get(kind, _LARGE_GB_PER_VCPU.get(name))


def _predefined_size(predefined: re.Match[str], gb_per_vcpu: float) -> MachineSize:
    vcpus = int(predefined[4])
    gb = _LESS_GB.get(f"{predefined[1]}-{vcpus}", round(vcpus * gb_per_vcpu, 3))
    return MachineSize(vcpus, int(gb * 1024) if predefined[2] == "n1" else int(gb) * 1024)


def tasks_per_machine(machine_type: str, cpu_milli: int, memory_mib: int) -> int:
    """How many tasks of this size fit a machine without GPUs, 1 to 20; 1 where its name does not say its size.

    `cpu_milli` and `memory_mib` are one task's. Too few tasks cost money, too many are killed for want of memory: so
    a family that is not known counts with the least memory.
    """
    size = machine_size(machine_type)
    if size is None:
        return 1
    fitting = min(size.vcpus * 1000 // cpu_milli, size.memory_mib // memory_mib)
    return min(max(fitting, 1), MAX_TASKS_PER_MACHINE)
