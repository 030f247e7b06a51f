"""What a machine of a type can hold: tasks of a size, local SSDs, attached GPUs; what is not known is not refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .machine_sizes import MachineSize, known_memory_mib, machine_size

MOST_VCPUS = 1920
"""Of an X4 machine: https://cloud.google.com/compute/docs/memory-optimized-machines"""

LOCAL_SSD_GB = 375
"""The size of a local SSD: https://cloud.google.com/compute/docs/disks/local-ssd"""

# https://cloud.google.com/compute/docs/gpus#n1-gpus: by the number of GPUs the most vCPUs and GB of memory of a machine
_ATTACHED_GPU_LIMITS: Mapping[str, Mapping[int, tuple[int, int]]] = {
    "nvidia-tesla-t4": {1: (48, 312), 2: (48, 312), 4: (96, 624)},
    "nvidia-tesla-p4": {1: (24, 156), 2: (48, 312), 4: (96, 624)},
    "nvidia-tesla-v100": {1: (12, 78), 2: (24, 156), 4: (48, 312), 8: (96, 624)},
    # Four have less in three zones
    "nvidia-tesla-p100": {1: (16, 104), 2: (32, 208), 4: (96, 624)},
}
# https://cloud.google.com/compute/docs/accelerator-optimized-machines: vCPUs and GB of memory for each GPU
_PER_BUILT_IN_GPU = {
    "a2-highgpu": (12, 85),
    "a2-megagpu": (6, 85),
    "a2-ultragpu": (12, 170),
    "a3-edgegpu": (26, 234),
    "a3-highgpu": (26, 234),
    "a3-megagpu": (26, 234),
    "a3-ultragpu": (28, 369),
    "a4-highgpu": (28, 496),
    "a4x-highgpu": (35, 221),
}
_NAMED_BY_GPUS = re.compile(r"([a-z0-9]+-[a-z]+)-(\d+)g")

# https://cloud.google.com/compute/docs/disks/local-ssd#choose_number_local_ssds: for machines with at most so many
# vCPUs, which numbers of local SSDs one may have
_ANY = (1, 2, 4, 8, 16, 24)
_CHOSEN_LOCAL_SSDS: Mapping[str, Sequence[tuple[int, Sequence[int]]]] = {
    "custom": ((96, (1, 2, 3, 4, 5, 6, 7, 8, 16, 24)),),
    "n1": ((96, (1, 2, 3, 4, 5, 6, 7, 8, 16, 24)),),
    "n2": ((10, _ANY), (20, _ANY[1:]), (40, _ANY[2:]), (80, _ANY[3:]), (128, _ANY[4:])),
    "n2d": ((16, _ANY), (48, _ANY[1:]), (80, _ANY[2:]), (224, _ANY[3:])),
    "c2": ((8, _ANY[:4]), (16, _ANY[1:4]), (30, _ANY[2:4]), (60, _ANY[3:4])),
    "c2d": ((16, _ANY[:4]), (32, _ANY[1:4]), (56, _ANY[2:4]), (112, _ANY[3:4])),
    "m1": ((96, (1, 2, 3, 4, 5, 6, 7, 8)),),
    "m3": ((64, (4, 8)), (128, (8,))),
}
# Same page: types that always have the same number, by their vCPUs
_FIXED_LOCAL_SSDS: Mapping[str, Mapping[int, int]] = {
    "c3": {4: 1, 8: 2, 22: 4, 44: 8, 88: 16, 176: 32},
    "c3d": {8: 1, 16: 1, 30: 2, 60: 4, 90: 8, 180: 16, 360: 32},
    "c4": {4: 1, 8: 1, 16: 2, 24: 4, 32: 5, 48: 8, 96: 16, 144: 24, 192: 32, 288: 48},
    "c4a": {4: 1, 8: 2, 16: 4, 32: 6, 48: 10, 64: 14, 72: 16},
    "c4d": {8: 1, 16: 1, 32: 2, 48: 4, 64: 6, 96: 8, 192: 16, 384: 32},
    "g2": {4: 1, 8: 1, 12: 1, 16: 1, 24: 2, 32: 1, 48: 4, 96: 8},
    "h4d": {192: 10},
}
# Same page: those of machines that are named by their GPUs
_BUILT_IN_GPU_LOCAL_SSDS: Mapping[str, Sequence[int]] = {
    "a2-highgpu-1g": (1, 2, 4, 8),
    "a2-highgpu-2g": (2, 4, 8),
    "a2-highgpu-4g": (4, 8),
    "a2-highgpu-8g": (8,),
    "a2-megagpu-16g": (8,),
    "a2-ultragpu-1g": (1,),
    "a2-ultragpu-2g": (2,),
    "a2-ultragpu-4g": (4,),
    "a2-ultragpu-8g": (8,),
    "a3-highgpu-1g": (2,),
    "a3-highgpu-2g": (4,),
    "a3-highgpu-4g": (8,),
    "a3-highgpu-8g": (16,),
    "a3-edgegpu-8g": (16,),
    "a3-megagpu-8g": (16,),
    "a3-ultragpu-8g": (32,),
    "a4-highgpu-8g": (32,),
}


def attached_gpu_counts(gpu_type: str) -> Sequence[int]:
    """How many accelerators of a type a machine may have; () where that is not known."""
    return tuple(_ATTACHED_GPU_LIMITS.get(gpu_type.removesuffix("-vws"), ()))


def size_problems(machine: str, vcpus: float, memory_mib: int) -> list[str]:
    """What is wrong with a task of this size on this machine.

    google.cloud.batch_v1.ComputeResource: CPU and memory must be compatible with the machine type's.
    """
    most_vcpus, most_mib = _largest_task(machine)
    found = []
    if most_vcpus is not None and vcpus > most_vcpus:
        found.append(
            f"vcpus = {vcpus:g} is more than machine_type = {machine!r} has: use {most_vcpus} or less, or a larger type"
        )
    if most_mib is not None and memory_mib > most_mib:
        found.append(
            f"memory = {memory_mib} (in MB) is more than machine_type = {machine!r} has: use {most_mib} or less, or a"
            " larger type"
        )
    return found


def gpu_size_problems(machine: str, gpu_type: str, count: int, vcpus: float, memory_mib: int) -> list[str]:
    """What is wrong with attaching so many GPUs to this machine; without a type, to one that holds such a task."""
    limits = _ATTACHED_GPU_LIMITS.get(gpu_type.removesuffix("-vws"), {})
    if count not in limits:
        return []
    most_vcpus, most_gb = limits[count]
    # Where the machine has a type its memory follows from that
    has_vcpus, has_mib = _largest_task(machine) if machine else (vcpus, memory_mib)
    if (has_vcpus or 0) <= most_vcpus and (has_mib or 0) <= most_gb * 1024:
        return []
    asked = f"machine_type = {machine!r}" if machine else f"vcpus = {vcpus:g} with memory = {memory_mib} (in MB)"
    enough = [
        number for number, (cpus, gb) in limits.items() if (has_vcpus or 0) <= cpus and (has_mib or 0) <= gb * 1024
    ]
    remedy = f", or gpu_count = {enough[0]}" if enough else ""
    return [
        f"{asked} is too large for {count} {gpu_type}, with which a machine has {most_vcpus} vCPUs and {most_gb} GB at"
        f" most: use a smaller one{remedy}"
    ]


def local_ssd_problems(machine: str, local_ssd_gb: int) -> list[str]:
    """What is wrong with so many local SSDs on this machine, whose family has some."""
    counts = local_ssd_counts(machine)
    count = local_ssd_gb // LOCAL_SSD_GB
    if not counts or count in counts:
        return []
    enough = next((number for number in counts if number >= count), counts[-1])
    numbers = " or ".join(filter(None, [", ".join(map(str, counts[:-1])), str(counts[-1])]))
    return [
        f"local_ssd_gb = {local_ssd_gb} means {count} local SSD{'' if count == 1 else 's'}, and machine_type ="
        f" {machine!r} takes {numbers}: use {enough * LOCAL_SSD_GB}"
    ]


def local_ssd_counts(machine: str) -> Sequence[int]:
    """How many local SSDs, other than none, a machine may have; () where that is not known."""
    if machine in _BUILT_IN_GPU_LOCAL_SSDS:
        return _BUILT_IN_GPU_LOCAL_SSDS[machine]
    size = machine_size(machine)
    family = machine.partition("-")[0]
    if size is None:
        return ()
    if family in _FIXED_LOCAL_SSDS:
        fixed = _FIXED_LOCAL_SSDS[family].get(size.vcpus)
        return () if fixed is None else (fixed,)
    return next((counts for most, counts in _CHOSEN_LOCAL_SSDS.get(family, ()) if size.vcpus <= most), ())


def local_ssd_type(machine: str) -> str:
    """A type of this machine's family that has local SSDs: of the same kind and size, or near them."""
    family, _, rest = machine.partition("-")
    kind, _, _ = rest.partition("-")
    size, counts = machine_size(machine), _FIXED_LOCAL_SSDS.get(family, {})
    vcpus = 0 if size is None else size.vcpus
    near = min(counts, key=lambda known: abs(known - vcpus), default=vcpus)
    # Same page: no highcpu type has any, nor has one of c3 with much memory
    kind = "standard" if kind == "highcpu" or family == "c3" else kind
    return f"{family}-{kind}-{near}-lssd"


def _largest_task(machine: str) -> tuple[int | None, int | None]:
    """The vCPUs and MiB of memory of a machine; None for what is not known."""
    if (named := _NAMED_BY_GPUS.fullmatch(machine)) and named[1] in _PER_BUILT_IN_GPU:
        vcpus, gb = _PER_BUILT_IN_GPU[named[1]]
        return vcpus * int(named[2]), gb * int(named[2]) * 1024
    size: MachineSize | None = machine_size(machine)
    return (None if size is None else size.vcpus), known_memory_mib(machine)
